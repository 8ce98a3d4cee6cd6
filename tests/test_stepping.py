"""Meshes, step-size control, and the one loop that walks them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from matrix import mlp, solve
from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.errors import Divergence, SolveError
from odebench.gradients import Direct
from odebench.integrate import timed, walk
from odebench.spec import Spec
from odebench.types import Step, Stepper, Tick, Verdict

ONE = torch.ones(1, 1, dtype=torch.float64)


def run(f: Any, solver: str, control: Any, ts: tuple[float, ...], y0: Tensor = ONE) -> Any:
    stepper, field = registry.solvers.build(Spec(solver)), timed(f, y0)
    with torch.no_grad():
        return walk(field, stepper, control, ts, stepper.init(field, ts[0], y0))


def decay(t: Tensor, y: Tensor) -> Tensor:
    return -y


def test_equal_steps_cover_the_span_and_land_on_saved_times() -> None:
    mesh = Fixed(steps=6).mesh((0.0, 0.5, 1.0))
    assert len(mesh) == 6
    assert [tick.lands for tick in mesh] == [False, False, True] * 2
    assert mesh[-1].t + mesh[-1].dt == 1.0
    assert all(abs(tick.dt - 1 / 6) < 1e-15 for tick in mesh)


def test_steps_of_a_length_are_shortened_only_before_a_saved_time() -> None:
    mesh = Fixed(dt=0.3).mesh((0.0, 1.0))
    assert [round(tick.dt, 12) for tick in mesh] == [0.3, 0.3, 0.3, 0.1]
    assert len(Fixed(dt=0.1).mesh((0.0, 1.0))) == 10  # 1/0.1 is ten steps although 10·0.1 is not 1 in floats
    assert len(Fixed(dt=5.0).mesh((0.0, 1.0))) == 1


def test_nodes_meet_without_a_gap_for_any_number_of_steps() -> None:
    for steps in (3, 7, 49, 1000):
        mesh = Fixed(steps=steps).mesh((0.0, 0.7))
        assert all(a.t + a.dt == b.t for a, b in pairwise(mesh))


def test_time_may_run_backwards() -> None:
    mesh = Fixed(dt=0.3).mesh((1.0, 0.0))
    assert [round(tick.dt, 12) for tick in mesh] == [-0.3, -0.3, -0.3, -0.1]
    there = run(decay, "dopri5", Adaptive(1e-8, 1e-10), (0.0, 1.0)).ys[-1]
    back = run(decay, "dopri5", Adaptive(1e-8, 1e-10), (1.0, 0.0), there).ys[-1]
    assert torch.allclose(back, ONE, atol=1e-7)


def test_steps_that_do_not_divide_among_the_saves_are_refused() -> None:
    assert "multiple of 3" in str(Fixed(steps=10).misfit(3))
    with pytest.raises(ValueError, match="multiple of 3"):
        Fixed(steps=10).mesh((0.0, 1.0, 2.0, 3.0))


@pytest.mark.parametrize("options", [{}, {"steps": 3, "dt": 0.1}, {"steps": 0}, {"dt": -0.1}, {"dt": float("inf")}])
def test_fixed_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"steps|dt"):
        Fixed(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"rtol": -1.0},
        {"rtol": 0.0, "atol": 0.0},
        {"controller": "x"},
        {"safety": 1.5},
        {"first_step": 0.0},
        {"max_steps": 0},
    ],
)
def test_adaptive_refuses_nonsense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|should"):
        Adaptive(**options)


@pytest.mark.parametrize("controller", ["i", "pi", "pid"])
@pytest.mark.parametrize("solver", ["heun", "bosh3", "dopri5", "tsit5", "dopri8", "alf", "reversible_heun"])
def test_every_controller_meets_the_tolerance_with_every_pair(controller: Any, solver: str) -> None:
    got = run(decay, solver, Adaptive(1e-4, 1e-6, controller=controller), (0.0, 1.0)).ys[-1]
    assert abs(float(got) - 0.36787944) < 2e-3


def test_a_tighter_tolerance_takes_more_steps_and_errs_less() -> None:
    found = [run(decay, "dopri5", Adaptive(tol, tol), (0.0, 5.0)) for tol in (1e-4, 1e-7, 1e-10)]
    errors = [abs(float(each.ys[-1]) - 0.006737946999085467) for each in found]
    assert errors[0] > errors[1] > errors[2]
    assert len(found[0].mesh) < len(found[1].mesh) < len(found[2].mesh)


def test_saved_times_are_landed_on_and_do_not_change_the_count_of_values() -> None:
    ts = (0.0, 0.1, 0.15, 0.9, 1.0)
    got = run(decay, "dopri5", Adaptive(1e-6, 1e-8), ts)
    assert torch.allclose(torch.cat(got.ys).squeeze(), torch.exp(-torch.tensor(ts, dtype=torch.float64)), atol=1e-6)
    assert [tick.t + tick.dt for tick in got.mesh if tick.lands] == pytest.approx(ts[1:], abs=0)


def test_a_field_that_turns_nan_is_a_divergence_and_never_a_hang() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t > 0.5, torch.full_like(y, float("nan")), -y)

    with pytest.raises(Divergence, match=r"t = 0\.5"):
        run(f, "dopri5", Adaptive(1e-6, 1e-8), (0.0, 1.0))


def test_a_blow_up_underflows_the_step_and_says_where() -> None:
    with pytest.raises(SolveError, match="t = 1"):
        run(lambda t, y: y * y, "dopri5", Adaptive(1e-6, 1e-8), (0.0, 2.0))


def test_the_step_limit_ends_a_solve_with_a_sentence() -> None:
    with pytest.raises(SolveError, match="5 steps were tried"):
        run(decay, "heun", Adaptive(1e-10, 1e-12, max_steps=5), (0.0, 1.0))


def test_a_constant_field_takes_few_steps() -> None:
    got = run(lambda t, y: torch.zeros_like(y), "dopri5", Adaptive(1e-6, 1e-8), (0.0, 100.0))
    assert len(got.mesh) < 20
    assert float(got.ys[-1]) == 1.0


@dataclass(frozen=True)
class ScriptedControl:
    """Rejects and resizes as told, one entry per trial."""

    script: tuple[tuple[bool, float], ...]

    def refusal(self, stepper: Stepper) -> str | None:
        return None

    def mesh(self, ts: tuple[float, ...]) -> None: ...

    def first(self, f: Any, stepper: Stepper, ts: tuple[float, ...], state: Any) -> tuple[float, int]:
        return 0.5, 0

    def judge(self, dt: float, before: Any, step: Step, order: int, memory: int) -> Verdict:
        accept, following = self.script[memory]
        return Verdict(accept, following, memory + 1)


def test_the_walk_does_what_the_controller_says() -> None:
    control = ScriptedControl(((False, 0.25), (True, 0.5), (False, 0.3), (True, 9.0), (True, 1.0)))
    got = run(decay, "heun", control, (0.0, 1.0))
    assert [(tick.t, tick.dt) for tick in got.mesh] == [(0.0, 0.25), (0.25, 0.3), (0.55, pytest.approx(0.45))]
    assert got.rejected == 2


def test_a_step_cut_short_to_land_does_not_shrink_the_next() -> None:
    control = ScriptedControl(((True, 0.5), (True, 0.001), (True, 0.5), (True, 0.5)))
    got = run(decay, "heun", control, (0.0, 0.6, 1.4))
    assert [round(tick.dt, 9) for tick in got.mesh] == [0.5, 0.1, 0.5, 0.3]


def test_an_unjudged_step_needs_no_estimate() -> None:
    seen: list[str] = []

    class Scheme:
        order, error_order = 1, 2

        def init(self, f: Any, t: float, y: Tensor) -> tuple[Tensor]:
            return (y,)

        def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
            seen.append("step")
            return Step((state[0] + dt * f(t, state[0]),), torch.zeros(1))

        def advance(self, f: Any, t: float, dt: float, state: Any) -> tuple[Tensor]:
            seen.append("advance")
            return (state[0] + dt * f(t, state[0]),)

    field = timed(decay, ONE)
    walk(field, Scheme(), Fixed(steps=2), (0.0, 1.0), (ONE,))
    assert seen == ["advance", "advance"]


def test_f_gets_time_as_a_0_dim_tensor_of_the_states_dtype() -> None:
    times: list[Tensor] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        times.append(t)
        return -y

    run(f, "rk4", Fixed(steps=1), (0.0, 1.0), ONE.float())
    assert [t.item() for t in times] == [0.0, 0.5, 0.5, 1.0]
    assert all(t.ndim == 0 and t.dtype == torch.float32 for t in times)


def test_a_replay_of_single_steps_equals_one_walk() -> None:
    bound = mlp()
    mesh = Fixed(steps=4).mesh(bound.ts)
    whole = solve(bound, Spec("rk4"), Direct(), Fixed(steps=4)).ys[-1]
    assert torch.equal(whole, solve(bound, Spec("rk4"), Direct(), Replay(mesh)).ys[-1])
    assert isinstance(mesh[0], Tick)
