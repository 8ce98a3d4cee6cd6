"""The continuous adjoint's options, and the adjoint along the kept forward solution."""

from __future__ import annotations

import itertools

import pytest
import torch
from matrix import lotka, mlp, relative, solve
from torch import Tensor

import odebench
from odebench import registry
from odebench.controllers import Adaptive, Fixed
from odebench.errors import OptionError, Refusal
from odebench.gradients import Backsolve, Direct
from odebench.integrate import timed
from odebench.measure.check import Trajectory
from odebench.spec import Spec
from odebench.suite.options import canonical


def test_without_options_nothing_changes_and_fixed_steps_know_no_norm() -> None:
    bound = mlp(saves=2)
    plain = solve(bound, Spec("rk4"), Spec("adjoint"), Fixed(steps=20)).gradient
    assert torch.equal(plain, solve(bound, Spec("rk4"), Backsolve(), Fixed(steps=20)).gradient)
    assert torch.equal(
        plain, solve(bound, Spec("rk4"), Spec.of("adjoint", {"seminorm": True}), Fixed(steps=20)).gradient
    )


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_the_seminorm_saves_steps_back_and_keeps_the_accuracy(gradient: str) -> None:
    bound, control = mlp(), Adaptive(1e-6, 1e-8)
    true = solve(bound, Spec("dopri8"), Direct(), Fixed(steps=100)).gradient
    whole = solve(bound, Spec("dopri5"), Spec(gradient), control)
    semi = solve(bound, Spec("dopri5"), Spec.of(gradient, {"seminorm": True}), control)
    assert semi.log.back is not None
    assert whole.log.back is not None
    assert semi.log.back[0] < whole.log.back[0]
    assert semi.nfe_backward < whole.nfe_backward
    assert relative(semi.gradient, true) < 10 * relative(whole.gradient, true)


def test_the_way_back_is_walked_by_its_own_solver_with_its_own_tolerances() -> None:
    bound = mlp()
    own = Spec.of("adjoint", {"solver": "dopri5", "rtol": 1e-9, "atol": 1e-9})
    fixed = solve(bound, Spec("rk4"), own, Fixed(steps=20))
    adaptive = solve(bound, Spec("bosh3"), own, Adaptive(1e-3, 1e-4))
    alike = solve(bound, Spec("dopri5"), Spec("adjoint"), Adaptive(1e-9, 1e-9))
    assert fixed.nfe_forward == 80
    assert adaptive.log.back is not None
    # The three set out from different ends of the forward solve, so that a step more or less is no surprise.
    for got in (fixed, adaptive):
        assert got.log.back is not None
        assert alike.log.back is not None
        assert abs(got.log.back[0] - alike.log.back[0]) <= 3


def test_a_solver_of_its_own_over_fixed_steps_goes_back_over_their_nodes() -> None:
    got = solve(mlp(), Spec("euler"), Spec.of("adjoint", {"solver": "rk4"}), Fixed(steps=20))
    assert (got.nfe_forward, got.nfe_backward, got.log.back) == (20, 80, (20, 0))


def test_a_scheme_that_follows_the_structure_of_f_may_go_there_if_another_comes_back() -> None:
    stepper = registry.solvers.build(Spec("leapfrog"))
    assert "use aca" in (registry.gradients.build(Spec("adjoint")).refusal(stepper) or "")
    assert registry.gradients.build(Spec.of("adjoint", {"solver": "rk4"})).refusal(stepper) is None


def test_ways_back_that_cannot_be_are_refused_by_sentences() -> None:
    adjoint = registry.gradients.build(Spec.of("adjoint", {"solver": "rk4"}))
    with pytest.raises(Refusal, match="the adjoint's solver: it estimates no error"):
        solve(mlp(), Spec("dopri5"), adjoint, Adaptive(1e-3, 1e-4))
    tolerances = registry.gradients.build(Spec.of("adjoint", {"rtol": 1e-3}))
    assert "it estimates no error" in (tolerances.refusal(registry.solvers.build(Spec("rk4"))) or "")
    with pytest.raises(OptionError, match="none") as said:
        registry.gradients.build(Spec.of("adjoint", {"solver": "torchdiffeq.dopri5"}))
    assert said.value.path == ("solver",)
    with pytest.raises(OptionError, match="non-negative"):
        registry.gradients.build(Spec.of("interpolated", {"rtol": -1.0}))


