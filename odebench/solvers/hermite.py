"""The cubic through both ends of a step with the slopes there: an interpolant for whatever carries slopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Extension


def cubic(dt: float, y: Tensor, slope: Tensor, y1: Tensor, slope1: Tensor) -> Extension:
    """Hermite's interpolant, of order 3 at most: less where y1 or the slopes are of less."""

    def inside(places: Sequence[float]) -> list[Tensor]:
        return [_at(place, dt, y, slope, y1, slope1) for place in places]

    return inside


def _at(place: float, dt: float, y: Tensor, slope: Tensor, y1: Tensor, slope1: Tensor) -> Tensor:
    rest = 1 - place
    x = y.lerp(y1, place * place * (3 - 2 * place))
    return x.add(slope, alpha=dt * place * rest * rest).sub(slope1, alpha=dt * place * place * rest)
