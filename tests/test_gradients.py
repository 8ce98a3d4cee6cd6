"""Every solver × gradient square: exact to rounding against backpropagation through the same steps, or refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from matrix import ADAPTIVE, EXACT, FIXED, SOLVERS, exact, lotka, mlp, posed, refusal, relative, solve

from odebench import registry
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.errors import Refusal
from odebench.gradients import Backsolve, Direct, Invert, Recompute, StoreAll, Sweep
from odebench.integrate import timed, walk
from odebench.problems import bind
from odebench.solvers.coupled import coupled
from odebench.spec import Spec
from odebench.types import Unpulling


@pytest.mark.parametrize("stepping", [FIXED, ADAPTIVE], ids=str)
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_exact_gradients_equal_backpropagation_through_the_same_steps(solver: Spec, stepping: Spec) -> None:
    if registry.steppings.build(stepping).refusal(registry.solvers.build(solver)):
        pytest.skip("refused: no error estimate")
    if stepping is ADAPTIVE and registry.solvers.build(solver).error_order == 2:
        stepping = Spec.of("adaptive", {"rtol": 1e-3, "atol": 1e-4})  # first-order estimates need 10× fewer steps so
    bound = posed(solver, saves=2)
    for gradient in EXACT:
        if refusal(solver, gradient, stepping) or not exact(solver, gradient):
            continue
        got = solve(bound, solver, gradient, stepping)
        reference = solve(bound, solver, Direct(), Replay(got.log.mesh))
        assert relative(got.gradient, reference.gradient) < 1e-12, gradient


def test_a_replayed_mesh_gives_the_same_solution_bit_by_bit() -> None:
    bound = mlp()
    got = solve(bound, Spec("dopri5"), Spec("aca"), ADAPTIVE)
    again = solve(bound, Spec("dopri5"), Spec("aca"), Replay(got.log.mesh))
    assert torch.equal(got.ys, again.ys)
    assert got.log.mesh == again.log.mesh


@pytest.mark.parametrize("gradient", ["aca", "recursive", "reversible", "adjoint"])
def test_a_second_backward_pass_agrees_with_the_first(gradient: str) -> None:
    bound = mlp(saves=2)
    stepper, how = registry.solvers.build(Spec("alf")), registry.gradients.build(Spec(gradient))
    ys = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, Fixed(steps=30))
    loss = ys.square().sum()
    first = torch.autograd.grad(loss, bound.params, retain_graph=True)
    second = torch.autograd.grad(loss, bound.params)
    assert all(torch.equal(a, b) and a.abs().sum() > 0 for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("solver", ["alf", "reversible_heun", "coupled"])
def test_undoing_and_pulling_at_once_equals_doing_one_after_the_other(solver: str) -> None:
    bound, stepper = mlp(saves=2), registry.solvers.build(Spec(solver))
    assert isinstance(stepper, Unpulling)
    fused = solve(bound, stepper, Sweep(Invert()), Fixed(steps=20)).gradient

    class Plain:  # the same scheme with its fused capability hidden
        order, error_order = stepper.order, stepper.error_order
        init, step, unstep = stepper.init, stepper.step, stepper.unstep

    separate = solve(bound, Plain(), Sweep(Invert()), Fixed(steps=20)).gradient
    assert relative(fused, separate) < 1e-13


@pytest.mark.parametrize("how", [Sweep(StoreAll()), Sweep(Recompute(2)), Sweep(StoreAll(), by_stage=True)], ids=repr)
def test_gradcheck_passes_on_a_replayed_adaptive_mesh(how: Sweep) -> None:
    bound = bind(Spec.of("mlp", {"dim": 2, "hidden": 3}), batch=1, seed=0, dtype="float64", device="cpu")
    stepper = registry.solvers.build(Spec("dopri5"))
    field = timed(bound.f, bound.y0)
    mesh = walk(field, stepper, Adaptive(1e-3, 1e-4), (0.0, 1.0), stepper.init(field, 0.0, bound.y0.detach())).mesh

    def end(y0: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        def f(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            w1, b1, w2, b2 = params
            return torch.tanh(y @ w1.T + b1) @ w2.T + b2

        return how.solve(timed(f, y0), params, y0, (0.0, 1.0), stepper, Replay(mesh))[-1]

    assert torch.autograd.gradcheck(end, (bound.y0, *bound.params))


def test_gradients_reach_every_saved_time() -> None:
    bound = mlp(saves=5)
    for gradient in ("direct", "aca", "adjoint"):
        ys = registry.gradients.build(Spec(gradient)).solve(
            timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts,
            registry.solvers.build(Spec("rk4")), Fixed(steps=200),
        )  # fmt: skip
        weights = torch.arange(1.0, 7.0, dtype=torch.float64).view(-1, 1, 1)
        got = torch.autograd.grad((weights * ys).sum(), bound.y0)[0]
        if gradient == "direct":
            reference = got
        assert relative(got, reference) < 1e-6, gradient


def test_a_field_without_parameters_and_a_fixed_start_still_solve() -> None:
    y0 = torch.ones(1, 2, dtype=torch.float64)
    for gradient in (Direct(), Sweep(StoreAll()), Backsolve()):
        stepper = registry.solvers.build(Spec("rk4"))
        ys = gradient.solve(timed(lambda t, y: -y, y0), (), y0, (0.0, 1.0), stepper, Fixed(steps=10))
        assert not ys.requires_grad
        y0.requires_grad_()
        ys = gradient.solve(timed(lambda t, y: -y, y0), (), y0, (0.0, 1.0), stepper, Fixed(steps=10))
        (bar,) = torch.autograd.grad(ys[-1].sum(), y0)
        assert torch.allclose(bar, torch.full_like(bar, 0.36788), atol=1e-5)
        y0 = y0.detach()


def test_a_parameter_that_f_never_uses_gets_a_zero_gradient() -> None:
    y0, used, unused = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(3))
    for gradient in (Sweep(StoreAll()), Sweep(StoreAll(), by_stage=True), Backsolve()):
        stepper = registry.solvers.build(Spec("dopri5"))
        ys = gradient.solve(timed(lambda t, y: -used * y, y0), (used, unused), y0, (0.0, 1.0), stepper, Fixed(steps=10))
        got, zero = torch.autograd.grad(ys[-1].sum(), (used, unused))
        assert got.item() < -0.3
        assert zero.item() == 0


def test_parameters_changed_in_place_before_the_backward_pass_are_noticed() -> None:
    bound = mlp()
    ys = Sweep(StoreAll()).solve(
        timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, registry.solvers.build(Spec("rk4")), Fixed(steps=5)
    )
    with torch.no_grad():
        bound.params[0].add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ys.sum().backward()


ONCE = ["aca", "recursive", "reversible", "symplectic", "adjoint", "interpolated", "forward"]


@pytest.mark.parametrize("gradient", ONCE)
@pytest.mark.parametrize("power", [1, 2], ids=["a constant cotangent", "one that varies"])
def test_second_derivatives_that_are_not_computed_are_refused_by_a_sentence(gradient: str, power: int) -> None:
    bound, stepper = lotka(), registry.solvers.build(Spec("alf" if gradient == "reversible" else "rk4"))
    how = registry.gradients.build(Spec(gradient))
    ys = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, Fixed(steps=20))
    first = torch.autograd.grad((ys**power).sum(), (bound.y0, *bound.params), create_graph=True)
    for again in (first[0], first[1]):
        with pytest.raises(Refusal, match="first derivatives only; take second ones by gradient `direct`"):
            torch.autograd.grad(again.sum() + bound.y0.sum(), bound.y0, retain_graph=True)


@pytest.mark.parametrize("control", [Fixed(steps=6), Adaptive(1e-2, 1e-3, first_step=0.2)], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("gradient", [Direct(), Direct(control=True)], ids=repr)
def test_second_derivatives_of_backpropagation_equal_differences_of_the_first(gradient: Direct, control: Fixed) -> None:
    bound, stepper = lotka(), registry.solvers.build(Spec("dopri5"))

    def slope(y0: torch.Tensor) -> torch.Tensor:
        how = gradient.solve(timed(bound.f, y0), bound.params, y0, bound.ts, stepper, control)
        return torch.autograd.grad(how[-1].square().sum(), y0, create_graph=True)[0].sum()

    if isinstance(control, Adaptive) and not gradient.control:
        # Its steps count as constants: differences would move them.
        found = solve(bound, stepper, gradient, control)
        control = Replay(found.log.mesh)
    (second,) = torch.autograd.grad(slope(bound.y0), bound.y0)
    for j in range(2):
        ends = []
        for sign in (1, -1):
            moved = bound.y0.detach().clone()
            moved[0, j] += sign * 1e-6
            ends.append(slope(moved.requires_grad_()).item())
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(second[0, j].item(), rel=1e-4)


def test_a_gradient_with_a_graph_that_nobody_differentiates_is_just_the_gradient() -> None:
    bound, stepper = lotka(), registry.solvers.build(Spec("rk4"))
    for gradient in ONCE:
        if gradient == "reversible":
            continue
        how = registry.gradients.build(Spec(gradient))
        ys = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, Fixed(steps=20))
        leaves = (bound.y0, *bound.params)
        kept = torch.autograd.grad(ys.square().sum(), leaves, create_graph=True)
        plain = torch.autograd.grad(ys.square().sum(), leaves)
        assert all(torch.equal(a, b) for a, b in zip(kept, plain, strict=True)), gradient


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("bosh3", 3), ("alf", 2)])
def test_the_adjoint_converges_at_the_order_of_its_scheme(solver: str, order: int) -> None:
    bound = mlp(span=(0.0, 2.0))
    true = solve(bound, Spec("dopri8"), Direct(), Fixed(steps=100)).gradient
    errors = [relative(solve(bound, Spec(solver), Backsolve(), Fixed(steps=n)).gradient, true) for n in (40, 80, 160)]
    slopes = [torch.log2(torch.tensor(a / b)).item() for a, b in itertools.pairwise(errors)]
    assert all(abs(slope - order) < 0.15 for slope in slopes), (errors, slopes)


def test_refusals_are_sentences_that_say_what_to_do() -> None:
    assert "use a reversible scheme" in str(refusal(Spec("rk4"), Spec("reversible"), FIXED))
    assert "aca" in str(refusal(Spec("alf"), Spec("symplectic"), FIXED))
    assert "use `fixed`" in str(refusal(Spec("rk4"), Spec("direct"), ADAPTIVE))
    assert refusal(Spec("alf"), Spec("reversible"), ADAPTIVE) is None


def test_coupling_in_a_damped_alf_or_low_lambda_loses_the_gradient_and_is_measured_to() -> None:
    bound = mlp()
    damped = solve(bound, Spec.of("alf", {"eta": 0.9}), Spec("reversible"), Fixed(steps=200))
    reference = solve(bound, Spec.of("alf", {"eta": 0.9}), Spec("direct"), Fixed(steps=200))
    assert relative(damped.gradient, reference.gradient) > 1e-3
    loose = coupled(Spec("rk4"), 0.9)
    gap = relative(
        solve(bound, loose, Sweep(Invert()), Fixed(steps=400)).gradient,
        solve(bound, loose, Direct(), Fixed(steps=400)).gradient,
    )
    assert gap > 1e-3
