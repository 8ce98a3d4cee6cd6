"""Saved times inside steps: what it costs, how good they are, and gradients through them."""

from __future__ import annotations

from dataclasses import replace
from math import log2
from typing import Any

import pytest
import torch
from matrix import mlp, relative, solve
from test_stepping import decay, run
from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive, Replay
from odebench.gradients import Direct
from odebench.integrate import look, timed
from odebench.problems import bind
from odebench.spec import Spec
from odebench.types import Continuous, Tick

PAIRS = ["heun", "fehlberg2", "bosh3", "dopri5", "tsit5", "dopri8", "vern6", "vern7", "vern8", "vern9"]
CARRYING = ["alf", "reversible_heun", "kvaerno3", "kvaerno5"]  # a slope in their state, hence Hermite's cubic
DENSE = Adaptive(1e-5, 1e-7, dense=True)


def test_hundreds_of_saves_cost_no_step_and_no_evaluation() -> None:
    for solver in ("dopri5", "tsit5", "bosh3"):
        few, many = (
            solve(mlp(saves=saves), Spec(solver), Direct(), Adaptive(1e-6, 1e-8, dense=True)) for saves in (1, 300)
        )
        assert len(many.ys) == 301
        assert many.nfe_forward == few.nfe_forward
        assert [tick[:2] for tick in many.log.mesh] == [tick[:2] for tick in few.log.mesh]
        landing = solve(mlp(saves=300), Spec(solver), Direct(), Adaptive(1e-6, 1e-8))
        assert len(landing.log.mesh) >= 300
        assert landing.nfe_forward > 2 * many.nfe_forward


def test_extra_stages_are_evaluated_for_the_steps_that_are_looked_into_and_no_others() -> None:
    few, one, many = (
        run_counted("vern7", ts)
        for ts in ((0.0, 10.0), (0.0, 0.5, 10.0), (0.0, *(0.1 * k for k in range(1, 100)), 10.0))
    )
    extra = len(registry.solvers.build(Spec("vern7")).tableau.interpolant.extra)
    assert one - few == extra
    assert many > one
    assert (many - few) % extra == 0


