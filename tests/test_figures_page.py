"""docs/figures.md: what stands on it, and what the script that writes it makes of records."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import odebench
from odebench.record import Cell, Record
from odebench.registry import gradients, load_shipped, solvers
from odebench.spec import Spec
from odebench.suite.loading import load_suites
from odebench.types import Stepper

load_shipped()
DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "figures.md").read_text(encoding="utf-8")
ABOUT: dict[str, Any] = {"version": "0.1.0", "commit": "4aa6fcabe695-dirty", "started": "2026-01-31T12:00:00Z"}
SMALL = """\
name: small
problems: [{linear_decay: {span: [0, 1]}}]
solvers: [heun, vern9]
gradients: [direct, adjoint, reversible]
stepping: [{adaptive: {rtol: 1e-6, atol: 1e-6}}]
measure: {repeats: 1, warmup: 0}
"""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """docs/figures.py, whose modules stand beside it and in no package."""
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(DOCS))
    yield importlib.import_module("figures")
    patch.undo()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.yaml").write_text(SMALL)
    return odebench.run(folder / "small.yaml", output=folder / "out")


def square(solver: str, gradient: Spec | str, error: float, status: str = "ok", reason: str = "") -> Record:
    spec = gradient if isinstance(gradient, Spec) else Spec(gradient)
    cell = Cell("s", Spec("mlp"), Spec(solver), spec, Spec.of("fixed", {"steps": 20}))
    return Record(cell, status, reason, {"gradient_error_discrete": error}, **ABOUT)


def test_every_section_stands_on_the_page_and_no_other(script: ModuleType) -> None:
    texts = script.standing(PAGE)
    assert list(texts) == [section.name for section in script.SECTIONS]
    for section in script.SECTIONS:
        assert texts[section.name].startswith(f"## {section.title}\n\n")
        assert f"`odebench run {section.suite}`" in texts[section.name]
        assert "| --- |" in texts[section.name]


def test_what_is_not_made_anew_stays_to_the_letter(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert script.written(PAGE) == PAGE
    monkeypatch.setattr(script, "records_of", lambda suite: [square("rk4", "aca", 1e-16)])
    one = script.SECTIONS[3]._replace(make=lambda records: f"of {len(records)} record")
    before, after = script.standing(PAGE), script.standing(script.written(PAGE, one))
    assert "of 1 record\n" in after[one.name]
    assert "measured 2026-01-31 by odebench 0.1.0 at 4aa6fcabe695-dirty" in after[one.name]
    assert {**after, one.name: ""} == {**before, one.name: ""}


def test_sections_are_asked_for_by_their_suites(script: ModuleType) -> None:
    assert script.asked([]) == list(script.SECTIONS)
    assert [section.name for section in script.asked(["peers"])] == ["peers", "told"]
    with pytest.raises(SystemExit, match="quickstart: no suite that the figures are made of; those are order, "):
        script.asked(["quickstart"])


def test_the_matrix_has_every_scheme_and_every_gradient() -> None:
    suites = load_suites(["exactness"])
    shipped = {e.name for e in solvers if e.source == "odebench" and isinstance(e.build({}), Stepper)}
    asked = {spec.name for suite in suites[:2] for spec in suite.solvers}
    assert shipped <= asked
    for suite in suites[:2]:
        assert {entry.name for entry in gradients if entry.source == "odebench"} <= {s.name for s in suite.gradients}
        assert {spec.name for spec in suite.stepping} == {"fixed", "adaptive"}
        assert suite.dtypes == ("float64",)


def test_a_pair_that_claims_to_be_exact_and_is_not_is_told_by_name(script: ModuleType) -> None:
    verdict = importlib.import_module("figures_gradients").verdict
    good = [square("rk4", "direct", 0.0), square("rk4", "aca", 2e-16), square("ees25", "reversible", 1e-4)]
    good.append(square("rk4", "adjoint", 1e-3))
    told = verdict(good)
    assert "2 cells claim the gradient of the very steps that were taken, and 2 keep within 1e-11" in told
    assert "The largest error is 2.0e-16, of `rk4` with `aca` at fixed steps. No exception." in told
    bad = [*good, square("heun", "aca", 3e-9), square("alf", "reversible", 0.0, "crashed")]
    told = verdict(bad)
    assert "4 cells claim" in told
    assert "2 keep within" in told
    assert "Beyond the bound: `alf` with `reversible` at fixed steps: crashed; `heun` with `aca`" in told


def test_every_refusal_of_the_matrix_has_a_letter_and_its_sentence(script: ModuleType, small: list[Record]) -> None:
    told = script.exactness(small)
    rows = [line for line in told.splitlines() if line.startswith(("| `heun`", "| `vern9`"))]
    assert [row.split(" | ")[1] for row in rows] == ["0.0e+00"] * 2
    assert all(row.split(" | ")[2].startswith("(") for row in rows), "no claim, so in brackets"
    assert [row.split(" | ")[3] for row in rows] == ["a |"] * 2
    reasons = {record.reason for record in small if record.status == "refused"}
    assert len(reasons) == 2
    (line,) = (line for line in told.splitlines() if line.startswith("- **a** (2 squares)"))
    assert any(reason in line for reason in reasons)
    assert line.endswith("Said of `heun`, `vern9`; with `reversible`.")


def test_who_misses_the_band_of_dop853_is_told_by_how_much_and_beside_rk45(
    script: ModuleType, small: list[Record]
) -> None:
    direct = [record for record in small if record.cell.gradient == Spec("direct")]
    table, told = script.tolerances(direct).split("\n\n", 1)
    (row,) = (line for line in table.splitlines() if line.startswith("| `linear_decay"))
    problem, tolerance, band, heun, vern9 = row.removeprefix("| ").removesuffix(" |").split(" | ")
    assert (problem, tolerance) == ("`linear_decay(span=[0.0, 1.0])`", "1e-06")
    error, evaluations = (float(part) for part in band.split(" / "))
    assert 0 < error < 1e-6
    assert evaluations > 12
    assert heun.endswith("×**")
    assert "×" not in vern9
    assert "Of 2 cells 1 are within 10 times the error of `DOP853`; always within: `vern9`." in told
    assert "| `heun` | `linear_decay(span=[0.0, 1.0])` | 1e-06 | " in told


def test_a_count_that_is_not_that_of_the_formula_stands_in_bold(script: ModuleType) -> None:
    costs = importlib.import_module("figures_costs")
    assert costs.agreeing(4000, 4000) == "4,000"
    assert costs.agreeing(4001, 4000) == "**4,001**"
    assert costs.retaken(1000, 1000) == 0
    assert costs.retaken(1000, 1) == 999 * 1000 // 2
