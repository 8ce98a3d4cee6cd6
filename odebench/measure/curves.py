"""What a record keeps of a way back: both paths, and the distance between them, in few points and few digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from math import isfinite

from torch import Tensor

POINTS = 80  # of one curve, so that all of them take some 5 kB of a record
_TIMES, _VALUES = 6, 4  # significant digits

Curves = dict[str, list[float]]


@dataclass
class Trail:
    """Where one pass went, in its own order: (t, the first two components of row 0 of the batch, or its only one)."""

    points: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, t: float, y: Tensor) -> None:
        """One state, shaped (batch, …). Two numbers cross over from a GPU."""
        self.points.append((t, *y[0].detach().reshape(-1)[:2].tolist()))


def curves_of(forward: Trail, back: Trail, errors: Sequence[tuple[float, float]]) -> Curves:
    """The curves of a record, each up to the first point that is not finite.

    `forward_t`, `forward_1`, `forward_2` is the forward path and `reversed_…` the way back, each in the order in which
    it was walked; without `…_2` where there is one component. `error` at `error_t` are the distances on the way back.
    """
    curves: Curves = {}
    for name, path in (("forward", forward), ("reversed", back)):
        points = _finite(path.points)
        curves |= _columns((f"{name}_t", f"{name}_1", f"{name}_2"), [points[index] for index in _spread(len(points))])
    found = _finite(errors)
    worst = max(range(len(found)), key=lambda index: found[index][1], default=0)
    kept = sorted({*_spread(len(found)), worst}) if found else []
    return curves | _columns(("error_t", "error"), [found[index] for index in kept])


def _finite(points: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return list(takewhile(lambda point: all(map(isfinite, point)), points))


def _spread(count: int) -> list[int]:
    """At most `POINTS` − 1 of `count` indices, evenly spread, the first and the last among them."""
    most = POINTS - 1
    return list(range(count)) if count <= most else [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _columns(names: Sequence[str], points: Sequence[tuple[float, ...]]) -> Curves:
    columns = zip(*points, strict=True)
    digits = [_TIMES, *[_VALUES] * (len(names) - 1)]
    return {
        name: [float(f"{value:.{places}g}") for value in column]
        for name, places, column in zip(names, digits, columns, strict=False)
    }
