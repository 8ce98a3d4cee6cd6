"""The command line: what it accepts, what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import odebench
from odebench.cli.app import app
from odebench.record import COLUMNS, METRICS, PAIRED, SAMPLED, TRAINED
from odebench.registry import load_builtins, registries
from odebench.rows import write_csv
from tests.test_report import MANY

ROOT = Path(__file__).parent.parent
SUITE = """\
name: small
problems: [linear_decay]
solvers: [rk4, alf]
gradients: [direct, reversible]
stepping: [{fixed: {steps: 10}}]
exclude: [{solver: alf, gradient: direct}]
measure: {repeats: 2, warmup: 0}
"""
SLOW = ("torch", "numpy", "yaml", "rich.table", "rich.console")


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


@pytest.fixture
def results(tmp_path: Path) -> str:
    path = tmp_path / "results.csv"
    write_csv(path, MANY)
    return str(path)


def call(*words: str, **environment: str):
    return CliRunner().invoke(app, words, env=environment, prog_name="odebench")


def process(*words: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "odebench", *words]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("_ODEBENCH", "COMP_"))}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**inherited, **environment}, timeout=120, check=False
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", ["run", "validate", "list", "explain", "show", "schema"])
def test_every_command_has_help_with_examples(command: str, flag: str) -> None:
    result = call(command, flag)
    assert result.exit_code == 0
    assert "examples:" in result.stdout
    assert f"odebench {command}" in result.stdout


def test_the_help_of_all_tells_the_exit_codes_and_cuts_nothing() -> None:
    result = call("--help")
    assert result.exit_code == 0
    assert "130  interrupted" in result.stdout
    assert "..." not in result.stdout.replace("[ARGS]...", "")


def slow_imports(*words: str, **environment: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Which slow modules a command imports, told in the last line of stderr, and how it ended."""
    code = (
        f"import sys\nfrom odebench.cli.app import app\ntry: app({list(words) or None!r}, prog_name='odebench')\n"
        "except SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    )
    done = process(code=code, **environment)
    return [name for name in (*SLOW, "pydantic") if name in done.stderr.split()], done


def test_the_help_of_all_imports_nothing_slow() -> None:
    assert slow_imports("--help")[0] == []


@pytest.mark.parametrize("words", [["run", "-h"], ["--version"], ["explain", "rk4"], ["list", "problems"]])
def test_no_page_of_words_imports_torch_or_anything_slow(words: list[str]) -> None:
    # Typer itself may import pydantic to read a command's arguments.
    assert set(slow_imports(*words)[0]) <= {"pydantic"}


@pytest.mark.parametrize(
    ("words", "expected"), [("run --solver do", "dopri5"), ("run qui", "quickstart"), ("ex", "explain")]
)
def test_a_shell_completes_names_without_torch(words: str, expected: str) -> None:
    line = f"odebench {words}"
    position = str(len(line.split()) - 1)
    slow, done = slow_imports(_ODEBENCH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=position)
    assert expected in done.stdout.split()
    assert set(slow) <= {"pydantic"}


def test_importing_odebench_imports_nothing_slow_and_offers_its_names() -> None:
    used = "odebench.solver, odebench.Step, odebench.run, odebench.__version__"
    code = f"import sys, odebench\n{used}\nassert not {{*{SLOW!r}}} & {{*sys.modules}}"
    assert process(code=code).returncode == 0
    assert {"odeint", "run", "solver", "__version__"} <= set(dir(odebench))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        odebench.nonsense  # noqa: B018


def test_every_public_name_is_there() -> None:
    for name in odebench.__all__:
        assert getattr(odebench, name) is not None
    assert callable(odebench.odeint)
    assert callable(odebench.run)


def test_the_version_names_python_and_torch() -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["odebench", "Python", "torch"]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run"],
        ["run", "--resume"],
        ["validate"],
        ["run", "quickstart", "--jobs", "0"],
        ["run", "quickstart", "--repeats", "many"],
        ["run", "quickstart", "--baseline", "x"],
        ["run", "quickstart", "-k", "solver=="],
        ["run", "there_is_no_such_suite"],
        ["run", "quickstart", "--solver", "rk5"],
        ["run", "quickstart", "--plugin", "there/is/none.py"],
        ["list", "nonsense"],
        ["explain", "rk5"],
        ["explain", ""],
        ["explain", "alf(eta=2)"],
        ["explain", "{alf: "],
        ["show", "there/is/none"],
        ["schema", "extra"],
    ],
)
def test_wrong_usage_ends_with_2_and_a_message_on_stderr(words: list[str]) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


def test_an_unknown_name_gets_a_suggestion() -> None:
    assert "did you mean 'rk4'?" in call("explain", "rk5").stderr
    assert "did you mean 'wall_seconds'?" in call("explain", "wall_second").stderr


def test_findings_of_a_suite_are_located_lines_and_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SUITE.replace("rk4", "rk5").replace("direct, rev", "direkt, rev"))
    for command in ("validate", "run"):
        result = call(command, str(path))
        assert result.exit_code == 2
        located = [line for line in result.stderr.splitlines() if line.startswith(f"{path}:")]
        assert len(located) >= 2
        assert f"{path}:3:11: solvers.0: no solver is called 'rk5'; did you mean 'rk4'?" in located


def test_validate_tells_cells_refusals_and_exclusions(suite: str) -> None:
    result = call("validate", suite)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "small: 3 cells, 2 to measure, 1 refused"
    assert "  1 refused: rk4's steps cannot be undone" in result.stdout
    assert "(rk4 with reversible)" in result.stdout
    assert "1 square is excluded" in result.stdout