def run_counted(solver: str, ts: tuple[float, ...]) -> int:
    calls = 0

    def f(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return -y

    run(f, solver, DENSE, ts)
    return calls


@pytest.mark.parametrize("ts", [(0.0, 0.1, 0.11, 3.0, 3.7, 5.0), (5.0, 4.9, 2.0, 1.99, 0.0)])
@pytest.mark.parametrize("solver", [*PAIRS, *CARRYING])
def test_what_is_interpolated_is_the_solution_in_either_direction_of_time(solver: str, ts: tuple[float, ...]) -> None:
    got = run(decay, solver, Adaptive(1e-5, 1e-7, dense=True), ts)
    exact = torch.exp(ts[0] - torch.tensor(ts, dtype=torch.float64))
    assert relative(torch.cat(got.ys).squeeze(), exact) < 5e-3
    assert sum(tick.lands for tick in got.mesh) == len(ts) - 1


def test_saved_times_that_all_but_meet_each_other_or_the_end_are_all_given() -> None:
    ts = (0.0, 0.5, 0.5 + 1e-13, 1.0 - 1e-13, 1.0)
    got = run(decay, "dopri5", DENSE, ts)
    assert len(got.ys) == 5
    assert torch.cat(got.ys).squeeze().tolist() == pytest.approx(
        [1.0, 0.60653066, 0.60653066, 0.36787944, 0.36787944], abs=1e-5
    )


ORDERS = {
    "euler": 1, "heun": 2, "alf": 2, "reversible_heun": 2, "bosh3": 3, "rk4": 3, "kvaerno3": 3, "kvaerno5": 3,
    "dopri5": 4, "tsit5": 4, "dopri8": 5, "vern6": 6, "vern7": 6, "vern8": 8, "vern9": 9,
}  # fmt: skip
START = {1: 0.02, 2: 0.02, 3: 0.08, 4: 0.06, 5: 0.4, 6: 0.4, 8: 0.8, 9: 0.8}  # well above rounding


@pytest.mark.parametrize("solver", ORDERS)
def test_inside_a_step_the_error_shrinks_as_the_order_of_the_interpolant_says(solver: str) -> None:
    order, stepper = ORDERS[solver], registry.solvers.build(Spec(solver))
    gaps = [inside_error(stepper, START[order] * 0.8**k) for k in range(4)]
    slope = log2(gaps[0] / gaps[-1]) / log2(0.8**-3)
    assert slope > order + 0.7
    if order < 6:  # of those of Verner the leading term is so small that the next one shows, here
        assert slope < order + 1.4


@pytest.mark.parametrize(("solver", "floor"), [("dopri5", 1e-15), ("vern6", 1e-13), ("vern8", 1e-14), ("vern9", 1e-15)])
def test_huge_coefficients_cost_no_digits(solver: str, floor: float) -> None:
    assert inside_error(registry.solvers.build(Spec(solver)), 0.0009765625) < floor


def inside_error(stepper: Any, h: float) -> float:
    """The largest error at some places inside the first step of a pendulum."""
    bound = bind(Spec("pendulum"), batch=1, seed=0, dtype="float64", device="cpu")
    field, y0, inside = timed(bound.f, bound.y0), bound.y0.detach(), (0.15, 0.37, 0.6, 0.85)
    with torch.no_grad():
        _, got = look(field, stepper, Tick(0.0, h, len(inside)), stepper.init(field, 0.0, y0), inside)
        return max(float((y - fine(field, y0, p * h)).norm()) for y, p in zip(got, inside, strict=True))


def fine(field: Any, y: Tensor, length: float) -> Tensor:
    stepper, t = registry.solvers.build(Spec("vern9")), 0.0
    for _ in range(16):
        (y,) = stepper.advance(field, t, length / 16, (y,))
        t += length / 16
    return y


@pytest.mark.parametrize("gradient", ["aca", "recursive", "reversible", "symplectic"])
@pytest.mark.parametrize("solver", ["bosh3", "dopri5", "dopri8", "vern7", "alf", "reversible_heun"])
def test_exact_gradients_through_interpolated_values_equal_backpropagation(solver: str, gradient: str) -> None:
    stepper, how = registry.solvers.build(Spec(solver)), registry.gradients.build(Spec(gradient))
    if how.refusal(stepper):
        pytest.skip("refused")
    bound = weighed()
    control = Adaptive(1e-3, 1e-4, dense=True) if stepper.order > 2 else Adaptive(1e-2, 1e-3, dense=True)
    got = solve(bound, stepper, how, control)
    assert any(tick.lands > 1 for tick in got.log.mesh)
    same_walk = solve(bound, stepper, Direct(), control)
    replayed = solve(bound, stepper, Direct(), Replay(got.log.mesh))
    assert torch.equal(got.ys, same_walk.ys)
    assert torch.equal(got.ys, replayed.ys)
    for reference in (same_walk, replayed):
        assert relative(got.gradient, reference.gradient) < 1e-12


def weighed() -> Any:
    """A field whose loss weighs every saved time."""
    return replace(mlp(saves=23), loss=lambda ys: (ys * torch.arange(1.0, 25.0).view(-1, 1, 1)).square().sum())


def test_differences_agree_with_the_gradient_on_the_replayed_mesh() -> None:
    bound, stepper = weighed(), registry.solvers.build(Spec("tsit5"))
    got = solve(bound, stepper, Spec("aca"), Adaptive(1e-4, 1e-5, dense=True))
    direction, h = torch.ones_like(bound.y0) / bound.y0.numel() ** 0.5, 1e-6

    def loss(shift: float) -> float:
        y0 = (bound.y0 + shift * direction).detach()
        with torch.no_grad():
            return float(
                bound.loss(Direct().solve(timed(bound.f, y0), (), y0, bound.ts, stepper, Replay(got.log.mesh)))
            )

    slope = float((got.gradient[: bound.y0.numel()] * direction.reshape(-1)).sum())
    assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx(slope, rel=1e-7)


def test_a_scheme_without_an_interpolant_is_refused_and_told_what_to_do() -> None:
    for solver in registry.solvers:
        built = None if any(option.required for option in solver.options.values()) else solver.build({})
        if not hasattr(built, "step") or built.error_order is None or isinstance(built, Continuous):
            continue
        assert "leave `dense` out" in str(DENSE.refusal(built)), solver.name
    assert "leave `dense` out" in str(DENSE.refusal(registry.solvers.build(Spec.of("coupled", {"base": "dopri5"}))))
    assert all(DENSE.refusal(registry.solvers.build(Spec(solver))) is None for solver in (*PAIRS, *CARRYING))
