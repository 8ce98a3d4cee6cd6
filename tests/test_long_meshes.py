"""A mesh of more steps than memory or patience can hold is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import odebench
from odebench.controllers import Fixed
from odebench.execute.planning import prepare_plan
from odebench.types import MOST_STEPS

LONG = """
name: long
problems: [{problem}]
solvers: [rk4, torchdiffeq.rk4]
stepping: [{{fixed: {stepping}}}]
"""
TRAINED = """
name: trained
kind: train
problems: [{problem}]
solvers: [rk4]
stepping: [{{fixed: {stepping}}}]
train: {{steps: 2}}
"""


def reasons(tmp_path: Path, text: str) -> set[str | None]:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    return {each.refusal for each in prepare_plan({"suites": [str(path)]}).cells}


@pytest.mark.parametrize(
    ("problem", "stepping", "told"),
    [
        (
            "linear_decay",
            "{dt: 1.0e-9}",
            "dt asks for 1e+09 steps over a span of 1, above 1e+07; is it in the unit of t?",
        ),
        ("{lorenz: {span: [3, 5]}}", "{dt: 1.0e-7}", "asks for 2e+07 steps over a span of 2"),
        ("linear_decay", "{steps: 9000000000000000000}", "steps asks for 9e+18 steps, above 1e+07; take fewer"),
        ("{linear_decay: {saves: 2}}", "{steps: 10000002}", "steps asks for 1e+07 steps"),
        ("linear_decay", "{dt: 5.0e-324}", "asks for inf steps"),
        ("{linear_decay: {span: [0, 1.0e300]}}", "{dt: 1}", "asks for 1e+300 steps"),
    ],
)
def test_too_many_steps_are_refused_in_the_plan(tmp_path: Path, problem: str, stepping: str, told: str) -> None:
    for reason in reasons(tmp_path, LONG.format(problem=problem, stepping=stepping)):
        assert reason is not None
        assert told in reason


@pytest.mark.parametrize("problem", ["cnf", "annuli", "odenet", "latent_ode", "poisson_process", "hybrid_pharmacology"])
def test_too_many_steps_of_a_training_run_are_refused_in_the_plan(tmp_path: Path, problem: str) -> None:
    for stepping in ("{dt: 1.0e-9}", "{steps: 9000000000000000000}"):
        (reason,) = reasons(tmp_path, TRAINED.format(problem=problem, stepping=stepping))
        assert reason is not None
        assert "above 1e+07" in reason


def test_where_the_span_is_not_known_before_the_worker_refuses(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(TRAINED.format(problem="identification", stepping="{dt: 1.0e-9}"))
    (record,) = odebench.run(path, output=tmp_path / "R")
    assert record.status == "refused"
    assert "asks for 6e+09 steps over a span of 6" in record.reason


def test_a_run_has_a_refused_row_of_it(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(LONG.format(problem="linear_decay", stepping="{dt: 1.0e-9}"))
    assert {each.status for each in odebench.run(path, output=tmp_path / "R")} == {"refused"}


def test_too_many_saved_times_are_an_error_of_the_suite(tmp_path: Path) -> None:
    with pytest.raises(odebench.SuiteError, match=r"saves: must be at most 1e\+07"):
        reasons(tmp_path, LONG.format(problem="{linear_decay: {saves: 1000000000}}", stepping="{steps: 4}"))


def test_as_many_steps_as_can_be_held_are_not_refused() -> None:
    assert Fixed(steps=MOST_STEPS).excess(1.0) is None
    assert Fixed(dt=1 / MOST_STEPS).excess(1.0) is None
    assert Fixed(steps=MOST_STEPS + 1).excess(None) is not None
    assert Fixed(dt=1e-9).excess(None) is None