def test_validate_groups_refusals_that_differ_by_the_solver_alone(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(SUITE.replace("[rk4, alf]", "[rk4, dopri5, tsit5, euler, heun, ralston, alf]"))
    (line,) = [line for line in call("validate", str(path)).stdout.splitlines() if "refused:" in line]
    assert line.startswith("  6 refused: rk4's steps cannot be undone")
    assert "rk4 with reversible, dopri5 with reversible" in line
    assert ", and 2 more)" in line


def test_a_dry_run_shows_the_cells_and_touches_nothing(suite: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = call(
        "run", suite, "--dry-run", "--format", "json", "--solver", "{coupled: {base: heun}}", "--device", "cpu"
    )
    assert result.exit_code == 0
    rows = json.loads(result.stdout)["rows"]
    assert [(row["solver"], row["gradient"], row["status"]) for row in rows] == [
        ("rk4", "direct", "planned"),
        ("rk4", "reversible", "refused"),
        ("alf", "reversible", "planned"),
        ("coupled(base=heun)", "direct", "planned"),
        ("coupled(base=heun)", "reversible", "planned"),
    ]
    assert "5 cells, 4 to measure, 1 refused; 1 excluded by the suite; nothing was run" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_filter_that_selects_nothing_ends_with_5(suite: str, results: str) -> None:
    for words in (["run", suite, "-k", "solver=euler"], ["run", suite, "--dry-run", "-k", "solver=euler"]):
        assert call(*words).exit_code == 5
    result = call("show", results, "-k", "solver=euler")
    assert result.exit_code == 5
    assert "solver=euler" in result.stderr


def test_a_solver_of_a_file_is_loaded_and_added(suite: str, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from odebench import solver\nfrom odebench.solvers import RungeKutta, tableaus\n"
        "@solver('mine')\ndef mine() -> RungeKutta:\n    '''My own.'''\n    return RungeKutta(tableaus.RK4)\n"
    )
    result = call("run", suite, "--dry-run", "--solver", f"{plugin}:mine", "-k", "solver!=rk4", "--format", "csv")
    assert result.exit_code == 0, result.stderr
    assert [row["solver"] for row in csv.DictReader(io.StringIO(result.stdout))] == ["alf", "mine", "mine"]


@pytest.mark.parametrize("kind", ["problems", "solvers", "gradients", "stepping", "metrics"])
def test_list_has_a_line_for_every_entry_and_the_same_as_json(kind: str) -> None:
    load_builtins()
    names = [entry.name for entry in registries[kind.removesuffix("s")]]
    text = call("list", kind).stdout
    assert all(any(line.split()[:1] == [name] for line in text.splitlines()) for name in names)
    data = json.loads(call("list", kind, "--json").stdout)
    assert [each["name"] for each in data] == names
    assert all(each["summary"] for each in data)


def test_the_metrics_listed_are_the_columns() -> None:
    names = [each["name"] for each in json.loads(call("list", "metrics", "--json").stdout)]
    assert names[: len(METRICS)] == list(METRICS)
    assert set(names[len(METRICS) :]) == {*SAMPLED, *PAIRED, *TRAINED}


def test_the_suites_that_ship_are_listed_with_their_descriptions() -> None:
    data = json.loads(call("list", "suites", "--json").stdout)
    assert "quickstart" in [each["name"] for each in data]
    assert all(each["summary"] for each in data)
    assert "quickstart" in call("list", "suites").stdout


def test_show_prints_the_table_again_in_every_format(results: str) -> None:
    table = call("show", results)
    assert table.exit_code == 0
    assert "coupled(base=rk4, coupling=0.999)  reversible" in table.stdout
    rows = list(csv.DictReader(io.StringIO(call("show", results, "--format", "csv").stdout)))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(MANY)
    assert len(json.loads(call("show", results, "--format", "json").stdout)["rows"]) == len(MANY)
    assert "| solver |" in call("show", results, "--format", "markdown").stdout


def test_show_takes_columns_a_sort_and_a_filter(results: str) -> None:
    words = [
        "--columns",
        "solver,wall",
        "--sort",
        "-wall",
        "-k",
        "problem=logistic and not gradient=reversible",
        "--format",
        "csv",
    ]
    result = call("show", results, *words)
    assert result.stdout.splitlines() == ["solver,wall_seconds", "rk4,0.01234", "dopri5,0.01234", "rk4,0.001"]


def test_show_refuses_a_file_that_holds_no_results(tmp_path: Path) -> None:
    for content in ("", "a,b\n1,2\n", ",".join(COLUMNS) + "\n"):
        path = tmp_path / "x.csv"
        path.write_text(content)
        result = call("show", str(path))
        assert (result.exit_code, result.stdout) == (2, "")


def test_the_schema_is_json() -> None:
    assert json.loads(call("schema").stdout)["type"] == "object"


def test_a_fault_of_odebench_is_70_with_a_hint_and_a_traceback_for_those_who_ask(results: str, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("odebench.store.read_results", fail)
    result = call("show", results)
    assert result.exit_code == 70
    assert "fault of odebench itself: ZeroDivisionError: odd" in result.stderr
    assert "ODEBENCH_TRACEBACK=1" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in call("show", results, ODEBENCH_TRACEBACK="1").stderr


def test_colour_is_for_terminals_or_for_those_who_force_it(results: str) -> None:
    plain = {"NO_COLOR": "", "FORCE_COLOR": ""}
    assert "\x1b" not in call("show", results, **plain).stdout
    assert "\x1b" in call("show", results, **{**plain, "FORCE_COLOR": "1"}).stdout
    assert "\x1b" not in call("show", results, **{**plain, "FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert "\x1b" not in call("show", results, "--no-color", **{**plain, "FORCE_COLOR": "1"}).stdout
