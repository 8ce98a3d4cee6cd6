"""Evaluations of f and cotangents, against the closed formulas of the README."""

from __future__ import annotations

import pytest
import torch
from matrix import ADAPTIVE, SOLVERS, mlp, posed, refusal, solve

from odebench import registry
from odebench.controllers import Fixed
from odebench.gradients import Recompute, Sweep
from odebench.gradients.recall import advances, descent, reach, split
from odebench.problems import Bound
from odebench.solvers import RungeKutta
from odebench.solvers.backstep import Backstep
from odebench.solvers.splitting import Splitting
from odebench.spec import Spec

N = 24


def stages(solver: Spec) -> tuple[int, int]:
    """(evaluations per step, evaluations at the start)."""
    options = dict(solver.options)
    if solver.name in ("alf", "reversible_heun"):
        return 1, 1
    if solver.name in ("adams_bashforth", "abm"):
        return 1 + (solver.name == "abm"), 0
    if solver.name == "coupled":
        per_step, _ = stages(Spec.from_data(options["base"]))
        return 2 * per_step, 0
    scheme = registry.solvers.build(solver)
    if isinstance(scheme, Splitting):
        return len(scheme.shears) - scheme.fsal, int(scheme.fsal)
    if isinstance(scheme, Backstep):
        return scheme.base.tableau.size, 0
    assert isinstance(scheme, RungeKutta)
    return scheme.tableau.size, int(scheme.tableau.fsal)


def surplus(solver: Spec) -> int:
    """Evaluations of the start-up steps beyond those of as many later ones."""
    if solver.name not in ("adams_bashforth", "abm"):
        return 0
    order, per_step = dict(solver.options)["order"], stages(solver)[0]
    return (order - 1) * ({1: 1, 2: 2, 3: 3, 4: 4, 5: 6}[order] - per_step)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_forward_evaluations_are_stages_times_steps_and_one_start_slope(solver: Spec) -> None:
    per_step, start = stages(solver)
    got = solve(posed(solver), solver, Spec("direct"), Fixed(steps=N)).nfe_forward
    assert got == per_step * N + start + surplus(solver)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_backward_evaluations_follow_the_closed_formulas(solver: Spec) -> None:
    per_step, start = stages(solver)
    formulas = {
        "direct": 0,
        "aca": per_step * N + start + surplus(solver),
        "symplectic": (2 * per_step - 1) * N + start,
        "reversible": per_step * N + start,
        "adjoint": per_step * N + start + surplus(solver),
    }
    if solver.name == "reversible_heun":
        formulas["reversible"] = N + 2  # the newest slope is taped anew, and so is the start's
    if isinstance(scheme := registry.solvers.build(solver), Splitting):
        formulas["reversible"] = len(scheme.shears) * N + start  # one slope more, to have the first one of the step
    if isinstance(scheme, Backstep):
        formulas["reversible"] = 2 * per_step * N  # nothing is shared between the way back and the taped step
    bound = posed(solver)
    for gradient, expected in formulas.items():
        if refusal(solver, Spec(gradient), Spec.of("fixed", {"steps": N})):
            continue
        got = solve(bound, solver, Spec(gradient), Fixed(steps=N))
        assert got.nfe_backward == expected, gradient


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_each_evaluation_on_the_gradient_path_carries_one_cotangent(solver: Spec) -> None:
    per_step, start = stages(solver)
    bound = posed(solver)
    for gradient in ("aca", "symplectic", "reversible"):
        if not refusal(solver, Spec(gradient), Spec.of("fixed", {"steps": N})):
            got = solve(bound, solver, Spec(gradient), Fixed(steps=N)).vjp_backward
            assert got == per_step * N + start + surplus(solver), gradient


def test_a_stage_that_only_estimates_is_evaluated_only_where_steps_are_judged() -> None:
    assert solve(mlp(), Spec("vern7"), Spec("direct"), Fixed(steps=N)).nfe_forward == 9 * N
    got = solve(mlp(), Spec("vern7"), Spec("aca"), ADAPTIVE)
    tried = len(got.log.mesh) + got.log.rejected
    assert got.nfe_forward == 10 * tried + 2  # two probes for the first step
    assert got.nfe_backward == 9 * len(got.log.mesh)


def test_rejected_steps_and_the_first_step_probes_are_counted() -> None:
    got = solve(mlp(), Spec("dopri5"), Spec("direct"), ADAPTIVE)
    tried = len(got.log.mesh) + got.log.rejected
    assert got.nfe_forward == 6 * tried + 1 + 1  # the start slope, and one probe beside it


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 5, 8])
def test_the_binomial_schedule_is_optimal(checkpoints: int) -> None:
    size = 40
    least = [[0] * (checkpoints + 1) for _ in range(size + 1)]
    for n in range(2, size + 1):
        least[n][1] = n * (n - 1) // 2
        for c in range(2, checkpoints + 1):
            least[n][c] = min(m + least[n - m][c - 1] + least[m][c] for m in range(1, n))
    for n in range(1, size + 1):
        assert advances(n, checkpoints) == least[n][checkpoints]
        if checkpoints > 1 and n > 1:
            m = split(n, checkpoints)
            assert m + least[n - m][checkpoints - 1] + least[m][checkpoints] == least[n][checkpoints]


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 8, None])
def test_recursive_recomputes_no_more_than_the_binomial_bound(checkpoints: int | None) -> None:
    steps = 60
    used = Recompute(checkpoints).count(steps)
    got = solve(mlp(), Spec("rk4"), Sweep(Recompute(checkpoints)), Fixed(steps=steps))
    reached = max(descent(steps, used), default=0)  # what the forward pass has advanced already
    assert got.nfe_backward == 4 * (advances(steps, used) - reached) + 4 * steps


def test_the_reach_of_checkpoints_is_binomial() -> None:
    assert [reach(2, r) for r in range(4)] == [1, 3, 6, 10]
    assert advances(1000, 44) == 1954
    assert advances(100, 2) == 845


def test_recursive_never_holds_more_states_than_its_checkpoints() -> None:
    bound = mlp()
    stepper = registry.solvers.build(Spec("rk4"))
    held: list[int] = []

    class Watched(Recompute):
        def rewind(self, memo, f, stepper, mesh, last):  # type: ignore[no-untyped-def]
            for state in super().rewind(memo, f, stepper, mesh, last):
                held.append(len(memo))
                yield state

    solve(bound, stepper, Sweep(Watched(5)), Fixed(steps=50))
    assert max(held) <= 5
    assert held[-1] == 1


@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint", "symplectic"])
def test_a_field_that_returns_a_parameter_as_it_is_is_counted_and_left_without_hooks(gradient: str) -> None:
    slope = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    y0 = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    bound = Bound(Constant(slope), (slope,), y0, (0.0, 1.0), lambda ys: ys[-1].sum())
    got = solve(bound, Spec("euler"), Spec(gradient), Fixed(steps=5))
    assert (got.nfe_forward, got.vjp_backward) == (5, 5)
    assert got.gradient.tolist() == [1.0, pytest.approx(1.0)]
    assert not slope._backward_hooks
    assert not y0._backward_hooks


class Constant(torch.nn.Module):
    def __init__(self, slope: torch.Tensor) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.slope
