"""How finely floating-point numbers tell times apart, and steps that are no shorter than that. Without torch."""

from __future__ import annotations

from math import nextafter, ulp
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Where the spacing of times is a larger share of the span than this, it is what steps end at. Elsewhere they may go by
# without it: time stands still there only at a pole, which they so come to the end of.
_COARSE = 1e-13

# A step of fewer spacings than this is made a whole number of them; of more, rounding moves the end by next to nothing.
_FEW = 2.0**20

# A rejected step has underflowed where what is to follow is this share of the span: a stiff start may need far less of
# a long span than can be told apart at its end. And where it is this share of the time.
_START, _LATER = 1e-28, 1e-14


def is_coarse(t: float, span: float) -> bool:
    """Whether a solve over `span` meets the spacing of times at `t`, which is far from 0 then."""
    return ulp(t) > _COARSE * span


def underflow(t: float, span: float) -> float:
    """The length below which a rejected step at `t` ends the solve."""
    return ulp(t) if is_coarse(t, span) else max(_START * span, _LATER * abs(t))


def told_apart(t: float, h: float, target: float, span: float) -> float:
    """`h`, or where times are coarse and few of them in h: the longest step no longer than `h` that ends on one, but
    one spacing at least, towards `target` at most.

    Else time would go by other lengths than the solution. Rounding down makes a trial that is shortened a shorter one.
    """
    if not is_coarse(t, span) or abs(h) >= _FEW * ulp(t):
        return h
    end = t + h
    if abs(end - t) > abs(h):
        end = nextafter(end, t)
    if end == t:
        end = nextafter(t, target)
    return end - t


def underflow_each(t: Floats, span: float) -> Floats:
    """`underflow` of each."""
    apart = np.abs(np.spacing(t))
    return np.where(apart > _COARSE * span, apart, np.maximum(_START * span, _LATER * np.abs(t)))


def told_apart_each(t: Floats, h: Floats, target: Floats, span: float) -> Floats:
    """`told_apart` of each."""
    apart = np.abs(np.spacing(t))
    few = (apart > _COARSE * span) & (np.abs(h) < _FEW * apart)
    if not few.any():
        return h
    end = t + h
    end = np.where(np.abs(end - t) > np.abs(h), np.nextafter(end, t), end)
    end = np.where(end == t, np.nextafter(t, target), end)
    return np.where(few, end - t, h)
