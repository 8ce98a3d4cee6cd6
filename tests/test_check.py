"""`odebench check` and `odebench init`, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli import call

PLUGINS = Path(__file__).parent / "plugins"
FAULTY = PLUGINS / "faulty.py"
SUITE = """\
name: own
problems: [linear_decay]
solvers: [heun3]
gradients: [direct, aca]
stepping: [{fixed: {steps: 10}}, {adaptive: {rtol: 1e-4, atol: 1e-6}}]
exclude: [{solver: heun3, stepping: "adaptive(atol=1e-06, rtol=0.0001)"}]
measure: {repeats: 1, warmup: 0}
"""


def checked(*words: str, code: int = 0) -> dict[str, dict[str, str]]:
    """name of a line -> the line, of the one solver or gradient that is checked."""
    result = call("check", *words, "--json")
    assert result.exit_code == code, result.stdout + result.stderr
    (one,) = json.loads(result.stdout)["checks"]
    return {each["name"]: each for each in one["findings"]}


def only(*names: str) -> list[str]:
    return [word for name in names for word in ("--only", name)]


def test_a_reversible_solver_passes_every_check_and_every_figure_is_stated() -> None:
    found = checked("alf")
    assert {each["verdict"] for each in found.values()} <= {"pass", "refused", "skipped"}
    assert found["evaluations"]["figure"] == "1·N + 1"
    assert found["gradient reversible: memory"]["value"] == 0.0
    assert found["gradient reversible: fixed steps"]["value"] <= 1e-11
    assert found["unpull"]["verdict"] == found["reversal"]["verdict"] == "pass"
    assert found["gradient symplectic"]["verdict"] == "refused"
    assert found["CUDA"]["verdict"] in ("pass", "skipped")
    assert all(each["figure"] for each in found.values())


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("dopri5", ["order", "error estimate", "shortcuts", "evaluations", "gradient symplectic"]),
        ("leapfrog", ["order", "reversal", "shortcuts", "states of any shape", "gradient reversible"]),
        ("coupled(base=midpoint)", ["reversal", "shortcuts", "evaluations", "gradient reversible"]),
        ("abm(order=3)", ["order", "evaluations", "determinism"]),
        ("ees25", ["reversal", "gradient reversible"]),
        ("kvaerno3", ["evaluations", "float32"]),
    ],
)
def test_shipped_solvers_of_each_kind_pass(name: str, checks: list[str]) -> None:
    found = checked(name, *only(*checks))
    assert {each["verdict"] for each in found.values()} <= {"pass", "refused"}
    assert len(found) >= len(checks)


@pytest.mark.parametrize(
    ("name", "check", "line"),
    [
        ("Overclaimed", "order", "order: limit cycle"),
        ("WrongNode", "order", "order: driven decay"),
        ("WrongEstimate", "error estimate", "error estimate: limit cycle"),
        ("WrongInverse", "reversal", "reversal"),
        ("wrong_pull", "shortcuts", "pull"),
        ("wrong_pull", "gradient symplectic", "gradient symplectic: fixed steps"),
        ("InPlace", "the state", "the state handed in"),
        ("Random", "determinism", "determinism"),
        ("Leaking", "evaluations", "unused evaluations"),
        ("Growing", "evaluations", "evaluations"),
        ("DoubleOnly", "float32", "float32"),
        ("CutOff", "gradient direct", "gradient direct: differences"),
    ],
)
def test_a_planted_fault_is_found_by_its_own_line(name: str, check: str, line: str) -> None:
    found = checked(f"{FAULTY}:{name}", *only(check), code=1)
    assert found[line]["verdict"] == "fail"
    assert found[line]["advice"]
    assert found["a step"]["verdict"] == "pass"


def test_what_raises_in_a_check_is_told_with_its_place() -> None:
    figure = checked(f"{FAULTY}:DoubleOnly", *only("float32"), code=1)["float32"]["figure"]
    assert "TypeError: float64 only" in figure
    assert "faulty.py:" in figure


def test_a_scheme_that_hangs_in_one_check_is_ended_there_and_the_others_go_on() -> None:
    found = checked(f"{FAULTY}:Hanging", *only("reversal", "evaluations"), "--timeout", "8", code=1)
    assert "timed out" in found["reversal"]["figure"]
    assert found["evaluations"]["verdict"] == "pass"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([str(PLUGINS / "dies_at_import.py")], "cannot be loaded"),
        ([str(PLUGINS / "nowhere.py")], "there is no such Python file"),
        (["dopri55"], "did you mean 'dopri5'"),
        (["lorenz"], "takes a solver or a gradient"),
        (["torchdiffeq.dopri5"], "another library's"),
        (["alf", "--format", "csv"], "check has table, json and markdown"),
    ],
)
def test_what_cannot_be_named_or_loaded_is_wrong_usage(words: list[str], told: str) -> None:
    result = call("check", *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_raises_at_import_is_wrong_usage_and_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('not today')\n")
    result = call("check", str(tmp_path / "broken.py"))
    assert result.exit_code == 2
    assert "broken.py: ValueError: not today" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_without_a_solver_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    result = call("check", str(tmp_path / "empty.py"))
    assert result.exit_code == 2
    assert "registers no solver and no gradient" in result.stderr


def test_a_gradient_is_checked_through_solvers_of_several_kinds() -> None:
    found = checked("adjoint", *only("rk4", "stormer_verlet"))
    assert "inexact by" in found["rk4: fixed steps"]["figure"]
    assert found["rk4: memory"]["value"] == 0.0
    assert found["stormer_verlet"]["verdict"] == "refused"


def test_findings_are_lines_for_people_and_a_table_in_markdown() -> None:
    lines = call("check", "euler", *only("evaluations"), "--no-color").stdout.splitlines()
    assert lines[0] == "euler (solver)"
    assert "pass     evaluations: 1·N" in lines
    assert "| evaluations | 1·N | pass |" in call("check", "euler", *only("evaluations"), "--format", "markdown").stdout


def test_what_init_writes_passes_check_and_runs_beside_a_baseline(tmp_path: Path) -> None:
    path, suite = tmp_path / "mine.py", tmp_path / "own.yaml"
    assert call("init", "solver", "mine", "-o", str(path)).exit_code == 0
    assert len(path.read_text().splitlines()) < 40
    found = checked(str(path), *only("order", "error", "evaluations", "gradient aca"))
    assert {each["verdict"] for each in found.values()} == {"pass"}
    suite.write_text(SUITE)
    result = call(
        "run", str(suite), "--solver", f"{path}:mine", "-o", str(tmp_path / "out"), "--format", "json", "--no-progress"
    )
    assert result.exit_code == 0, result.stderr
    rows = [row for row in json.loads(result.stdout)["rows"] if row["solver"] == "mine"]
    assert [row["status"] for row in rows] == ["ok"] * 4


def test_init_overwrites_nothing_and_takes_no_name_that_is_none_or_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("precious\n")
    for words, told in (
        (["mine", "-o", str(path)], "is there already"),
        (["rk4", "-o", str(tmp_path / "x.py")], "has a solver called"),
        (["No Name"], "no name for a solver"),
        (["mine", "-o", str(tmp_path / "x.txt")], ".py"),
    ):
        result = call("init", "solver", *words)
        assert result.exit_code == 2
        assert told in result.stderr
    assert path.read_text() == "precious\n"
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]
