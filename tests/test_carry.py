"""`carry: true` of a suite's adaptive steps: the steps of `odeint` and `odeint_adjoint`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import odebench
from odebench import odeint, odeint_adjoint
from odebench.controllers import Carrying, Fixed, as_told
from odebench.errors import UsageError
from odebench.problems import Bound, bind
from odebench.record import Record
from odebench.registry import gradients, load_builtins, solvers, steppings
from odebench.spec import Spec

load_builtins()
PROBLEM = Spec.of("mlp", {"dim": 3, "hidden": 5, "span": (0.0, 2.0), "saves": 30, "loss_at": "saves"})
GIVEN: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-8, "dense": True}
SUITE = """\
name: carried
problems: [{mlp: {dim: 3, hidden: 5, span: [0, 2], saves: 30, loss_at: saves}}]
solvers: [dopri5]
gradients: [direct, adjoint]
stepping: [{adaptive: {rtol: 1e-6, atol: 1e-8, dense: true, carry: CARRY}}]
batches: [4]
measure: {repeats: 1, warmup: 0}
"""


class Tallied(torch.nn.Module):
    def __init__(self, f: torch.nn.Module) -> None:
        super().__init__()
        self.f, self.calls = f, 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        slope: Tensor = self.f(t, y)
        return slope


def network() -> Bound:
    return bind(PROBLEM, batch=4, seed=0, dtype="float64", device="cpu")


def called(solve: Any) -> tuple[int, int]:
    """(calls on the way there, calls on the way back) of what users call."""
    bound = network()
    f = Tallied(bound.f)
    ys = solve(f, bound.y0, torch.tensor(bound.ts, dtype=torch.float64), rtol=1e-6, atol=1e-8, method="dopri5")
    there = f.calls
    bound.loss(ys).backward()
    return there, f.calls - there


def measured(folder: Path, carry: str) -> dict[str, Record]:
    path = folder / f"{carry}.yaml"
    path.write_text(SUITE.replace("CARRY", carry))
    return {record.cell.gradient.name: record for record in odebench.run(path, output=folder / carry)}


def test_a_suite_that_carries_counts_the_calls_of_odeint_and_of_odeint_adjoint(tmp_path: Path) -> None:
    carrying, searching = measured(tmp_path, "true"), measured(tmp_path, "false")
    for gradient, solve in (("direct", odeint), ("adjoint", odeint_adjoint)):
        metrics = carrying[gradient].metrics
        assert (metrics["nfe_forward"], metrics["nfe_backward"]) == called(solve)
    # Each of the 29 pieces after the first one would search for its first step, by a call at least.
    saved = searching["adjoint"].metrics["nfe_backward"] - carrying["adjoint"].metrics["nfe_backward"]
    assert saved >= 29


def test_the_same_control_takes_the_same_steps_in_every_solve() -> None:
    control = as_told(steppings.build(Spec.of("adaptive", GIVEN | {"carry": True})))
    bound, found = network(), []
    for _ in range(3):
        f = Tallied(bound.f)
        ys = gradients.build(Spec("adjoint")).solve(
            f, bound.params, bound.y0, bound.ts, solvers.build(Spec("dopri5")), control
        )
        (bar,) = torch.autograd.grad(bound.loss(ys), (bound.y0,))
        found.append((f.calls, bar))
    assert len({calls for calls, _ in found}) == 1
    assert all(torch.equal(bar, found[0][1]) for _, bar in found)


def test_nothing_else_carries() -> None:
    plain, fixed = steppings.build(Spec.of("adaptive", GIVEN)), Fixed(steps=3)
    assert as_told(plain) is plain
    assert as_told(fixed) is fixed
    assert isinstance(as_told(steppings.build(Spec.of("adaptive", {"carry": True}))), Carrying)


def test_odeint_has_no_such_option_since_it_always_does() -> None:
    with pytest.raises(UsageError, match="no option 'carry'"):
        odeint(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1.0]), options={"carry": False})


@pytest.mark.parametrize("library", ["torchdiffeq", "torchode", "diffrax"])
def test_other_libraries_are_not_driven_by_it(library: str) -> None:
    said = solvers.build(Spec(f"{library}.dopri5")).misfit(
        Spec("direct"), Spec.of("adaptive", GIVEN | {"carry": True}), saves=30, dtype="float64", device="cpu"
    )
    assert said is not None
    assert "is not driven by carry" in said
