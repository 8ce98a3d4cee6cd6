"""Forward sensitivities: exact, nothing left for the backward pass, and refused where there are too many."""

from __future__ import annotations

import pytest
import torch
from matrix import SOLVERS, lotka, mlp, relative, solve

from odebench import registry
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.errors import OptionError, Refusal
from odebench.gradients import Direct, Forward
from odebench.integrate import timed
from odebench.problems import bind
from odebench.spec import Spec
from odebench.types import Selective


@pytest.mark.parametrize("solver", [*SOLVERS, Spec("kvaerno3")], ids=str)
def test_they_equal_backpropagation_through_the_same_steps(solver: Spec) -> None:
    bound = lotka(saves=2, span=(0.0, 1.0))
    if isinstance(registry.solvers.build(solver), Selective):
        problem = Spec.of("henon_heiles", {"span": (0.0, 1.0), "saves": 2})
        bound = bind(problem, batch=2, seed=0, dtype="float64", device="cpu")
    got = solve(bound, solver, Forward(), Fixed(steps=6))
    reference = solve(bound, solver, Direct(), Fixed(steps=6))
    assert relative(got.gradient, reference.gradient) < 1e-12
    assert relative(got.ys, reference.ys) < 1e-14


@pytest.mark.parametrize("solver", ["dopri5", "reversible_heun"])
@pytest.mark.parametrize("control", [Adaptive(1e-3, 1e-4), Adaptive(1e-3, 1e-4, dense=True)], ids=["lands", "dense"])
def test_adaptive_steps_are_those_of_the_solution_alone(solver: str, control: Adaptive) -> None:
    bound = lotka(saves=3, span=(0.0, 2.0))
    got = solve(bound, Spec(solver), Forward(), control)
    plain = solve(bound, Spec(solver), Direct(), control)
    assert got.log.mesh == plain.log.mesh
    assert torch.equal(got.ys, plain.ys)
    assert relative(got.gradient, solve(bound, Spec(solver), Direct(), Replay(got.log.mesh)).gradient) < 1e-12


def test_every_derivative_is_a_product_of_the_forward_pass_and_the_backward_pass_evaluates_nothing() -> None:
    got = solve(lotka(), Spec("rk4"), Forward(), Fixed(steps=10))
    directions = 2 + 4  # of y0 and of the parameters
    assert (got.nfe_forward, got.nfe_backward) == (40, 0)
    assert got.vjp_backward == 40 * (directions + 1)  # the log counts both passes in one


def test_more_derivatives_than_allowed_are_refused_by_a_sentence() -> None:
    with pytest.raises(Refusal, match=r"136 components .* more than directions: 64; raise it, or take .* aca"):
        solve(mlp(), Spec("rk4"), Spec("forward"), Fixed(steps=2))
    with pytest.raises(OptionError, match="at least 1"):
        registry.gradients.build(Spec.of("forward", {"directions": 0}))
    bound = mlp()
    got = solve(bound, Spec("rk4"), Spec.of("forward", {"directions": 200}), Fixed(steps=2))
    assert relative(got.gradient, solve(bound, Spec("rk4"), Direct(), Fixed(steps=2)).gradient) < 1e-13


def test_only_what_wants_a_gradient_is_a_direction() -> None:
    bound = mlp()
    y0 = bound.y0.detach()
    for p in bound.params[1:]:
        p.requires_grad_(False)
    weight = bound.params[0]
    stepper = registry.solvers.build(Spec("rk4"))
    found = []
    for how in (Forward(directions=weight.numel()), Direct()):
        ys = how.solve(timed(bound.f, y0), (weight,), y0, bound.ts, stepper, Fixed(steps=3))
        found.append(torch.autograd.grad(ys.square().sum(), weight)[0])
    assert relative(*found) < 1e-13


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_a_state_may_have_any_shape(shape: tuple[int, ...]) -> None:
    y0 = torch.linspace(0.5, 1.0, max(1, torch.Size(shape).numel()), dtype=torch.float64).reshape(shape)
    y0.requires_grad_()
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    stepper, found = registry.solvers.build(Spec("bosh3")), []
    for how in (Forward(), Direct()):
        field = timed(lambda t, y: (t - rate) * y * y, y0)
        ys = how.solve(field, (rate,), y0, (0.0, 1.0), stepper, Adaptive(1e-3, 1e-4))
        assert ys.shape == (2, *shape)
        grads = torch.autograd.grad(ys[-1].sin().sum(), (y0, rate))
        found.append(torch.cat([g.reshape(-1) for g in grads]))
    assert relative(*found) < 1e-13
