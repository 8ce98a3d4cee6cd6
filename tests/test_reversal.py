"""Steps that undo themselves, and where that ends."""

from __future__ import annotations

import math

import pytest
import torch
from matrix import SEPARABLE, posed, relative, solve
from torch import Tensor

from odebench import registry
from odebench.controllers import Fixed
from odebench.integrate import timed, walk
from odebench.problems import bind
from odebench.spec import Spec

REVERSIBLE = [
    Spec("alf"),
    Spec("reversible_heun"),
    *(Spec.of("coupled", {"base": base}) for base in ("euler", "heun", "bosh3", "rk4", "dopri5", "dopri8")),
    *SEPARABLE,
]


def back_and_forth(solver: Spec, problem: Spec, steps: int, dtype: str = "float64") -> float:
    bound = bind(problem, batch=1, seed=0, dtype=dtype, device="cpu")
    stepper, field = registry.solvers.build(solver), timed(bound.f, bound.y0)
    with torch.no_grad():
        start = stepper.init(field, bound.ts[0], bound.y0.detach())
        seen = walk(field, stepper, Fixed(steps=steps), bound.ts, start)
        state = seen.last
        for t, dt, _ in reversed(seen.mesh):
            state = stepper.unstep(field, t, dt, state)
    return float(((state[0] - bound.y0).norm() / bound.y0.norm()).detach())


@pytest.mark.parametrize("solver", REVERSIBLE, ids=str)
def test_a_thousand_steps_of_an_oscillation_are_undone_to_rounding(solver: Spec) -> None:
    # λ = 0.999 amplifies rounding by 0.999^-1000 = 2.7.
    assert back_and_forth(solver, Spec.of("harmonic_oscillator", {"span": (0.0, 20.0)}), 1000) < 1e-12


@pytest.mark.parametrize("solver", [Spec("alf"), Spec("reversible_heun"), Spec("coupled")], ids=str)
def test_float32_is_undone_to_its_own_rounding(solver: Spec) -> None:
    problem = Spec.of("harmonic_oscillator", {"span": (0.0, 10.0)})
    assert back_and_forth(solver, problem, 200, "float32") < 5e-5


def test_damping_amplifies_rounding_by_its_law() -> None:
    problem = Spec.of("harmonic_oscillator", {"span": (0.0, 1.0)})
    eta = 0.95
    errors = [back_and_forth(Spec.of("alf", {"eta": eta}), problem, n) for n in (100, 200)]
    growth = torch.log(torch.tensor(errors[1] / errors[0])).item() / 100
    assert growth == pytest.approx(-torch.log(torch.tensor(2 * eta - 1)).item(), rel=0.1)


def test_a_contracting_flow_costs_the_reverse_trajectory_what_it_contracts() -> None:
    # y' = -k y over T loses e^{kT}, whatever the scheme.
    lost = [
        back_and_forth(Spec("alf"), Spec.of("linear_decay", {"rate": k, "span": (0.0, 1.0)}), 1000) for k in (5.0, 20.0)
    ]
    assert lost[0] < 1e-11
    assert 1e-10 < lost[1] < 1e-4


