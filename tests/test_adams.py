"""Adams methods: their weights, their start, and steps of unequal length."""

from __future__ import annotations

from fractions import Fraction
from math import log2

import pytest
import torch
from matrix import mlp, refusal, solve

from odebench import odeint, registry
from odebench.controllers import Fixed, Replay
from odebench.integrate import timed, walk
from odebench.problems import bind
from odebench.solvers.adams import weights
from odebench.spec import Spec
from odebench.types import Mesh, Tick

METHODS = [Spec.of(name, {"order": order}) for name in ("adams_bashforth", "abm") for order in (1, 2, 3, 4, 5)]


def nodes(*places: int) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, places))


def mesh(*lengths: float) -> Mesh:
    ticks, t = [], 0.0
    for i, h in enumerate(lengths):
        ticks.append(Tick(t, h, i == len(lengths) - 1))
        t += h
    return tuple(ticks)


def oscillator_error(solver: Spec, ticks: Mesh) -> float:
    """At the end of the mesh."""
    end = ticks[-1].t + ticks[-1].dt
    bound = bind(Spec.of("harmonic_oscillator", {"span": (0.0, end)}), batch=1, seed=0, dtype="float64", device="cpu")
    stepper, field = registry.solvers.build(solver), timed(bound.f, bound.y0)
    with torch.no_grad():
        y1 = walk(field, stepper, Replay(ticks), bound.ts, stepper.init(field, 0.0, bound.y0.detach())).ys[-1][0]
    angle = torch.tensor(end, dtype=torch.float64)
    return float((y1 - torch.stack((torch.cos(angle), -torch.sin(angle)))).norm())


def test_weights_on_equal_steps_are_the_tabulated_ones() -> None:
    tables = {
        (0,): (1,), (0, -1): (3 / 2, -1 / 2), (0, -1, -2): (23 / 12, -16 / 12, 5 / 12),
        (0, -1, -2, -3): (55 / 24, -59 / 24, 37 / 24, -9 / 24),
        (0, -1, -2, -3, -4): (1901 / 720, -2774 / 720, 2616 / 720, -1274 / 720, 251 / 720),
        (1,): (1,), (1, 0): (1 / 2, 1 / 2), (1, 0, -1): (5 / 12, 8 / 12, -1 / 12),
        (1, 0, -1, -2): (9 / 24, 19 / 24, -5 / 24, 1 / 24),
        (1, 0, -1, -2, -3): (251 / 720, 646 / 720, -264 / 720, 106 / 720, -19 / 720),
    }  # fmt: skip
    for places, table in tables.items():
        assert weights(nodes(*places)) == pytest.approx(table, abs=1e-15)


def test_weights_on_unequal_steps_integrate_polynomials_exactly() -> None:
    places = (0.0, -0.7, -1.9, -2.0)
    found = weights(places)
    for power in range(4):
        assert sum(w * x**power for w, x in zip(found, places, strict=True)) == pytest.approx(
            1 / (power + 1), abs=1e-13
        )


@pytest.mark.parametrize("solver", METHODS, ids=str)
def test_unequal_steps_keep_the_order(solver: Spec) -> None:
    order = registry.solvers.build(solver).order
    pattern = (1.0, 1.3, 0.7, 1.1, 0.5, 1.4)
    errors = [oscillator_error(solver, mesh(*(h * 3.0 / n for h in pattern * (n // 6)))) for n in (96, 192)]
    assert log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("solver", METHODS, ids=str)
def test_a_sliver_of_a_step_costs_accuracy_no_digits(solver: Spec) -> None:
    even = oscillator_error(solver, mesh(*[0.02] * 100))
    for sliver in (1e-3, 1e-9):
        cut = oscillator_error(solver, mesh(*[0.02] * 50, sliver, *[0.02] * 50))
        assert cut < 1.5 * even + 1e-13


def test_a_last_step_cut_short_lands_on_the_end() -> None:
    bound = mlp(span=(0.0, 1.0))
    true = solve(bound, Spec("dopri8"), Spec("direct"), Fixed(steps=100)).ys[-1]
    for solver, allowed in (("adams_bashforth", 2e-6), ("abm", 2e-7)):
        got = solve(bound, Spec(solver), Spec("direct"), Fixed(dt=0.03))
        assert float((got.ys[-1] - true).norm()) < allowed


@pytest.mark.parametrize("gradient", ["aca", "recursive"])
@pytest.mark.parametrize("solver", ["adams_bashforth", "abm"])
def test_gradients_over_steps_cut_short_for_saved_times_are_exact(solver: str, gradient: str) -> None:
    bound = mlp(span=(0.0, 2.0), saves=3)
    got = solve(bound, Spec(solver), Spec(gradient), Fixed(dt=0.07))
    reference = solve(bound, Spec(solver), Spec("direct"), Fixed(dt=0.07))
    assert torch.equal(got.ys, reference.ys)
    assert torch.allclose(got.gradient, reference.gradient, rtol=1e-12, atol=1e-13)


def test_time_may_run_backwards_and_states_be_float32() -> None:
    t = torch.linspace(2.0, 0.0, 5)
    y0 = torch.tensor([1.0, 2.0])
    for solver in ("adams_bashforth", "abm"):
        ys = odeint(lambda t, y: -y, y0, t, method=solver, options={"dt": 0.01})
        assert ys.dtype == torch.float32
        assert torch.allclose(ys[-1], y0 * torch.exp(torch.tensor(2.0)), rtol=1e-5)


def test_what_a_multistep_scheme_cannot_do_is_refused() -> None:
    fixed, adaptive = Spec.of("fixed", {"steps": 10}), Spec.of("adaptive", {})
    for name in ("adams_bashforth", "abm"):
        assert "estimates no error" in str(refusal(Spec(name), Spec("direct"), adaptive))
        assert "cannot be undone" in str(refusal(Spec(name), Spec("reversible"), fixed))
        assert "cannot be transposed" in str(refusal(Spec(name), Spec("symplectic"), fixed))
        assert refusal(Spec(name), Spec("adjoint"), fixed) is None
    with pytest.raises(Exception, match="order must be 1 to 5; got 6"):
        registry.solvers.build(Spec.of("abm", {"order": 6}))
