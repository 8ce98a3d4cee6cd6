"""Backward evaluations and memory of every gradient at N = 1000, against the closed formulas."""

from __future__ import annotations

import pytest
import torch
from matrix import solve
from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive, Fixed
from odebench.gradients import Recompute, Sweep
from odebench.gradients.recall import Thinning, advances, descent, reach
from odebench.measure.trial import NativePair, TorchTrial
from odebench.measure.weigh import allocations
from odebench.problems import Bound
from odebench.spec import Spec

N = 1000
STATE = 8 * 32  # bytes
ADAPTING = Adaptive(1e-1, 1e-1, first_step=2.0**-10, max_step=2.0**-10)  # 1000 equal steps that nobody foresees


class Bend(torch.nn.Module):
    """A cheap field of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return (y * self.rate).cos()


def bend(size: int = 32) -> Bound:
    f = Bend()
    y0 = torch.linspace(0.0, 1.0, size, dtype=torch.float64).reshape(1, size).requires_grad_()
    return Bound(f, (f.rate,), y0, (0.0, N / 1024), lambda ys: ys[-1].square().sum())


FORMULAS = {
    # gradient: (solver, evaluations going back)
    "direct": ("rk4", 0),
    "aca": ("rk4", 4 * N),
    "symplectic": ("rk4", 7 * N),
    "reversible": ("alf", N + 1),
    "adjoint": ("rk4", 4 * N),
    "interpolated": ("rk4", 4 * N + N + 1),
    "forward": ("rk4", 0),
}


@pytest.mark.parametrize("gradient", FORMULAS)
def test_evaluations_going_back_follow_the_formula(gradient: str) -> None:
    solver, expected = FORMULAS[gradient]
    got = solve(bend(3), Spec(solver), Spec(gradient), Fixed(steps=N))
    assert got.nfe_backward == expected


@pytest.mark.parametrize("checkpoints", [2, 8, 44])
def test_with_the_steps_known_checkpoints_reach_the_binomial_optimum(checkpoints: int) -> None:
    got = solve(bend(1), Spec("euler"), Spec.of("recursive", {"checkpoints": checkpoints}), Fixed(steps=N))
    reached = max(descent(N, checkpoints), default=0)  # what the forward pass has advanced already
    assert got.nfe_backward == advances(N, checkpoints) - reached + N


@pytest.mark.parametrize("checkpoints", [2, 8, 44])
def test_with_the_steps_unknown_no_more_is_retaken_than_the_bound(checkpoints: int) -> None:
    got = solve(bend(1), Spec("heun"), Spec.of("recursive", {"checkpoints": checkpoints}), ADAPTING)
    assert len(got.log.mesh) == N
    thinning = Thinning()
    for place in range(1, N):
        thinning.add(place, checkpoints)
    places = [*thinning.levels]
    assert places == sorted(places)
    assert len(places) == checkpoints
    gaps = [after - place for place, after in zip(places, [*places[1:], N], strict=True)]
    retaken = sum(advances(gap, checkpoints - at) for at, gap in enumerate(gaps))
    assert got.nfe_backward == 2 * (retaken + N)
    # Never as much as with the start alone kept; and no step more than r times.
    assert retaken < advances(N, checkpoints)
    assert all(reach(checkpoints - at, repeats(N, checkpoints)) >= gap for at, gap in enumerate(gaps))


def repeats(steps: int, checkpoints: int) -> int:
    return next(r for r in range(steps) if reach(checkpoints, r) >= steps)


@pytest.mark.parametrize("checkpoints", [1, 2, 3, 5, 8, 13])
def test_thinning_keeps_to_its_bound_at_every_moment(checkpoints: int) -> None:
    thinning = Thinning()
    for place in range(1, 400):
        thinning.add(place, checkpoints)
        places, steps = [*thinning.levels], place + 1
        assert places[0] == 0
        assert len(places) == min(checkpoints, steps)
        most = repeats(steps, checkpoints)
        for at, (start, after) in enumerate(zip(places, [*places[1:], steps], strict=True)):
            assert reach(checkpoints - at, most) >= after - start


def test_thinning_without_a_number_keeps_ever_more_and_stays_exact() -> None:
    bound = bend(2)
    got = solve(bound, Spec("heun"), Sweep(Recompute()), ADAPTING)
    reference = solve(bound, Spec("heun"), Spec("aca"), ADAPTING)
    assert float((got.gradient - reference.gradient).abs().max()) < 1e-12
    assert got.nfe_backward < 2 * (advances(N, Recompute().count(N)) + N)


def held(gradient: Spec, solver: str, control: Fixed | Adaptive) -> int:
    """Bytes held between the passes; the way back is not gone, it would be long with one checkpoint."""
    stepper, how = registry.solvers.build(Spec(solver)), registry.gradients.build(gradient)
    bound = bend(2 if gradient.name == "forward" else 32)  # with few components there are few directions
    trial = TorchTrial.of(NativePair(bound, stepper, how, control))
    trial.forward()
    trial.clear()
    live = sum(allocations(trial.forward))
    assert trial.ys is not None
    return live - trial.ys.untyped_storage().nbytes()


@pytest.mark.parametrize(
    ("gradient", "solver", "states"),
    [("aca", "rk4", 1), ("symplectic", "rk4", 1), ("interpolated", "rk4", 1), ("aca", "dopri5", 2),
     ("adjoint", "rk4", 0), ("reversible", "alf", 0), ("recursive", "rk4", 0), ("forward", "rk4", 0)],
)  # fmt: skip
def test_what_is_held_grows_by_so_many_states_a_step(gradient: str, solver: str, states: int) -> None:
    spec = Spec.of("recursive", {"checkpoints": 8}) if gradient == "recursive" else Spec(gradient)
    half, whole = (held(spec, solver, Fixed(steps=steps)) for steps in (N // 2, N))
    assert whole - half == states * STATE * (N // 2)


def test_backpropagation_holds_more_than_a_state_a_stage_and_step() -> None:
    half, whole = (held(Spec("direct"), "rk4", Fixed(steps=steps)) for steps in (N // 2, N))
    assert whole - half >= 4 * STATE * (N // 2)


@pytest.mark.parametrize("checkpoints", [2, 8, 44])
@pytest.mark.parametrize("control", [Fixed(steps=N), ADAPTING], ids=["known", "unknown"])
def test_recursive_holds_as_many_states_as_checkpoints(checkpoints: int, control: Fixed | Adaptive) -> None:
    spec = Spec.of("recursive", {"checkpoints": checkpoints})
    one = held(Spec.of("recursive", {"checkpoints": 1}), "heun", control)
    assert held(spec, "heun", control) - one == (checkpoints - 1) * STATE
