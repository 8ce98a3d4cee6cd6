"""Times in other precisions than the state, moved by rounding, or far from 0."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odebench import OdebenchError, SolveError, UsageError, odeint, odeint_adjoint

D, S, C = torch.float64, torch.float32, torch.complex128
Asked = Callable[[Tensor, Any], Any]


class Counted:
    """f, the calls of it, and the dtypes in which it got time."""

    def __init__(self, f: Asked) -> None:
        self.f, self.calls, self.dtypes = f, 0, set[torch.dtype]()

    def __call__(self, t: Tensor, y: Any) -> Any:
        self.calls += 1
        self.dtypes.add(t.dtype)
        return self.f(t, y)


def calls(f: Asked, solve: Any = odeint, **given: Any) -> int:
    counted = Counted(f)
    solve(counted, given.pop("y0"), given.pop("t"), **given)
    return counted.calls


def decay(t: Tensor, y: Tensor) -> Tensor:
    return -y


def driven(t: Tensor, y: Tensor) -> Tensor:
    return -y + torch.sin(3 * t)


@pytest.mark.parametrize("rtol", [1e-7, 1e-9])
@pytest.mark.parametrize("n", [2, 3, 11])
def test_single_precision_times_cost_what_double_ones_do(n: int, rtol: float) -> None:
    t, found = torch.linspace(0, 10, n), []
    for times in (t, t.double()):
        f = Counted(driven)
        y = odeint(f, torch.ones(1, dtype=D), times, rtol=rtol, atol=rtol / 100)[-1]
        found.append((f.calls, y.item()))
    assert found[0] == found[1]
    true = 1.3 * math.exp(-10) + (math.sin(30) - 3 * math.cos(30)) / 10
    assert found[0][1] == pytest.approx(true, abs=30 * rtol)


@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint"])
@pytest.mark.parametrize(("method", "options"), [("dopri5", {}), ("rk4", {"dt": 0.1}), ("dopri5", {"dense": True})])
@pytest.mark.parametrize("state", [S, D, C])
@pytest.mark.parametrize("times", [S, D])
def test_f_sees_time_in_the_precision_of_the_state_and_t_keeps_its_own(
    times: torch.dtype, state: torch.dtype, method: str, options: dict[str, Any], gradient: str
) -> None:
    t = torch.tensor([0.0, 0.5, 1.0], dtype=times, requires_grad=True)
    f = Counted(lambda t, y: -y * torch.cos(3 * t))
    ys = odeint(
        f, torch.ones(1, dtype=state), t, method=method, options=options, gradient=gradient, params=(), rtol=1e-5
    )
    (t_bar,) = torch.autograd.grad(ys[-1].real.sum() if state.is_complex else ys[-1].sum(), t)
    assert f.dtypes == {S if state == S else D}
    assert t_bar.dtype == times
    assert t_bar[-1].item() == pytest.approx(-math.exp(-math.sin(3) / 3) * math.cos(3), rel=1e-3)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_layer_on_time_works_with_double_times_and_a_single_state(per_sample: bool) -> None:
    layer = nn.Linear(1, 3)

    def f(t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = torch.tanh(layer(t.reshape(-1, 1))) * y
        return out

    t = torch.linspace(0, 1, 4, dtype=D)
    ys = odeint(f, torch.ones(5, 3), t, options={"per_sample": per_sample})
    assert ys.dtype == S
    assert torch.allclose(ys, odeint(f, torch.ones(5, 3), t.float()), atol=1e-5)


@pytest.mark.parametrize("parts", [1, 2, 10, 100])
@pytest.mark.parametrize(
    "make", [lambda t: t, Tensor.double, lambda t: t.flip(0), lambda t: t + 7, lambda t: -0.5 + 3 * t]
)
@pytest.mark.parametrize("state", [S, D])
def test_rounding_in_saved_times_makes_no_steps(
    state: torch.dtype, make: Callable[[Tensor], Tensor], parts: int
) -> None:
    t = make(torch.linspace(0, 1, 11))
    step = abs(float(t[-1].double() - t[0].double())) / 10 / parts
    found = calls(decay, y0=torch.ones(1, dtype=state), t=t, method="euler", options={"dt": step})
    assert found == 10 * parts
    from torchdiffeq import odeint as peer

    assert found <= calls(decay, peer, y0=torch.ones(1, dtype=state), t=t, method="euler", options={"step_size": step})


def test_half_precision_times_make_no_slivers() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.bfloat16)
    assert calls(decay, y0=torch.ones(1), t=t, method="euler", options={"dt": 0.1}) == 10


def test_a_rest_that_is_no_rounding_is_a_step() -> None:
    t = torch.tensor([0.0, 1.00002], dtype=S)
    assert calls(decay, y0=torch.ones(1), t=t, method="euler", options={"dt": 0.1}) == 11
    far = torch.tensor([1.7e9, 1.7e9 + 1.25], dtype=D)
    assert calls(decay, y0=torch.ones(1, dtype=D), t=far, method="euler", options={"dt": 1.0}) == 2


def test_the_way_back_of_fixed_steps_makes_no_slivers_either() -> None:
    class Decay(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.k, self.calls = nn.Parameter(torch.ones(())), 0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.calls += 1
            return -self.k * y

    f = Decay()
    given: dict[str, Any] = {"adjoint_method": "euler", "adjoint_options": {"step_size": 0.05}}
    ys = odeint_adjoint(f, torch.ones(1), torch.linspace(0, 1, 11), method="rk4", options={"dt": 0.1}, **given)
    forth = f.calls
    ys[-1].sum().backward()
    assert (forth, f.calls - forth) == (40, 20)


@pytest.mark.parametrize("name", ["jump_t", "grid_points", "step_t"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("ulps", [-1, 1])
def test_a_landing_an_ulp_from_a_saved_time_is_that_time(name: str, backwards: bool, ulps: int) -> None:
    t = torch.tensor([0.0, 0.3, 1.0], dtype=D)
    near = math.nextafter(0.3, 0.3 + ulps)
    t = t.flip(0) if backwards else t
    given: dict[str, Any] = {"y0": torch.ones(1, dtype=D), "t": t, "rtol": 1e-6, "atol": 1e-6}
    assert calls(decay, **given, options={name: [near]}) == calls(decay, **given, options={name: [0.3]})
    hops = {**given, "method": "rk4"}
    assert calls(decay, **hops, options={name: torch.tensor([0.3], dtype=S)}) == 8


def test_a_jump_said_in_numbers_is_where_they_say() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.3, 1.0, -1.0) + 0 * y

    for t in (torch.tensor([0.0, 1.0], dtype=D), torch.tensor([0.0, 0.3, 1.0], dtype=S), torch.linspace(0, 1, 11)):
        for jump in ([0.3], torch.tensor([0.3], dtype=D), torch.tensor([0.3], dtype=S)):
            for method in ("dopri5", "rk4"):
                y = odeint(f, torch.zeros(1, dtype=D), t, method=method, options={"jump_t": jump})[-1]
                assert y.item() == pytest.approx(-0.4, abs=1e-6)


def test_a_saved_time_an_ulp_after_another_is_a_row_of_its_own() -> None:
    t = torch.tensor([0.0, 0.5, math.nextafter(0.5, 1), 1.0], dtype=D)
    for given in ({}, {"method": "rk4"}, {"options": {"dt": 0.1}}, {"options": {"dense": True}}):
        ys = odeint(decay, torch.ones(1, dtype=D), t, **given)
        assert torch.allclose(ys[:, 0], torch.exp(-t), atol=1e-3)


def test_gaps_as_long_as_max_step_are_one_step_each() -> None:
    for t in (torch.linspace(0, 1, 11, dtype=D), torch.linspace(0, 1, 11)):
        for per_sample in (False, True):
            options = {"max_step": 0.1, "first_step": 0.1, "per_sample": per_sample}
            found = calls(decay, y0=torch.ones(1, 1, dtype=D), t=t, rtol=1e-3, atol=1e-3, options=options)
            assert found == 1 + 6 * 10


@pytest.mark.parametrize("start", [1.7e9, -1.7e9, 1e6])
@pytest.mark.parametrize("options", [{}, {"per_sample": True}, {"controller": "pi"}, {"dense": True}])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_stiff_start_far_from_0_is_solved(start: float, options: dict[str, Any], backwards: bool) -> None:
    sign = -1.0 if backwards else 1.0
    t = torch.tensor([start, start + 0.02 * sign, start + 0.05 * sign], dtype=D)
    y = odeint(lambda t, y: -1e4 * sign * (y - 1), torch.zeros(2, 1, dtype=D), t, options=options)[-1]
    assert torch.allclose(y, torch.ones_like(y), atol=1e-6)


def test_time_and_solution_go_by_the_same_steps_far_from_0() -> None:
    t = torch.tensor([1e12, 1e12 + 2], dtype=D)  # the spacing of times is 1.2e-4 there
    y = odeint(lambda t, y: 1 + 0 * y, torch.zeros(1, dtype=D), t, options={"max_step": 2e-3})[-1]
    assert y.item() == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"per_sample": True}, {"min_step": 1e-9}])
def test_what_time_cannot_resolve_is_said_to_be_that(options: dict[str, Any]) -> None:
    t = torch.tensor([1.7e9, 1.7e9 + 1], dtype=D)
    with pytest.raises(SolveError, match=r"shorter than 2\.4e-07.*count t from the start"):
        odeint(lambda t, y: -1e9 * (y - 1), torch.zeros(1, 1, dtype=D), t, options=options)


@pytest.mark.parametrize("method", ["euler", "rk4", "abm", "dopri5"])
def test_fixed_steps_below_the_spacing_of_times_are_refused(method: str) -> None:
    t = torch.tensor([1.7e9, 1.7e9 + 1e-3], dtype=D)
    with pytest.raises(OdebenchError, match=r"steps of 1e-08 .* less than 2\.4e-07 apart are one"):
        odeint(decay, torch.ones(1, dtype=D), t, method=method, options={"dt": 1e-8})


def test_a_single_state_far_from_0_is_warned_of_its_time() -> None:
    t = torch.tensor([1.7e9, 1.7e9 + 1], dtype=D)
    with pytest.warns(UserWarning, match=r"f gets t in torch.float32.*less than 2e\+02 apart are one"):
        odeint(decay, torch.ones(1), t)
    with pytest.warns(UserWarning, match="f gets t in"), pytest.raises(SolveError, match="make y0 float64"):
        odeint(lambda t, y: -1e4 * (y - torch.cos(y)), torch.ones(1), t, rtol=1e-9, options={"max_num_steps": 50})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odeint(decay, torch.ones(1, dtype=D), t, rtol=1e-3, atol=1e-3)
        odeint(decay, torch.ones(1), torch.linspace(0, 10, 3), rtol=1e-3, atol=1e-3)


def test_a_grid_that_differs_in_its_digits_is_told_with_them() -> None:
    t = torch.tensor([0.1, 0.7], dtype=D)
    options = {"grid_constructor": lambda f, y, t: torch.linspace(0.1, 0.7, 5)}
    with pytest.raises(UsageError, match=r"from 0\.10000000149\d* to 0\.69999998\d* and t from 0\.1 to 0\.7"):
        odeint(decay, torch.ones(1, dtype=D), t, method="rk4", options=options)


def test_arrays_of_numpy_are_told_how_to_become_tensors() -> None:
    import numpy

    with pytest.raises(UsageError, match=r"y0 must be .* got numpy.ndarray; use torch.from_numpy"):
        odeint(decay, numpy.ones(3), torch.tensor([0.0, 1.0]))
    with pytest.raises(UsageError, match=r"t must be .* got numpy.ndarray; use torch.from_numpy"):
        odeint(decay, torch.ones(3), numpy.linspace(0, 1, 3))
