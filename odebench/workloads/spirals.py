"""Spirals in the plane, seen with noise at irregular times. All of it is float64 on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

WINDOW = 1.2 * pi  # angle, and time, that observations lie in: 100 points of the 500 on the source's spiral
END = 6 * pi  # angle at which every spiral ends
PITCH = 0.3  # radius over angle


@dataclass(frozen=True)
class Spirals:
    """Trajectories on one grid of times, whose first `points` are the window that observations lie in.

    `times` (grid,), equidistant from 0; `clean` (count, grid, 2), the curves without noise; `seen` (count, observed),
    increasing places of the observations on the grid; `values` (count, observed, 2), what was observed there.
    """

    times: Tensor
    clean: Tensor
    seen: Tensor
    values: Tensor
    points: int

    def __len__(self) -> int:
        return len(self.seen)


def draw_spirals(draw: torch.Generator, count: int, points: int, later: int, observed: int, noise: float) -> Spirals:
    """`count` curves of radius 0.3·angle at angular speed 1, the first half of them clockwise.

    The window takes 1.2π in `points` times, and `later` more, at most four times as many, follow at the same distance.
    Starts are uniform over the angles from which a curve ends by 6π; with 0 `later` points the windows go all the way
    out. Each curve is observed at `observed` places of its own in the window, drawn without replacement, with Gaussian
    noise of deviation `noise` in either coordinate.
    """
    times = torch.arange(points + later, dtype=torch.float64) * (WINDOW / points)
    room = END - float(times[-1])
    angle = room * torch.rand((count, 1), generator=draw, dtype=torch.float64) + times
    sense = torch.where(torch.arange(count) < count // 2, -1.0, 1.0).double().unsqueeze(1)
    clean = PITCH * angle.unsqueeze(2) * torch.stack((angle.cos(), sense * angle.sin()), 2)
    order = torch.rand((count, points), generator=draw, dtype=torch.float64).argsort(1)
    seen = order[:, :observed].sort(1).values
    exact = at_places(clean, seen)
    values = exact + noise * torch.randn(exact.shape, generator=draw, dtype=torch.float64)
    return Spirals(times, clean, seen, values, points)


def at_places(series: Tensor, places: Tensor) -> Tensor:
    """Entries of each row at places of its own: (count, grid, dim), (count, n) -> (count, n, dim)."""
    return series.gather(1, places.unsqueeze(2).expand(-1, -1, series.shape[2]))
