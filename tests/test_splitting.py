"""Symplectic schemes for separable problems: what they keep, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from matrix import SEPARABLE, posed, solve

from odebench import odeint, registry
from odebench.controllers import Fixed
from odebench.errors import UsageError
from odebench.integrate import timed, walk
from odebench.plan import make_plan
from odebench.problems import bind
from odebench.spec import Spec
from odebench.suite.loading import load_suites

SUITE = """
name: halves
problems: [lotka_volterra, pendulum, {mlp: {dim: 4}}]
solvers: [leapfrog, rk4]
gradients: [direct, adjoint]
stepping: [{fixed: {steps: 10}}]
"""


def energy(y: torch.Tensor) -> float:
    """Of the pendulum."""
    q, p = y[0].tolist()
    return p * p / 2 - float(torch.cos(torch.tensor(q, dtype=torch.float64)))


@pytest.mark.parametrize("solver", SEPARABLE, ids=str)
def test_the_energy_of_a_pendulum_swings_and_does_not_drift(solver: Spec) -> None:
    bound = bind(
        Spec.of("pendulum", {"span": (0.0, 400.0), "saves": 40}), batch=1, seed=0, dtype="float64", device="cpu"
    )
    stepper, field = registry.solvers.build(solver), timed(bound.f, bound.y0)
    with torch.no_grad():
        ys = walk(field, stepper, Fixed(steps=4000), bound.ts, stepper.init(field, 0.0, bound.y0.detach())).ys
    errors = [abs(energy(y) - energy(bound.y0.detach())) for y in ys[1:]]
    assert max(errors[20:]) < 2 * max(errors[:20])
    assert max(errors) < (0.1 if solver.name == "symplectic_euler" else 5e-3)


@pytest.mark.parametrize("solver", SEPARABLE, ids=str)
def test_a_step_preserves_areas(solver: Spec) -> None:
    bound = bind(Spec("pendulum"), batch=1, seed=0, dtype="float64", device="cpu")
    stepper = registry.solvers.build(solver)

    def step(y: torch.Tensor) -> torch.Tensor:
        field = timed(bound.f, y)
        return stepper.advance(field, 0.0, 0.3, stepper.init(field, 0.0, y[None]))[0][0]

    jacobian = torch.autograd.functional.jacobian(step, torch.tensor([0.4, 0.7], dtype=torch.float64))
    assert torch.linalg.det(jacobian).item() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("solver", SEPARABLE, ids=str)
def test_time_runs_backwards_over_the_same_states(solver: Spec) -> None:
    bound = posed(solver)
    there = torch.tensor([0.0, 2.0], dtype=torch.float64)
    options = {"dt": 0.01}
    with torch.no_grad():
        end = odeint(bound.f, bound.y0, there, method=solver, options=options)[-1]
        start = odeint(bound.f, end, there.flip(0), method=solver, options=options)[-1]
    # Symplectic Euler backwards is its adjoint, and no inverse of itself.
    allowed = 0.1 if solver.name == "symplectic_euler" else 1e-12
    assert float((start - bound.y0.detach()).norm()) < allowed


def test_a_pair_of_tensors_is_taken_for_the_two_halves() -> None:
    q0, p0 = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 0.5], dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    q, p = odeint(lambda t, y: (y[1], -y[0]), (q0, p0), t, method="stormer_verlet", options={"dt": 1e-3}, params=())
    assert torch.allclose(q[-1], q0 * torch.cos(t[-1]) + p0 * torch.sin(t[-1]), atol=1e-6)
    assert torch.allclose(p[-1], p0 * torch.cos(t[-1]) - q0 * torch.sin(t[-1]), atol=1e-6)


def test_a_slope_that_depends_on_time_is_taken_at_its_own_time() -> None:
    # q' = p + cos t, p' = -q + sin 2t: second order, whichever half moves first.
    def f(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        q, p = y.unbind(-1)
        return torch.stack((p + torch.cos(t), torch.sin(2 * t) - q), -1)

    y0, ts = torch.tensor([0.3, -0.2], dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)
    true = odeint(f, y0, ts, method="vern9", rtol=1e-12, atol=1e-13)[-1]
    for solver, order in (("stormer_verlet", 2), ("leapfrog", 2), ("yoshida4", 4)):
        errors = [float((odeint(f, y0, ts, method=solver, options={"dt": h})[-1] - true).norm()) for h in (0.05, 0.025)]
        assert torch.log2(torch.tensor(errors[0] / errors[1])).item() == pytest.approx(order, abs=0.1), solver


def test_a_state_without_two_halves_is_refused() -> None:
    y0, ts = torch.ones(3, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)
    with pytest.raises(UsageError, match=r"two halves, q and p, along its last axis; got shape \(3,\)"):
        odeint(lambda t, y: -y, y0, ts, method="leapfrog")


def test_the_planner_refuses_problems_that_do_not_split_and_the_adjoint(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "halves.yaml"
    path.write_text(SUITE)
    said = {
        (each.cell.problem.name, each.cell.solver.name, each.cell.gradient.name): each.refusal
        for each in make_plan(load_suites([str(path)]), 0).cells
    }
    assert said["pendulum", "leapfrog", "direct"] is None
    assert said["lotka_volterra", "rk4", "adjoint"] is None
    for problem in ("lotka_volterra", "mlp"):
        assert "leapfrog moves two halves of the state in turn" in str(said[problem, "leapfrog", "direct"])
    assert "augmented system" in str(said["pendulum", "leapfrog", "adjoint"])


def test_the_first_same_as_last_slope_saves_an_evaluation() -> None:
    per_step = {"symplectic_euler": 2, "stormer_verlet": 2, "leapfrog": 2, "yoshida4": 6}
    for solver, evaluations in per_step.items():
        got = solve(posed(Spec(solver)), Spec(solver), Spec("direct"), Fixed(steps=10))
        assert got.nfe_forward == 10 * evaluations + (solver != "symplectic_euler")
