"""Backpropagation through the step-size control, and what it changes."""

from __future__ import annotations

import pytest
import torch
from matrix import ADAPTIVE, lotka, mlp, refusal, relative, solve

from odebench import registry
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.gradients import Direct
from odebench.integrate import timed
from odebench.problems import Bound
from odebench.spec import Spec
from odebench.types import Controller, Stepper


def differences(bound: Bound, stepper: Stepper, control: Controller) -> torch.Tensor:
    """dL/dy0 and dL/dθ of the whole program, by central differences."""

    def loss() -> float:
        with torch.no_grad():
            f = timed(bound.f, bound.y0)
            return bound.loss(Direct().solve(f, bound.params, bound.y0, bound.ts, stepper, control)).item()

    found = []
    for leaf in (bound.y0, *bound.params):
        flat = leaf.data.view(-1)
        for j, value in enumerate(flat.tolist()):
            ends = []
            for moved in (value + 1e-6, value - 1e-6):
                flat[j] = moved
                ends.append(loss())
            flat[j] = value
            found.append((ends[0] - ends[1]) / 2e-6)
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("controller", ["i", "pi", "pid"])
@pytest.mark.parametrize("solver", ["bosh3", "reversible_heun", "backstep(base=dopri5)"])
def test_it_is_the_gradient_of_the_whole_program(solver: str, controller: str) -> None:
    spec = Spec.of("backstep", {"base": "dopri5"}) if "(" in solver else Spec(solver)
    bound, stepper = lotka(saves=2), registry.solvers.build(spec)
    control = Adaptive(1e-2, 1e-3, controller=controller, first_step=0.2)  # type: ignore[arg-type]
    whole = differences(bound, stepper, control)
    with_control = solve(bound, stepper, Direct(control=True), control)
    without = solve(bound, stepper, Direct(), control)
    assert relative(with_control.gradient, whole) < 1e-4
    assert relative(without.gradient, whole) > 1e-3


def test_against_the_same_steps_replayed_the_share_of_the_control_shows() -> None:
    bound, stepper = mlp(saves=2), registry.solvers.build(Spec("dopri5"))
    control = Adaptive(1e-3, 1e-4)
    got = solve(bound, stepper, Direct(control=True), control)
    reference = solve(bound, stepper, Direct(), Replay(got.log.mesh))
    assert relative(got.ys, reference.ys) < 1e-13
    assert 1e-9 < relative(got.gradient, reference.gradient) < 1
    assert relative(solve(bound, stepper, Direct(), control).gradient, reference.gradient) < 1e-13


def test_a_rejected_trial_has_its_share() -> None:
    bound, stepper = lotka(), registry.solvers.build(Spec("dopri5"))
    control = Adaptive(1e-4, 1e-5, first_step=2.0)
    got = solve(bound, stepper, Direct(control=True), control)
    assert got.log.rejected > 0
    assert relative(got.gradient, differences(bound, stepper, control)) < 1e-4


def test_steps_held_by_their_limits_have_no_share() -> None:
    bound, stepper = lotka(), registry.solvers.build(Spec("dopri5"))
    control = Adaptive(1e-1, 1e-1, first_step=0.125, max_step=0.125)
    got = solve(bound, stepper, Direct(control=True), control)
    assert relative(got.gradient, solve(bound, stepper, Direct(), Replay(got.log.mesh)).gradient) < 1e-13


def test_on_fixed_steps_it_is_backpropagation_bit_by_bit() -> None:
    bound = mlp()
    both = [solve(bound, Spec("rk4"), Direct(control=each), Fixed(steps=10)).gradient for each in (True, False)]
    assert torch.equal(*both)


def test_what_it_cannot_follow_is_refused_by_a_sentence() -> None:
    through = Spec.of("direct", {"control": True})
    assert "leave `control` out" in (refusal(Spec("kvaerno3"), through, ADAPTIVE) or "")
    assert refusal(Spec("dopri5"), through, ADAPTIVE) is None
    assert "leave out `dense`" in (refusal(Spec("dopri5"), through, Spec.of("adaptive", {"dense": True})) or "")
