"""A problem whose field draws a mask and counts its batches at every call."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from odebench import problem


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.3), nn.BatchNorm1d(4), nn.Linear(4, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


@problem("dropped")
class Dropped:
    """A field with dropout and batch normalisation."""

    default_span = (0.0, 1.0)

    def start(self, seed: int) -> Any:
        return np.array([1.0, 0.5])

    def module(self, seed: int) -> nn.Module:
        return Dropping()
