"""Small networks and data that several drivers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Velocity(nn.Module):
    """A multilayer perceptron of y, shape (batch, dim), and of one time each, shape (batch,) or ()."""

    def __init__(self, dim: int, width: int = 32) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + 1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.last = nn.Linear(width, dim)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        return self.last(self.net(torch.cat([y, t.expand(len(y))[:, None].to(y)], 1)))


def moons(points: int, noise: float = 0.05) -> tuple[Tensor, Tensor]:
    """Two half circles in the plane, and which of them each point belongs to."""
    upper = torch.arange(points) % 2
    angle = torch.rand(points) * torch.pi
    sign = 1 - 2 * upper
    data = torch.stack([sign * angle.cos() + upper, sign * angle.sin() + 0.5 * upper], 1)
    return data + noise * torch.randn(points, 2), upper
