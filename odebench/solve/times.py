"""Saved times: read, and their gradients."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from odebench.errors import Refusal, UsageError
from odebench.solve.faults import WrongType
from odebench.solve.warned import warn_caller
from odebench.types import Field


def read_times(t: Any, y0: Tensor) -> tuple[Tensor, tuple[float, ...]]:
    """`t` on the device of `y0`, and as numbers.

    Raises:
        UsageError: `t` is no 1-D tensor of floating-point numbers that are finite and strictly monotone.
    """
    if not isinstance(t, Tensor) or not t.dtype.is_floating_point:
        raise WrongType(f"t must be a 1-D floating-point tensor; got {kind(t)}")
    if t.ndim != 1 or t.numel() < 1:
        raise UsageError(f"t must be a 1-D floating-point tensor of at least one time; got shape {tuple(t.shape)}")
    ts = tuple(t.detach().tolist())
    steps = [b - a for a, b in pairwise(ts)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)) or not all(map(isfinite, ts)):
        raise UsageError("t must be finite, and strictly increasing or strictly decreasing")
    if t.device != y0.device:
        # As torchdiffeq does: f mostly computes with both.
        warn_caller(f"t is on {t.device} and y0 on {y0.device}; t is taken there")
        t = t.to(y0.device)
    _warn_of_a_staircase(ts, y0.real.dtype if y0.is_complex() else y0.dtype)
    return t, ts


def kind(given: Any) -> str:
    """What was given where a floating-point tensor is wanted, and how to make it one, for a message."""
    if isinstance(given, Tensor):
        return str(given.dtype)
    if type(given).__module__ == "numpy":
        return f"numpy.{type(given).__name__}; use torch.from_numpy"
    return type(given).__name__


def _warn_of_a_staircase(ts: tuple[float, ...], dtype: torch.dtype) -> None:
    """f gets time in `dtype`; far from 0 that may leave less than half of its digits for the span."""
    eps, reach = torch.finfo(dtype).eps, max(map(abs, ts))
    if dtype == torch.float64 or eps * reach <= eps**0.5 * abs(ts[-1] - ts[0]) or len(ts) == 1:
        return
    warn_caller(
        f"f gets t in {dtype}, as y0 is, and near t = {reach:.6g} times less than {eps * reach:.2g} apart are one to it"
        "; if f looks at t, count it from the start of the solve, or make y0 float64"
    )


def leaving(f: Field, ts: tuple[float, ...], t: Tensor, y0: Tensor) -> Tensor:
    """y0, whose gradient tells `t[0]` what starting later costs: the flow is −f(t0, y0) behind."""
    out: Tensor = _Leaving.apply(f, ts[0], t, y0)  # type: ignore[no-untyped-call]
    return out


def arriving(f: Field, ts: tuple[float, ...], t: Tensor, ys: Tensor) -> Tensor:
    """`ys`, whose gradient tells each of `t` that the solution moves on at the rate f(t, y) there."""
    out: Tensor = _Arriving.apply(f, ts, t, ys)  # type: ignore[no-untyped-call]
    return out


class _Leaving(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Field, start: float, t: Tensor, y0: Tensor) -> Tensor:
        # Evaluated here and not on the way back: a graph that held f would keep a module alive that keeps the result.
        ctx.save_for_backward(t, f(start, y0.detach()))
        return y0.clone()

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second()
        t, slope = ctx.saved_tensors
        t_bar = torch.zeros_like(t)
        t_bar[0] = -_product(y_bar, slope)
        return None, None, t_bar, y_bar


class _Arriving(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Field, ts: tuple[float, ...], t: Tensor, ys: Tensor) -> Tensor:
        # The first row too: it holds y0 as `leaving` gave it, which counts t[0] where nothing has been left yet.
        ctx.save_for_backward(t, *(f(at, y) for at, y in zip(ts, ys.detach(), strict=True)))
        return ys.clone()

    @staticmethod
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second()
        t, *slopes = ctx.saved_tensors
        found = [_product(bar, slope) for slope, bar in zip(slopes, ys_bar, strict=True)]
        return None, None, torch.stack(found).to(t), ys_bar


def _product(bar: Tensor, dy: Tensor) -> Tensor:
    """Re⟨bar, dy⟩, as autograd has it for complex numbers."""
    return (bar.conj() * dy).real.sum() if bar.is_complex() else (bar * dy).sum()


def _refuse_second() -> None:
    if torch.is_grad_enabled():
        raise Refusal("second derivatives are not computed where t requires a gradient; pass t.detach()")