@pytest.mark.parametrize("solver", REVERSIBLE, ids=str)
def test_one_step_is_undone_in_every_leaf_of_the_state(solver: Spec) -> None:
    bound, stepper = posed(solver), registry.solvers.build(solver)
    field = timed(bound.f, bound.y0)
    with torch.no_grad():
        before: tuple[Tensor, ...] = stepper.init(field, 0.0, bound.y0.detach())
        after = stepper.step(field, 0.0, 0.1, before).state
        again = stepper.unstep(field, 0.0, 0.1, after)
    assert len(again) == len(before)
    for a, b in zip(again, before, strict=True):
        assert torch.allclose(a, b, rtol=1e-13, atol=1e-13)
    assert not torch.allclose(after[0], before[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (Spec("ees25"), 5),
        (Spec("ees27"), 7),
        (Spec("backstep"), 5),
        (Spec.of("backstep", {"base": "midpoint"}), 3),
        (Spec.of("backstep", {"base": "heun3"}), 3),
    ],
    ids=str,
)
def test_a_backward_step_undoes_up_to_the_order_it_claims(solver: Spec, order: int) -> None:
    swing = Spec.of("pendulum", {"span": (0.0, 5.0)})
    errors = [back_and_forth(solver, swing, steps) for steps in (20, 40)]
    assert registry.solvers.build(solver).reverse_order == order
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("solver", [Spec("ees25"), Spec("ees27"), Spec("backstep")], ids=str)
def test_the_gradient_over_backward_steps_is_off_by_what_they_miss(solver: Spec) -> None:
    bound = posed(Spec("leapfrog"))  # Hénon–Heiles: nothing contracts
    stepper, errors = registry.solvers.build(solver), []
    for steps in (40, 80):
        got = solve(bound, stepper, Spec("reversible"), Fixed(steps=steps))
        errors.append(relative(got.gradient, solve(bound, stepper, Spec("direct"), Fixed(steps=steps)).gradient))
    assert errors[0] > 1e-12
    assert math.log2(errors[0] / errors[1]) == pytest.approx(stepper.reverse_order, abs=0.5)


@pytest.mark.parametrize("reset", [1, 20])
def test_resets_bound_what_the_way_back_loses(reset: int) -> None:
    # λ = 0.7 multiplies rounding by 1/0.7 each step: 3e15 over 100 steps, 1000 over 20.
    bound, worst = posed(Spec("leapfrog")), {}
    for option in ({}, {"reset": reset}):
        stepper = registry.solvers.build(Spec.of("coupled", {"coupling": 0.7, **option}))
        got = solve(bound, stepper, Spec("reversible"), Fixed(steps=100))
        same = solve(bound, stepper, Spec("direct"), Fixed(steps=100))
        assert torch.equal(got.ys, same.ys)
        worst[len(option)] = relative(got.gradient, same.gradient)
    assert not worst[0] < 1e-3
    assert worst[1] < 1e-11


def test_resets_hold_on_the_way_back_through_a_plain_inverse_and_twice() -> None:
    bound = posed(Spec("leapfrog"))
    stepper = registry.solvers.build(Spec.of("coupled", {"coupling": 0.7, "reset": 10}))

    class Plain:  # the same scheme with its fused capability hidden
        order, error_order, reset = stepper.order, stepper.error_order, stepper.reset
        init, step, unstep = stepper.init, stepper.step, stepper.unstep

    fused = solve(bound, stepper, Spec("reversible"), Fixed(steps=100)).gradient
    assert relative(solve(bound, Plain(), Spec("reversible"), Fixed(steps=100)).gradient, fused) < 1e-11
    how = registry.gradients.build(Spec("reversible"))
    ys = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, Fixed(steps=100))
    first, second = (torch.autograd.grad(ys.sum(), bound.y0, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_reset_below_one_step_is_refused() -> None:
    with pytest.raises(Exception, match="reset must be at least 1 step"):
        registry.solvers.build(Spec.of("coupled", {"reset": 0}))


def test_backstep_refuses_a_base_that_is_no_runge_kutta_scheme() -> None:
    with pytest.raises(Exception, match="explicit Runge–Kutta base"):
        registry.solvers.build(Spec.of("backstep", {"base": "alf"}))


@pytest.mark.parametrize("eta", [0.5, 0.0, 1.5, -1.0])
def test_alf_refuses_an_eta_without_inverse_or_out_of_range(eta: float) -> None:
    with pytest.raises(Exception, match="eta must be in"):
        registry.solvers.build(Spec.of("alf", {"eta": eta}))


def test_coupled_refuses_a_base_that_is_no_one_step_scheme() -> None:
    with pytest.raises(Exception, match="one-step base"):
        registry.solvers.build(Spec.of("coupled", {"base": "alf"}))
