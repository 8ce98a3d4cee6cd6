"""`measure: {beside: …}`: what a suite may say, what it is resolved to, and what is timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import odebench
from odebench.errors import SuiteError
from odebench.measure.statistics import time_metrics
from odebench.record import Beside, Cell, Measure, Record
from odebench.registry import load_builtins
from odebench.spec import Spec
from odebench.suite.loading import load_suites
from odebench.suite.schema import suite_schema

load_builtins()
CELL = Cell("s", Spec("growth"), Spec("rk4"), Spec("aca"), Spec.of("fixed", {"steps": 8}))
SUITE = """\
name: paired
problems: [growth]
solvers: [rk4]
gradients: [aca]
stepping: [{fixed: {steps: 8}}]
measure: {repeats: REPEATS, warmup: 0, beside: BESIDE}
"""


def write(folder: Path, beside: str, repeats: int = 6) -> Path:
    path = folder / "paired.yaml"
    path.write_text(SUITE.replace("REPEATS", str(repeats)).replace("BESIDE", beside))
    return path


def ran(folder: Path, beside: str, repeats: int = 6) -> Record:
    (record,) = odebench.run(write(folder, beside, repeats), output=folder / "out")
    return record


def test_what_is_not_named_is_the_rows_own() -> None:
    other = Beside(solver=Spec("heun"), stepping=Spec.of("fixed", {"steps": 4})).of(CELL)
    assert (str(other.solver), str(other.gradient), str(other.stepping)) == ("heun", "aca", "fixed(steps=4)")
    assert (other.problem, other.dtype) == (CELL.problem, CELL.dtype)


def test_it_is_written_and_read_again_through_json() -> None:
    measure = Measure(repeats=3, beside=Beside(Spec("heun"), Spec("direct")))
    assert Measure.from_data(json.loads(json.dumps(measure.to_data()))) == measure
    assert "beside" not in Measure().to_data()
    assert Measure.from_data(Measure().to_data()) == Measure()


def test_a_suite_resolves_names_in_it_as_it_does_elsewhere(tmp_path: Path) -> None:
    (suite,) = load_suites([write(tmp_path, "{gradient: backprop, solver: {alf: {eta: 1}}}")])
    assert suite.measure.beside == Beside(Spec.of("alf", {"eta": 1.0}), Spec("direct"))
    (tmp_path / "again.yaml").write_text(json.dumps(suite.to_data()))
    (again,) = load_suites([tmp_path / "again.yaml"])
    assert again.measure == suite.measure


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ("{}", "measure.beside: expected a mapping of solver, gradient, stepping"),
        ("rk4", "measure.beside: expected a mapping of solver, gradient, stepping"),
        ("{solver: rk5}", "measure.beside.solver: no solver is called 'rk5'"),
        ("{solvers: rk4}", "measure.beside.solvers: beside has no key 'solvers'; did you mean 'solver'"),
        ("{stepping: {fixed: {}}}", "measure.beside.stepping"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(tmp_path: Path, beside: str, says: str) -> None:
    with pytest.raises(SuiteError, match=r"paired\.yaml:6:") as raised:
        load_suites([write(tmp_path, beside)])
    assert says in str(raised.value)


def test_a_training_suite_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "trained.yaml"
    path.write_text(
        "name: trained\nkind: train\nproblems: [odenet]\nsolvers: [rk4]\nstepping: [{fixed: {steps: 2}}]\n"
        "measure: {beside: {gradient: aca}}\n"
    )
    with pytest.raises(SuiteError, match="a training run is timed by itself; leave beside out"):
        load_suites([path])


def test_the_schema_takes_what_the_grammar_takes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(suite_schema())
    suite = {"name": "x", "problems": ["growth"], "solvers": ["rk4"], "stepping": [{"fixed": {"steps": 3}}]}

    def taken(beside: Any) -> bool:
        return bool(validator.is_valid(suite | {"measure": {"beside": beside}}))

    assert taken({"solver": "rk4", "stepping": {"fixed": {"steps": 2}}})
    assert not any(map(taken, ({}, "rk4", {"solver": "rk5"}, {"problem": "growth"})))


def test_the_ratio_is_the_median_of_the_pairs_with_its_interval() -> None:
    samples: dict[str, Any] = dict.fromkeys(("forward_plain", "bare_forward", "bare"), [1.0] * 7)
    samples |= {"forward": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "backward": [1.0] * 7, "beside": [2.0] * 7}
    found = time_metrics(samples)
    assert (found["beside_ratio"], found["beside_ratio_low"], found["beside_ratio_high"]) == (2.5, 1.0, 4.0)
    few = time_metrics({name: each[:5] for name, each in samples.items()})
    assert few["beside_ratio"] == 2.0
    assert "beside_ratio_low" not in few
    assert "beside_ratio" not in time_metrics({**samples, "beside": []})


def test_a_row_is_timed_beside_it_once_a_round(tmp_path: Path) -> None:
    record = ran(tmp_path, "{solver: heun, gradient: direct, stepping: {fixed: {steps: 40}}}")
    assert record.status == "ok"
    assert len(record.samples["beside"]) == len(record.samples["forward"]) == 6
    assert record.metrics["beside_ratio_low"] <= record.metrics["beside_ratio"] <= record.metrics["beside_ratio_high"]
    # What is counted and weighed is the row's.
    assert record.metrics["nfe_forward"] == 32


@pytest.mark.parametrize(
    ("beside", "says"),
    [
        ("{solver: rk4, gradient: reversible}", "beside_ratio is empty: "),
        ("{solver: torchdiffeq.rk4}", "beside_ratio is empty: torchdiffeq has no gradient that is aca"),
        ("{stepping: {adaptive: {rtol: 1e-3}}}", "beside_ratio is empty: it estimates no error"),
    ],
)
def test_what_is_refused_beside_leaves_the_row_and_a_note(tmp_path: Path, beside: str, says: str) -> None:
    record = ran(tmp_path, beside, repeats=1)
    assert record.status == "ok"
    assert "beside_ratio" not in record.metrics
    assert any(note.startswith(says) for note in record.notes), record.notes
