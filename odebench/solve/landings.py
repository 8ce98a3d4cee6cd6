"""Where steps land: saved times, and others that are the same but for rounding."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Times:
    """Times, in the precision `dtype` in which they were given."""

    values: tuple[float, ...] = ()
    dtype: torch.dtype = torch.float64

    @classmethod
    def of(cls, given: Any) -> Times:
        """Of a tensor, or of numbers, which have the precision of Python's."""
        told = given if isinstance(given, Tensor) else torch.as_tensor(given, dtype=torch.float64)
        dtype = told.dtype if told.dtype.is_floating_point else torch.float64
        return cls(tuple(map(float, told.detach().tolist())), dtype)

    @property
    def eps(self) -> float:
        """The relative spacing of numbers of that precision."""
        return torch.finfo(self.dtype).eps


NO_TIMES = Times()

# A move in time by this share of the span, or less, of one stage of a step does not count.
_COUNTS = 1e-6


@dataclass(frozen=True)
class Rounding:
    """What rounding may have done to saved times: `blur` is how far it may have moved one, and `most` what share of a
    step may be put down to it.

    Times of double precision often were single before, as `linspace(…).double()` is. They are taken for that, but for
    no more than a thousandth of a step.
    """

    blur: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, t: Any) -> Rounding:
        """Of `t` as it was given; of what are no times, none."""
        if not isinstance(t, Tensor) or not t.dtype.is_floating_point or not t.numel():
            return cls()
        eps, single = torch.finfo(t.dtype).eps, torch.finfo(torch.float32).eps
        return cls(max(eps, single) * float(t.detach().abs().max()), 0.5 if eps >= single else 1e-3)


def grain(state: torch.dtype, jumps: Times, saved: Times) -> torch.dtype:
    """The precision in which a jump of f lies between the numbers next to it.

    It is the coarsest of those of the times that tell where, so that f is on the right side wherever in the
    rounding of such a time it jumps; or that of f's own time, `state`, where so much is a share of the span that
    counts.
    """
    found = max((state, jumps.dtype, saved.dtype), key=lambda dtype: torch.finfo(dtype).eps)
    first, *_, last = saved.values
    reach = max(abs(first), abs(last))
    return found if torch.finfo(found).eps * reach <= _COUNTS * abs(last - first) else state


def landings(saved: Times, *others: Times) -> tuple[tuple[float, ...], dict[float, float]]:
    """(the saved times and those of the others that lie strictly within, in the order of the saved ones; what each of
    the others is among them, by its value).

    One that is as near to a landing as rounding in the coarser of the two precisions may have moved it is that landing:
    of two an ulp apart one is left, and no sliver between them. What is given first stands.
    """
    ts = saved.values
    low, high = min(ts), max(ts)
    found, precision, where = sorted(ts), dict.fromkeys(ts, saved.eps), {}
    for other in others:
        fresh: list[float] = []
        for time in sorted(other.values):
            near = _nearest(found, time)
            if fresh and abs(time - fresh[-1]) < abs(time - near):
                near = fresh[-1]
            if abs(time - near) <= 2 * max(precision[near], other.eps) * abs(near):
                where[time] = near
            elif low < time < high:
                fresh.append(time)
                where[time], precision[time] = time, other.eps
        found = sorted(found + fresh)
    return tuple(found if ts[0] <= ts[-1] else reversed(found)), where


def _nearest(times: list[float], time: float) -> float:
    at = bisect_left(times, time)
    return min(times[max(at - 1, 0) : at + 1], key=lambda x: abs(x - time))
