"""The suite `switching`, its shapes made small and run through the command line, and the table made of it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.record import Beside, Cell, Record
from odebench.registry import load_builtins
from odebench.spec import Spec
from odebench.store import read_results
from odebench.suite.loading import find_suite

load_builtins()
DOCS = Path(__file__).resolve().parent.parent / "docs"
SMALLER = (
    ("hidden: 20", "hidden: 5"),
    ("[1000]", "[4]"),
    ("[64]", "[2]"),
    ("[256]", "[4]"),
    ("[cde_as_ode]", "[{cde_as_ode: {observations: 4, hidden: 3, width: 6}}]"),
    ("repeats: 20", "repeats: 1"),
    ("repeats: 10", "repeats: 1"),
    ("repeats: 6", "repeats: 1"),
)
CASES = {
    "latent ODE": ("problem=mlp and batch=4 and stepping=adaptive", 6),
    "neural CDE": ("problem=cde_as_ode", 6),
    "augmented neural ODE": ("problem=mlp and batch=2", 6),
    "MLP field": ("problem=mlp and stepping=fixed", 10),
}


def call(*words: str) -> str:
    result = CliRunner().invoke(app, words, prog_name="odebench")
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite as it is shipped, with sizes that take no time."""
    text = find_suite("switching").read_text(encoding="utf-8")
    for shipped, less in SMALLER:
        assert shipped in text
        text = text.replace(shipped, less)
    path = tmp_path_factory.mktemp("suite") / "switching.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def records(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sequence[Record]]:
    """Program -> its records, each by a run of its own with -k."""
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed here")
    found = {}
    for program, (where, _) in CASES.items():
        folder = tmp_path_factory.mktemp("runs") / "out"
        call("run", str(small), "-k", where, "-o", str(folder), "--no-progress", "-q")
        found[program] = read_results(folder)
    return found


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """docs/figures_switching.py, whose modules stand beside it."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(DOCS))
    yield importlib.import_module("figures_switching")
    patch.undo()


def test_the_shipped_suite_is_valid_and_nothing_of_it_is_refused_where_torchdiffeq_is() -> None:
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed here")
    told = call("validate", "switching")
    assert "switching: 8 cells, 8 to measure, 0 refused" in told
    assert "switching_direct: 10 cells, 10 to measure, 0 refused" in told
    assert "switching_adjoint: 10 cells, 10 to measure, 0 refused" in told


@pytest.mark.parametrize("program", CASES)
def test_every_shape_is_measured_by_all_who_are_asked(program: str, records: dict[str, Sequence[Record]]) -> None:
    mine = records[program]
    assert [(r.cell.key, r.reason) for r in mine if r.status != "ok"] == []
    assert len(mine) == CASES[program][1]
    theirs = [r for r in mine if r.cell.suite == "switching"]
    assert [r.cell.gradient.name for r in theirs] == ["direct", "adjoint"]
    assert all(r.cell.solver.name.startswith("torchdiffeq.") for r in theirs)
    assert all("beside_ratio" in r.metrics for r in mine if r not in theirs)
    for call_of in ("direct", "adjoint"):
        assert any(r.cell.suite == f"switching_{call_of}" and r.cell.gradient.name == call_of for r in mine)


def test_no_save_of_the_latent_ode_costs_a_step(records: dict[str, Sequence[Record]]) -> None:
    assert all(record.metrics["steps"] < 99 for record in records["latent ODE"])


def test_the_table_has_both_calls_of_every_program(script: ModuleType, records: dict[str, Sequence[Record]]) -> None:
    lines = script.switching([record for mine in records.values() for record in mine]).splitlines()[2:]
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    for program in script.PROGRAMS:
        for name in ("`odeint`", "`odeint_adjoint`"):
            mine = [row for row in rows if row[:2] == [program, name]]
            assert [row[2] for row in mine[:2]] == ["torchdiffeq", "the import changed"]
            assert len(mine) <= 3
            assert mine[0][3].strip() == ""
            assert float(mine[1][3]) > 0


def test_the_better_pair_is_the_fastest_of_those_that_are_as_good(script: ModuleType) -> None:
    def row(gradient: str, ratio: float, error: float, peak: int) -> Record:
        cell = replace(called.cell, suite="switching_adjoint", solver=Spec("dopri5"), gradient=Spec(gradient))
        return Record(cell, "ok", "", {"beside_ratio": ratio, "gradient_error": error, "peak_memory_bytes": peak})

    figures = {"gradient_error": 2e-6, "solution_error": 5e-6, "peak_memory_bytes": 1000}
    cell = Cell("switching", Spec("mlp"), Spec("torchdiffeq.dopri5"), Spec("adjoint"), Spec("adaptive"))
    called = Record(cell, "ok", "", figures)
    wrong, large = row("aca", 0.1, 6e-6, 1000), row("direct", 0.2, 1e-6, 1251)
    good, slow = row("recursive", 0.3, 5e-6, 1250), row("adjoint", 0.4, 1e-7, 500)
    assert script.best([slow, wrong, good, large], called) is good
    assert script.best([wrong, large], called) is None
    assert script.is_the_import_changed(slow, called)
    assert not script.is_the_import_changed(good, called)
    assert script.faster(good) == "3.3"
    ends = {"beside_ratio": 0.5, "beside_ratio_low": 0.4, "beside_ratio_high": 0.8}
    assert script.faster(replace(good, metrics=ends)) == "2 (1.2 to 2.5)"
    assert Beside(solver=Spec("rk4")).of(cell).solver == Spec("rk4")
