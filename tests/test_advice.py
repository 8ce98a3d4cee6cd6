"""Warnings that teach: each is of records as they were measured, says what to do, and is said once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from odebench.cli.advising import machine_of
from odebench.cli.app import app
from odebench.record import Record
from odebench.report.advice import MOST, Advice, advice
from odebench.spec import Spec
from odebench.store import read_results

# One document for each thing that can be wrong, and one of which nothing is.
SUITES = """\
name: digits
problems: [{pendulum: {span: [0, 10]}}]
solvers:
  - {alf: {eta: 0.9}}
  - {alf: {eta: 1.0}}
  - {coupled: {base: euler, coupling: 0.75}}
  - {coupled: {base: euler, coupling: 0.75, reset: 10}}
gradients: [reversible]
stepping: [{fixed: {steps: 20}}, {fixed: {steps: 200}}]
measure: {repeats: 1, warmup: 0}
---
name: adjoint
problems: [{van_der_pol: {span: [0, 5]}}]
solvers: [dopri5]
gradients: [adjoint, aca]
stepping: [{adaptive: {rtol: 1e-5, atol: 1e-5}}, {fixed: {steps: 50}}]
measure: {repeats: 1, warmup: 0}
---
name: rounding
problems: [{linear_decay: {span: [0, 0.01]}}]
solvers: [dopri5]
stepping: [{adaptive: {rtol: 1e-7, atol: 1e-2}}]
dtypes: [float64, float32]
measure: {repeats: 1, warmup: 0}
---
name: floor
problems: [{mlp: {dim: 2, hidden: 512, span: [0, 0.1]}}]
solvers: [alf]
gradients: [reversible]
stepping: [{fixed: {steps: 2}}]
batches: [1, 64]
measure: {repeats: 1, warmup: 0}
---
name: good
problems: [linear_decay]
solvers: [rk4]
stepping: [{fixed: {steps: 10}}]
measure: {repeats: 6, warmup: 0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of all of them."""
    place = tmp_path_factory.mktemp("advice")
    (place / "all.yaml").write_text(SUITES)
    run = CliRunner().invoke(app, ["run", str(place / "all.yaml"), "-o", str(place / "out"), "-q"])
    assert run.exit_code == 0, run.stderr
    return place / "out"


@pytest.fixture
def records(folder: Path) -> list[Record]:
    return read_results(folder)


def of(records: Sequence[Record], suite: str) -> list[Record]:
    return [record for record in records if record.cell.suite == suite]


def about(records: Sequence[Record], topic: str, machine: dict[str, Any] | None = None) -> Advice | None:
    """The advice on one topic, where there is one; never two."""
    found = [each for each in advice(records, machine) if each.topic == topic]
    assert len(found) <= 1
    return found[0] if found else None


def test_steps_undone_beyond_the_last_digit_are_told_with_the_law_and_a_cure(records: list[Record]) -> None:
    told = about(of(records, "digits"), "digits")
    assert told is not None
    assert told.cells == 2  # not after 20 steps, not at eta = 1, not with reset
    assert "in 2 cells such as coupled(base=euler, coupling=0.75) with reversible at fixed(steps=200)" in told.text
    assert "multiplies rounding by 1.33, so float64 lasts for 128 of them, and 200 were undone" in told.text
    assert "reset" in told.text
    alone = about([record for record in of(records, "digits") if record.cell.solver.name == "alf"], "digits")
    assert alone is not None
    assert "by 1.25, so float64 lasts for 165 of them" in alone.text
    assert "take eta = 1, fewer steps, or gradient aca" in alone.text


def test_an_adjoint_that_strays_beyond_its_tolerance_is_told(records: list[Record]) -> None:
    told = about(of(records, "adjoint"), "adjoint")
    assert told is not None
    assert told.cells == 1  # aca does not stray, and fixed steps have no tolerance
    assert told.example.stepping.name == "adaptive"
    assert "at rtol 1e-05" in told.text
    assert "aca" in told.text


def test_a_looser_tolerance_of_its_own_is_the_one_an_adjoint_is_held_to(records: list[Record]) -> None:
    (record,) = (
        r for r in of(records, "adjoint") if r.cell.gradient.name == "adjoint" and "rtol" in str(r.cell.stepping)
    )
    loose = replace(record, cell=replace(record.cell, gradient=Spec.of("adjoint", {"rtol": 100.0})))
    assert about([loose], "adjoint") is None


def test_a_tolerance_below_rounding_is_told_for_the_dtype_it_is_below(records: list[Record]) -> None:
    told = about(of(records, "rounding"), "rounding")
    assert told is not None
    assert (told.cells, told.example.dtype) == (1, "float32")
    assert "rtol 1e-07, where float32 rounds at 6e-08" in told.text
    assert told.text.endswith("take rtol 1e-06 or more, or float64")


def test_a_peak_that_is_hardly_more_than_the_gradient_is_told(records: list[Record]) -> None:
    told = about(of(records, "floor"), "floor")
    assert told is not None
    assert (told.cells, told.example.batch) == (1, 1)  # at batch 64 the activations are what is weighed
    (small,) = (record for record in of(records, "floor") if record.cell.batch == 1)
    assert small.settings["gradient_bytes"] == 8 * (2 + 2 * 512 + 512 + 512 * 2 + 2)
    assert f"{small.metrics['peak_memory_bytes'] / small.settings['gradient_bytes']:.1f} times" in told.text


def test_blocks_of_a_gpu_that_hide_the_bytes_are_told(records: list[Record]) -> None:
    (record,) = of(records, "good")
    figures = {"peak_memory_bytes": 4096, "peak_requested_bytes": 100}
    there = replace(record, cell=replace(record.cell, device="cuda"), metrics={**record.metrics, **figures})
    told = about([there], "floor")
    assert told is not None
    assert "peak_requested_bytes" in told.text


@pytest.mark.parametrize(
    ("device", "solver", "cure"),
    [("cuda", "rk4", "between devices compare peak_requested_bytes"), ("cpu", "diffrax.tsit5", "within one library")],
)
def test_memory_of_two_gauges_is_told(records: list[Record], device: str, solver: str, cure: str) -> None:
    (record,) = of(records, "good")
    other = replace(record, cell=replace(record.cell, device=device, solver=Spec(solver)))
    told = about([record, other], "gauges")
    assert told is not None
    assert "two gauges" in told.text
    assert cure in told.text
    elsewhere = replace(other, cell=replace(other.cell, problem=Spec("mlp")))
    assert about([record, elsewhere], "gauges") is None  # nobody compares these


def test_a_solve_that_waited_for_a_processor_is_told(records: list[Record]) -> None:
    (record,) = of(records, "good")
    halved = [seconds / 2 for seconds in record.samples["cpu_seconds"]]
    waited = replace(record, samples={**record.samples, "cpu_seconds": halved})
    told = about([waited], "load")
    assert told is not None
    assert "% of its time; end what else runs" in told.text
    by_others = replace(waited, settings={**record.settings, "jobs": 4})
    told = about([by_others], "load")
    assert told is not None
    assert "run without --jobs" in told.text


def test_a_machine_that_was_busy_before_is_told(records: list[Record]) -> None:
    (record,) = of(records, "good")
    steady = replace(record, samples={})  # as a CSV has it
    assert about([steady], "load") is None
    assert about([steady], "load", {"load_average": [0.5, 0, 0], "cores": 2}) is None
    told = about([steady], "load", {"load_average": [2.5, 0, 0], "cores": 2})
    assert told is not None
    assert "2.5 processes on 2 processors" in told.text


def test_too_few_repeats_for_an_interval_are_told_and_six_are_not(records: list[Record]) -> None:
    told = about(of(records, "rounding"), "repeats")
    assert told is not None
    assert "1 repeat is too few" in told.text
    assert about(of(records, "good"), "repeats") is None


def test_good_results_are_told_nothing(records: list[Record]) -> None:
    (record,) = of(records, "good")
    assert advice([replace(record, samples={})]) == []
    assert advice([]) == []


def test_the_most_important_comes_first_and_there_are_never_many(records: list[Record]) -> None:
    told = advice([replace(record, samples={}) for record in records])
    assert [each.topic for each in told] == ["digits", "adjoint", "rounding", "floor", "repeats"]
    assert len(told) <= MOST
    for each in told:
        assert "{" not in each.text
        assert "\n" not in each.text


def test_show_and_run_tell_it_on_stderr_once_and_not_when_quiet(folder: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["show", str(folder), "-k", "suite=digits or suite=floor"])
    assert shown.exit_code == 0
    assert shown.stderr.count("mind: undoing steps has eaten all digits") == 1
    assert "mind:" not in shown.stdout
    quiet = CliRunner().invoke(app, ["show", str(folder), "-q"])
    assert quiet.stderr == ""
    Path(tmp_path / "floor.yaml").write_text(SUITES.split("---\n")[3])
    ran = CliRunner().invoke(app, ["run", str(tmp_path / "floor.yaml"), "-o", str(tmp_path / "out"), "--format", "csv"])
    assert ran.stderr.count("mind: peak memory is hardly more than the gradients") == 1
    assert "mind:" not in ran.stdout


def test_facts_of_the_machine_are_read_where_there_are_any(folder: Path, tmp_path: Path) -> None:
    assert machine_of(folder)["cores"] >= 1
    assert machine_of(folder / "results.csv") == {}
    assert machine_of(None) == {}
    (tmp_path / "machine.json").write_text("[")
    assert machine_of(tmp_path) == {}
