"""The laws of `Adaptive` for every sample by itself: its first step, its error, its verdict. Reckoned in numpy.

Step lengths and errors are one number a sample, read back from the device once a round; on the host their arithmetic
costs a fraction of what as many small operations of torch would.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from odebench.controllers.adaptive import Adaptive, largest, rms
from odebench.controllers.first_step import asked, in_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from odebench.types import Field, State, Step

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Places = NDArray[np.int64]
    Memory = tuple[Floats, Floats]


class Judged(NamedTuple):
    """A `Verdict` on each sample. `memory` are the last two scaled errors, the newest first."""

    accept: Flags
    dt: Floats
    memory: Memory


def column(values: Floats, like: Tensor) -> Tensor:
    """One number a sample, to be broadcast against `like`: float64, on its device."""
    return torch.from_numpy(values).to(like.device).view(-1, *(1,) * (like.ndim - 1))


def moments(values: Floats, like: Tensor) -> float | Tensor:
    """Times for f: of one sample a number, as ever; of several a column."""
    return float(values[0]) if len(values) == 1 else column(values, like)


def narrowed(control: Adaptive, rows: Places, shape: torch.Size) -> Adaptive:
    """`control` for these rows of a state of that shape, where it has a tolerance for each element."""
    own: dict[str, Any] = {}
    for name in ("rtol", "atol"):
        tolerance: Any = getattr(control, name)
        if isinstance(tolerance, Tensor):
            own[name] = tolerance.expand(shape)[torch.from_numpy(rows).to(tolerance.device)]
    return replace(control, **own) if own else control


def first(control: Adaptive, f: Field, order: int, ts: tuple[float, ...], y: Tensor, slope: Tensor) -> Floats:
    """Hairer's heuristic for each sample, as `Adaptive.first` has it for all. One evaluation."""
    sign, span = (1.0 if ts[-1] > ts[0] else -1.0), abs(ts[-1] - ts[0])
    if control.first_step is not None:
        return sign * np.minimum(_within(control, np.full(len(y), control.first_step)), span)
    k = slope.detach()
    with torch.no_grad():
        at = y.detach()
        scale = control.scale(at.abs())
        d0, d1 = (_numbers(sizes(control, in_units(control, x, scale))) for x in (at, k))
        h0 = np.where(np.minimum(d0, d1) < 1e-5, 1e-6, 0.01 * d0 / d1)
        h0 = np.minimum(np.where(np.isfinite(h0) & (h0 > 0), h0, 1e-6), span)
    k1 = asked(f, moments(ts[0] + sign * h0, y), y + k * column(sign * h0, y).to(scale.dtype))
    with torch.no_grad():
        steepest = np.maximum(d1, _numbers(sizes(control, in_units(control, k1 - k, scale))) / h0)
    h1 = np.where(steepest <= 1e-15, np.maximum(1e-6, h0 * 1e-3), (0.01 / steepest) ** (1 / order))
    h = np.minimum(np.minimum(100 * h0, h1), span)
    h = np.where(np.isfinite(h) & (h > 0), h, np.minimum(1e-6, 100 * h0))
    return sign * np.minimum(_within(control, h), span)


def errors(control: Adaptive, before: State, step: Step) -> Floats:
    """The scaled error of each sample's trial step. One device sync."""
    assert step.error is not None
    with torch.no_grad():
        scale = control.scale(torch.maximum(before[0].abs(), step.state[0].abs()))
        return _numbers(sizes(control, step.error / scale))


def judge(control: Adaptive, dt: Floats, error: Floats, order: int, memory: Memory) -> Judged:
    """What `Adaptive.judge` says of each."""
    accept = error <= 1  # not a number is not
    if control.min_step or not accept.all():
        return _judge_some(control, dt, error, order, memory)
    factor, history = _growth(control, error, order, memory)
    return Judged(accept, _within(control, dt * factor), history)


def _judge_some(control: Adaptive, dt: Floats, error: Floats, order: int, memory: Memory) -> Judged:
    """The same where some are rejected, or taken whatever their error."""
    shortest, finite = np.abs(dt) <= control.shortest, np.isfinite(error)
    accept = finite & ((error <= 1) | shortest)
    if (accept & (error > 1)).any():
        control.warn_of_shortest()
    growth, (newest, last) = _growth(control, error, order, memory)
    shrunk = np.maximum(control.min_factor, control.safety * error ** (-1 / order))
    factor = np.where(accept, growth, np.where(finite, shrunk, control.min_factor))
    following = np.where(shortest & ~finite, 0.0, _within(control, dt * factor))
    return Judged(accept, following, (np.where(accept, newest, memory[0]), np.where(accept, last, memory[1])))


def _growth(control: Adaptive, error: Floats, order: int, memory: Memory) -> tuple[Floats, Memory]:
    """(by what each step is multiplied after it was accepted, the memory then)."""
    error = np.maximum(error, 1e-10)
    factor: Floats = np.full_like(error, control.safety)
    for size, exponent in zip((error, *memory), control.exponents, strict=True):
        if exponent:
            factor *= size ** (-exponent / order)
    return np.minimum(control.max_factor, np.maximum(control.min_factor, factor)), (error, memory[0])


def sizes(control: Adaptive, x: Tensor) -> Tensor:
    """The norm of each sample, shape (samples,). A function of the user's sees them one by one, in a batch of 1."""
    norm = control.size
    flat = by_row(x)
    if norm is rms:
        found: Tensor = torch.linalg.vector_norm(flat, dim=1)
        return found.div(max(1, flat.shape[1]) ** 0.5)
    if norm is largest:
        return flat.abs().amax(1) if flat.shape[1] else flat.abs().new_zeros(len(x))
    return torch.stack([norm(x[i : i + 1]) for i in range(len(x))]) if len(x) else flat.abs().new_zeros(0)


def by_row(x: Tensor) -> Tensor:
    """Shape (samples, numbers of each), of none too."""
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


def _numbers(x: Tensor) -> Floats:
    found: Floats = x.to("cpu", torch.float64).numpy()
    return found


def _within(control: Adaptive, dt: Floats) -> Floats:
    if not control.min_step and control.max_step is None:
        return dt
    found: Floats = np.copysign(np.minimum(np.maximum(np.abs(dt), control.min_step), control.longest), dt)
    return found
