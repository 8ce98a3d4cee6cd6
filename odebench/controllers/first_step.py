"""The length of the first step, from looks at f before it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from odebench.types import Sloped, can

if TYPE_CHECKING:
    from odebench.controllers.adaptive import Adaptive
    from odebench.types import Field, State, Stepper


def asked(f: Field, t: float | Tensor, y: Tensor) -> Tensor:
    """f(t, y) for its value alone, in the grad mode that is current and with a y that requires a gradient where the
    given one does: an f that differentiates inside itself could do so in no other.
    """
    return f(t, y if y.requires_grad else y.detach()).detach()


def first_step(control: Adaptive, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> float:
    """Hairer, Nørsett & Wanner I, II.4: one or two evaluations, one if the state already holds the slope. Unsigned."""
    y, norm = state[0], control.size
    span, sign = abs(ts[-1] - ts[0]), 1.0 if ts[-1] > ts[0] else -1.0
    slope = stepper.slope(state) if can(stepper, Sloped) else None
    k = asked(f, ts[0], y) if slope is None else slope.detach()
    with torch.no_grad():
        at = y.detach()
        scale = control.scale(at.abs())
        d0, d1 = float(norm(in_units(control, at, scale))), float(norm(in_units(control, k, scale)))
    h0 = min(_opening(d0, d1), span)
    k1 = asked(f, ts[0] + sign * h0, y.add(k, alpha=sign * h0))
    with torch.no_grad():
        d2 = float(norm(in_units(control, k1 - k, scale))) / h0
    steepest = max(d1, d2)
    h1 = max(1e-6, h0 * 1e-3) if steepest <= 1e-15 else (0.01 / steepest) ** (1 / (stepper.error_order or 1))
    h = min(100 * h0, h1, span)
    return h if isfinite(h) and h > 0 else min(1e-6, 100 * h0)


def _opening(d0: float, d1: float) -> float:
    """The step to look at f behind. A slope that is not finite, or whose size overflows, tells no length."""
    h0 = 1e-6 if min(d0, d1) < 1e-5 else 0.01 * d0 / d1
    return h0 if isfinite(h0) and h0 > 0 else 1e-6


def in_units(control: Adaptive, x: Tensor, scale: Tensor) -> Tensor:
    """x in units of the error allowed. Where none is, since y rests at 0 and atol is 0, a component tells no length."""
    units = x / scale
    if control.atol_is_positive:
        return units
    return units.masked_fill(scale <= torch.finfo(scale.dtype).tiny, 0)
