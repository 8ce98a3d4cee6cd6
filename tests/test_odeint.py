"""`odebench.odeint`: torchdiffeq's signature over odebench's pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench

T = torch.linspace(0.0, 2.0, 5, dtype=torch.float64)


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.net(y) * torch.cos(t)
        return out


def rotate(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[..., 1], -y[..., 0]], -1)


START = torch.tensor([[1.0, 0.0]], dtype=torch.float64)


def exact(t: Tensor) -> Tensor:
    return torch.stack([torch.cos(t), -torch.sin(t)], -1).unsqueeze(1)


def test_the_solution_is_stacked_on_a_leading_time_axis() -> None:
    got = odebench.odeint(rotate, START, T)
    assert got.shape == (5, 1, 2)
    assert torch.allclose(got, exact(T), atol=1e-6)


def test_time_may_decrease() -> None:
    back = odebench.odeint(rotate, exact(T)[-1], T.flip(0))
    assert torch.allclose(back, exact(T).flip(0), atol=1e-6)


@pytest.mark.parametrize(
    "method", ["euler", "rk4", "tsit5", "dopri8", {"alf": {"eta": 1.0}}, {"coupled": {"base": "rk4"}}]
)
def test_any_method_runs_at_fixed_steps(method: Any) -> None:
    got = odebench.odeint(rotate, START, T, method=method, options={"dt": 0.001})
    assert torch.allclose(got, exact(T), atol=5e-3)


def test_a_scheme_without_an_estimate_takes_one_step_per_interval() -> None:
    calls = 0

    def f(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return rotate(t, y)

    odebench.odeint(f, START, T, method="rk4")
    assert calls == 16


def test_a_saved_time_off_the_grid_is_landed_on() -> None:
    t = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    got = odebench.odeint(rotate, START, t, method="rk4", options={"dt": 0.1})
    assert torch.allclose(got, exact(t), atol=1e-5)


@pytest.mark.parametrize("gradient", ["adjoint", "aca", "recursive", {"recursive": {"checkpoints": 2}}, "symplectic"])
def test_every_gradient_agrees_with_backpropagation(gradient: Any) -> None:
    f, y0 = Field(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for how in ("direct", gradient):
        ys = odebench.odeint(f, y0, T, rtol=1e-8, atol=1e-10, gradient=how)
        found.append(torch.autograd.grad(ys.square().sum(), (y0, *f.parameters())))
    for got, reference in zip(*found, strict=True):
        assert torch.allclose(got, reference, rtol=1e-5, atol=1e-7)
        assert reference.abs().sum() > 0


def test_mali_is_the_reversible_gradient_of_alf_alone() -> None:
    f, y0 = Field(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    ys = odebench.odeint(f, y0, T, method="alf", gradient="mali", options={"dt": 0.05})
    assert ys.requires_grad
    with pytest.raises(odebench.Refusal, match="mali is the reversible gradient of alf"):
        odebench.odeint(f, y0, T, method="coupled", gradient="mali")


def test_tuples_of_tensors_go_in_and_come_out() -> None:
    w = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)

    def f(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        position, velocity = y
        return velocity, -w * w * position

    y0 = (torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    for gradient, params in (("direct", None), ("aca", (w,)), ("adjoint", (w,))):
        position, velocity = odebench.odeint(f, y0, T, gradient=gradient, params=params)
        assert position.shape == velocity.shape == (5, 3)
        assert torch.allclose(position[:, 0], torch.cos(2 * T), atol=1e-6)
        (bar,) = torch.autograd.grad(position[-1].sum(), w)
        assert bar.item() == pytest.approx(-3 * 2.0 * torch.sin(torch.tensor(4.0)).item(), rel=1e-5)


def test_tuples_of_different_shapes_are_laid_end_to_end() -> None:
    y0 = (torch.ones(2, 2), torch.ones(()), torch.ones(3))
    got = odebench.odeint(lambda t, y: tuple(-part for part in y), y0, T.float(), method="rk4")
    assert [part.shape for part in got] == [(5, 2, 2), (5,), (5, 3)]


def test_a_gradient_that_needs_params_asks_for_them_instead_of_returning_zero() -> None:
    with pytest.raises(odebench.UsageError, match="needs params="):
        odebench.odeint(rotate, START, T, gradient="aca")
    assert odebench.odeint(rotate, START.clone().requires_grad_(), T, gradient="aca", params=()).requires_grad


def test_frozen_parameters_are_left_alone() -> None:
    f, y0 = Field(), torch.ones(1, 3, dtype=torch.float64)
    frozen = next(f.parameters()).requires_grad_(False)
    odebench.odeint(f, y0, T, gradient="aca", method="rk4").sum().backward()
    assert frozen.grad is None
    assert all(p.grad is not None for p in f.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dopry5"}, "did you mean 'dopri5'"),
        ({"gradient": "adjont"}, "did you mean 'adjoint'"),
        ({"method": "rk4", "gradient": "reversible", "params": ()}, "use a reversible scheme"),
        ({"options": {"stepsize": 0.1}}, "did you mean 'step_size'"),
        ({"method": "rk4", "options": {"step_size": -1.0}}, "must be positive"),
        ({"t": torch.tensor([0.0, 1.0, 0.5])}, "strictly increasing"),
        ({"t": torch.tensor([])}, "at least one time"),
        ({"t": torch.tensor([0, 1])}, "floating-point"),
        ({"y0": torch.ones(2, dtype=torch.int64)}, "y0 must be"),
        ({"y0": ()}, "at least one tensor"),
        ({"f": lambda t, y: y[..., 0]}, "shaped like y"),
        ({"rtol": -1.0}, "non-negative"),
    ],
)
def test_wrong_calls_are_told_what_to_do(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"f": rotate, "y0": START, "t": T} | change
    with pytest.raises(odebench.OdebenchError, match=message):
        odebench.odeint(call.pop("f"), call.pop("y0"), call.pop("t"), **call)


def test_the_step_limit_is_torchdiffeqs_max_num_steps() -> None:
    with pytest.raises(odebench.SolveError, match="3 steps were tried"):
        odebench.odeint(rotate, START, T[[0, -1]], options={"max_num_steps": 3})


def test_float32_stays_float32() -> None:
    got = odebench.odeint(rotate, START.float(), T.float(), rtol=1e-4, atol=1e-5)
    assert got.dtype == torch.float32
    assert torch.allclose(got, exact(T).float(), atol=1e-3)
