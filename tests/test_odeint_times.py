"""Gradients with respect to the times of `odeint`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor

import odebench

D = torch.float64
W = (torch.arange(9.0, dtype=D).reshape(3, 3) / 5 - 0.8).requires_grad_()
START = torch.linspace(-1.0, 1.0, 6, dtype=D).reshape(2, 3)
WEIGHTS = torch.linspace(-1.0, 2.0, 24, dtype=D).reshape(4, 2, 3)


def times() -> Tensor:
    return torch.tensor([0.1, 0.4, 0.7, 1.5], dtype=D, requires_grad=True)


def field(t: Tensor, y: Tensor) -> Tensor:
    return torch.tanh(y @ W) * torch.cos(t) + 0.3 * t


def gradients(t: Tensor, solve: Any = None, **how: Any) -> tuple[Tensor, ...]:
    y0 = START.clone().requires_grad_()
    ys = (solve or odebench.odeint)(field, y0, t, **how)
    return torch.autograd.grad((ys * WEIGHTS).sum(), (t, y0, W))


def apart(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(xs, ys, strict=True))


@pytest.mark.parametrize("gradient", ["direct", "aca", "symplectic", {"recursive": {"checkpoints": 2}}])
@pytest.mark.parametrize(("method", "step"), [("rk4", None), ("euler", None), ("dopri5", 0.25), ("heun2", None)])
def test_at_fixed_steps_they_are_those_of_the_steps_taken(gradient: Any, method: str, step: float | None) -> None:
    def solve(y0: Tensor, w: Tensor, t: Tensor) -> Any:
        return odebench.odeint(
            lambda s, y: torch.tanh(y @ w) * torch.cos(s) + 0.3 * s, y0, t,
            method=method, gradient=gradient, params=(w,), options=None if step is None else {"dt": step},
        )  # fmt: skip

    assert torch.autograd.gradcheck(solve, (START[:1].clone().requires_grad_(), W, times()))


def test_a_solution_does_not_change_because_its_times_want_a_gradient() -> None:
    stepped = [("dopri5", 0.2), ("rk4", None), ("alf", 0.1), ("explicit_adams", 0.05), ("dopri5", None)]
    for method, step in stepped:
        options = None if step is None else {"dt": step}
        t = times()
        both = [odebench.odeint(field, START, s, method=method, options=options) for s in (t, t.detach())]
        assert torch.equal(*both)


@pytest.mark.parametrize(
    ("method", "gradient", "step"),
    [
        ("dopri5", "direct", None),
        ("dopri5", "adjoint", None),
        ("dopri5", "aca", None),
        ("tsit5", "symplectic", None),
        ("rk4", "adjoint", 0.02),
        ("alf", "reversible", 0.002),
        ("implicit_adams", "direct", 0.01),
    ],
)
def test_otherwise_they_are_those_of_the_flow(method: str, gradient: str, step: float | None) -> None:
    exact = gradients(times(), method="rk4", options={"dt": 0.005})
    options = None if step is None else {"dt": step}
    got = gradients(times(), method=method, gradient=gradient, params=(W,), options=options, rtol=1e-9, atol=1e-10)
    assert apart(got, exact) < 1e-5


@pytest.mark.skipif(importlib.util.find_spec("torchdiffeq") is None, reason="torchdiffeq is not installed")
@pytest.mark.parametrize("backwards", [False, True])
def test_they_agree_with_torchdiffeqs(backwards: bool) -> None:
    import torchdiffeq

    t = times()
    t = t.detach().flip(0).requires_grad_() if backwards else t
    tight: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-11}
    reference = gradients(t, torchdiffeq.odeint, **tight)
    assert apart(gradients(t, **tight), reference) < 1e-6
    assert apart(gradients(t, odebench.odeint_adjoint, adjoint_params=(W,), **tight), reference) < 1e-6
    coarse = gradients(t, torchdiffeq.odeint, method="euler")
    assert apart(gradients(t, method="euler"), coarse) < 1e-13


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
def test_a_complex_state_and_a_tuple_pass_them_on(gradient: str) -> None:
    t = times()
    y0 = (torch.ones((), dtype=torch.complex128), torch.ones(2, dtype=torch.complex128))
    a, b = odebench.odeint(lambda s, y: (1j * y[0], -y[1]), y0, t, gradient=gradient, params=(), rtol=1e-10, atol=1e-11)
    (bar,) = torch.autograd.grad(a[-1].real + b[-1, 0].real, t)
    span = t.detach()[-1] - t.detach()[0]
    slope = -torch.sin(span) - torch.exp(-span)
    assert bar.tolist() == pytest.approx([-slope.item(), 0.0, 0.0, slope.item()], abs=1e-7)


def test_a_jump_leaves_them_right() -> None:
    t = torch.tensor([0.0, 1.0], dtype=D, requires_grad=True)

    def f(s: Tensor, y: Tensor) -> Tensor:
        return -y if s < 0.5 else 2 * y

    for options in ({"jump_t": torch.tensor([0.5])}, {"dt": 0.02, "jump_t": torch.tensor([0.5])}):
        ys = odebench.odeint(f, torch.ones((), dtype=D), t, options=options)
        (bar,) = torch.autograd.grad(ys[-1], t)
        end = torch.exp(torch.tensor(0.5, dtype=D)).item()
        assert bar.tolist() == pytest.approx([end, 2 * end], rel=1e-5)


def test_second_derivatives_through_them_are_refused_with_a_sentence() -> None:
    t = times()
    ys = odebench.odeint(field, START, t)
    with pytest.raises(odebench.Refusal, match="second derivatives are not computed where t requires a gradient"):
        torch.autograd.grad(ys.sum(), t, create_graph=True)
