"""Solves of fields that are no pure functions of (t, y), from one seed, and what became of their gradients."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import odebench
from odebench.gradients.guard import Otherwise

D = torch.float64
T = torch.tensor([0.0, 0.5, 1.0], dtype=D)
FIXED = {"dt": 0.25}
# Gradients that evaluate the steps of the way there again.
RECOMPUTING: tuple[Any, ...] = ("aca", "recursive", {"recursive": {"checkpoints": 2}}, "symplectic")
CONTINUOUS: tuple[Any, ...] = ("adjoint", "interpolated")


def net(*between: nn.Module, dtype: torch.dtype = D) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), *between, nn.Tanh(), nn.Linear(4, 2)).to(dtype)


class Times(nn.Module):
    """A network, times something that is no function of (t, y) alone."""

    def __init__(self, factor: Callable[[Tensor, Tensor], Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.factor = net() if inner is None else inner, factor

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y) * self.factor(t, y)


def start(rows: int = 3, dtype: torch.dtype = D) -> Tensor:
    return torch.linspace(-1, 1, 2 * rows, dtype=dtype).reshape(rows, 2).requires_grad_()


def seeded(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def gradient(
    make: Callable[[], Any],
    how: Any,
    method: str = "rk4",
    *,
    tolerance: float | None = None,
    params: Callable[[Any], Any] | None = None,
    wrt: Callable[[Any], Any] | None = None,
    around_solve: Callable[[], AbstractContextManager[Any]] = nullcontext,
    around_backward: Callable[[], AbstractContextManager[Any]] = nullcontext,
    between: Callable[[Any], Any] | None = None,
    dtype: torch.dtype = D,
    options: dict[str, Any] | None = None,
) -> Tensor:
    """That of the squares of the solution, in y0 and in the parameters of `make()`, in one row; all from one seed.

    Fixed steps, unless there is a `tolerance`. `between` is done to f after the solve and before the backward pass.
    """
    seeded(0)
    f = make()
    named = None if params is None else tuple(params(f))
    y0 = start(dtype=dtype)
    seeded(3)
    tolerances = {} if tolerance is None else {"rtol": tolerance, "atol": tolerance}
    given = {**(FIXED if tolerance is None else {"max_num_steps": 200}), **(options or {})}
    with around_solve():
        ys = odebench.odeint(f, y0, T, method=method, gradient=how, params=named, options=given, **tolerances)
        loss = ys.square().sum()
    if between is not None:
        between(f)
    with around_backward():
        loss.backward()
    leaves = [y0, *(named or () if wrt is None and not isinstance(f, nn.Module) else (wrt or nn.Module.parameters)(f))]
    return torch.cat([(torch.zeros_like(x) if x.grad is None else x.grad).flatten().to(D) for x in leaves])


def apart(a: Tensor, b: Tensor) -> float:
    """The difference of two gradients, as a share of the second."""
    assert float(b.norm()) > 1e-6, "the gradient that is compared with must not vanish"
    return float((a - b).norm() / b.norm())


@contextmanager
def told() -> Iterator[list[str]]:
    """What is said about an f that answered otherwise on the way back."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(each.message) for each in caught if issubclass(each.category, Otherwise)]


@contextmanager
def nothing_told() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Otherwise)
        yield
