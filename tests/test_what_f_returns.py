"""f may answer in memory that it keeps: one buffer, several in turn, a view, a parameter, y itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from matrix import SOLVERS
from odd_fields import FIXED, D, T, apart, start
from torch import Tensor

import odebench
from odebench.spec import Spec

IMPLICIT = [Spec("implicit_euler"), Spec("kvaerno3"), Spec("kvaerno5")]
SPLIT = ("symplectic_euler", "stormer_verlet", "leapfrog", "yoshida4")


def circle(y: Tensor) -> Tensor:
    return torch.stack((y[1], -y[0]))


class Buffer:
    """Answers in one place."""

    def __init__(self) -> None:
        self.out = torch.zeros(2, dtype=D)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return self.out.copy_(circle(y.detach()))


class Rows(Buffer):
    """Answers in a view of a place."""

    def __init__(self) -> None:
        self.out = torch.zeros(3, 2, dtype=D)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.out[1] = circle(y.detach())
        return self.out[1]


class Turns(Buffer):
    """Answers in two places in turn."""

    def __init__(self) -> None:
        self.outs = cycle([torch.zeros(2, dtype=D), torch.zeros(2, dtype=D)])

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return next(self.outs).copy_(circle(y.detach()))


class Array(Buffer):
    """Answers in numpy's memory, each time by a tensor of its own."""

    def __init__(self) -> None:
        self.out = np.zeros(2)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.out[:] = circle(y.detach()).numpy()
        return torch.from_numpy(self.out)


class Module(torch.nn.Module):
    """The report's own: a buffer of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("out", torch.zeros(2, dtype=D))

    @torch.no_grad()
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.out[0], self.out[1] = y[1], -y[0]
        return self.out


class Late(Buffer):
    """Takes to its buffer after the first calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        return circle(y) if self.calls < 3 else super().__call__(t, y)


KEEPING: dict[str, Callable[[], Any]] = {
    "one buffer": Buffer, "a view": Rows, "two in turn": Turns, "numpy": Array, "a module's buffer": Module,
}  # fmt: skip


def solved(f: Any, method: Any, **more: Any) -> Tensor:
    ts = torch.linspace(0, 1, 3, dtype=D)
    return odebench.odeint(f, torch.tensor([1.0, 0.0], dtype=D), ts, method=method, **more)


@pytest.mark.parametrize("solver", [s for s in SOLVERS if s.name not in SPLIT], ids=str)
@pytest.mark.parametrize("name", KEEPING)
def test_every_scheme_solves_what_answers_in_memory_of_its_own(name: str, solver: Spec) -> None:
    options = {"dt": 0.125}
    got = solved(KEEPING[name](), solver, options=options)
    torch.testing.assert_close(got, solved(lambda t, y: circle(y), solver, options=options), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "dopri8", "tsit5", "vern7"])
@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("options", [{}, {"dense": True}, {"jump_t": torch.tensor([0.3], dtype=D)}], ids=str)
def test_adaptive_steps_do_too(name: str, method: str, options: dict[str, Any]) -> None:
    y = solved(KEEPING[name](), method, options=options)[-1]
    assert y.tolist() == pytest.approx([math.cos(1), -math.sin(1)], abs=1e-6)


@pytest.mark.parametrize("name", KEEPING)
def test_solved_backwards_in_time_and_in_parts_too(name: str) -> None:
    class Both:
        def __init__(self) -> None:
            self.one, self.other = KEEPING[name](), KEEPING[name]()

        def __call__(self, t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return self.one(t, y[0]), self.other(t, y[1])

    y0, ts = torch.tensor([1.0, 0.0], dtype=D), torch.tensor([1.0, 0.0], dtype=D)
    one, other = odebench.odeint(Both(), (y0, y0.flip(0)), ts, method="rk4", options={"dt": 0.1})
    assert one[-1].tolist() == pytest.approx([math.cos(1), math.sin(1)], abs=1e-5)
    assert other[-1].tolist() == pytest.approx([-math.sin(1), math.cos(1)], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128, torch.complex64])
@pytest.mark.parametrize("method", ["rk4", "dopri5", "alf"])
def test_other_precisions_do_too(method: str, dtype: torch.dtype) -> None:
    out = torch.zeros(2, dtype=dtype)
    y0 = torch.tensor([1.0, 0.0], dtype=dtype)
    # Steps are long enough for single precision.
    options = {"dt": 0.1}
    got = odebench.odeint(lambda t, y: out.copy_(circle(y)), y0, T, method=method, options=options)
    true = odebench.odeint(lambda t, y: circle(y), y0, T, method=method, options=options)
    torch.testing.assert_close(got, true, rtol=0, atol=0)


LEAF = torch.tensor([0.3, -0.4], dtype=D, requires_grad=True)
NUMBER = torch.tensor(-0.7, dtype=D, requires_grad=True)
SAME: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[Tensor, ...]]] = {
    "a parameter": (lambda t, y: LEAF, (LEAF,)),
    "a parameter expanded": (lambda t, y: NUMBER.expand_as(y), (NUMBER,)),
    "a view of a parameter": (lambda t, y: LEAF[:], (LEAF,)),
    "y": (lambda t, y: y, ()),
    "a view of y": (lambda t, y: y.view(2), ()),
    "y turned round": (lambda t, y: y.flip(0), ()),
}


@pytest.mark.parametrize("solver", [s for s in SOLVERS if s.name not in SPLIT] + IMPLICIT, ids=str)
@pytest.mark.parametrize("name", SAME)
def test_every_scheme_solves_what_answers_with_what_it_was_given(name: str, solver: Spec) -> None:
    f, params = SAME[name]
    got, true = (
        odebench.odeint(g, torch.tensor([1.0, 0.5], dtype=D), T, method=solver, options=FIXED, params=params)
        for g in (f, lambda t, y: f(t, y) + 0.0)
    )
    torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-9)


class Recorded:
    """One buffer, and a gradient that must come by way of what is written to it."""

    def __init__(self, w: Tensor) -> None:
        self.w, self.out = w, torch.zeros(3, 2, dtype=D)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.out = torch.zeros(3, 2, dtype=D) if torch.is_grad_enabled() else self.out
        return self.out.copy_(torch.tanh(y * self.w))


@pytest.mark.parametrize("gradient", ["aca", "recursive", "symplectic", "adjoint", "interpolated"])
def test_a_buffer_that_is_renewed_where_gradients_are_taken(gradient: str) -> None:
    found = []
    for how in ("direct", gradient):
        w = torch.tensor([0.7, -1.3], dtype=D, requires_grad=True)
        ys = odebench.odeint(Recorded(w), start(), T, method="rk4", gradient=how, params=(w,), options=FIXED)
        found.append(torch.autograd.grad(ys.square().sum(), w)[0])
    assert apart(found[1], found[0]) < (1e-2 if "ad" in gradient or "inter" in gradient else 1e-12)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_taking_to_a_buffer_late(method: str) -> None:
    got = solved(Late(), method, options={"dt": 0.125})
    torch.testing.assert_close(got, solved(lambda t, y: circle(y), method, options={"dt": 0.125}))