def test_in_a_suite_the_solver_of_a_gradient_is_a_solver() -> None:
    assert str(canonical("gradient", {"adjoint": {"solver": "heun2"}})) == "adjoint(solver=heun)"
    nested = canonical("gradient", {"interpolated": {"solver": {"alf": {"eta": 1}}}})
    assert str(nested) == "interpolated(solver=alf(eta=1.0))"
    with pytest.raises(OptionError, match="no solver is called 'aca'") as said:
        canonical("gradient", {"adjoint": {"solver": "aca"}})
    assert said.value.path == ("adjoint", "solver")


def test_another_library_takes_none_of_these_options() -> None:
    peer = registry.solvers.build(Spec("torchdiffeq.dopri5"))
    said = peer.misfit(
        Spec.of("adjoint", {"seminorm": True}), Spec.of("fixed", {"steps": 2}), saves=1, dtype="float64", device="cpu"
    )
    assert said == "torchdiffeq's adjoint takes no option seminorm"


@pytest.mark.parametrize(
    ("solver", "order"),
    [("euler", 1), ("midpoint", 2), ("bosh3", 3), ("rk4", 4), ("dopri5", 5), ("alf", 2), ("reversible_heun", 2)],
)
def test_the_interpolated_adjoint_converges_at_the_order_of_its_scheme(solver: str, order: int) -> None:
    bound = mlp(span=(0.0, 2.0), saves=2)
    true = solve(bound, Spec("dopri8"), Direct(), Fixed(steps=100)).gradient
    sizes = (10, 20, 40) if order > 3 else (20, 40, 80)
    errors = [relative(solve(bound, Spec(solver), Spec("interpolated"), Fixed(steps=n)).gradient, true) for n in sizes]
    slopes = [torch.log2(torch.tensor(a / b)).item() for a, b in itertools.pairwise(errors)]
    assert all(slope > order - 0.3 for slope in slopes), (errors, slopes)


def test_the_interpolated_adjoint_does_not_drift_where_the_adjoint_does() -> None:
    bound = lotka(span=(0.0, 10.0))

    def drift(gradient: str) -> float:
        trajectory = Trajectory(bound.ts, everywhere=True)
        how, stepper = registry.gradients.build(Spec(gradient)), registry.solvers.build(Spec("rk4"))
        how.solve(
            timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, Fixed(steps=60), trajectory
        ).sum().backward()
        return trajectory.reverse_error

    assert drift("adjoint") > 1e-4
    assert drift("interpolated") == 0
    assert drift("aca") == 0


def test_looking_between_steps_costs_a_slope_or_the_stages_of_the_scheme() -> None:
    steps = 12
    expected = {
        "euler": steps,  # the node is known: nothing to look up
        "rk4": 4 * steps + steps + 1,  # the slope at each node, for Hermite's cubic
        "dopri5": 6 * steps + 1 + 6 * steps,  # its stages anew, for its own interpolant
        "alf": steps + 1,  # the state holds the slope
    }
    for solver, nfe in expected.items():
        assert solve(mlp(), Spec(solver), Spec("interpolated"), Fixed(steps=steps)).nfe_backward == nfe, solver


def test_an_adaptive_way_back_looks_between_the_steps_of_the_way_there_in_either_direction() -> None:
    bound, stepper = lotka(saves=3), registry.solvers.build(Spec("tsit5"))
    for ts in (bound.ts, bound.ts[::-1]):
        found = []
        for how, control in ((Backsolve(interpolated=True), Adaptive(1e-8, 1e-10)), (Direct(), Adaptive(1e-12, 1e-14))):
            ys = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, ts, stepper, control)
            grads = torch.autograd.grad(ys.square().sum(), (bound.y0, *bound.params))
            found.append(torch.cat([g.reshape(-1) for g in grads]))
        assert relative(*found) < 1e-6


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_part_of_the_parameters_gets_its_gradient_and_the_rest_none(method: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    t, y0 = torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    part, found = tuple(net[0].parameters()), []

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.net(y)
            return out

    for given in (None, part):
        net.zero_grad()
        odebench.odeint_adjoint(Field(), y0, t, method=method, adjoint_params=given)[-1].sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in part if p.grad is not None]))
    assert all(p.grad is None for p in net[2].parameters())
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-9)
