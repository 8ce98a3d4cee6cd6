"""A workload of a quarter turn: learn the field that turns a point about the origin by 90 degrees in unit time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from odebench.registry import workload
from odebench.workloads.workload import streams


@workload("rotation")
@dataclass(frozen=True)
class Rotation:
    """A two-dimensional flow that is to turn its start by 90 degrees."""

    quality: ClassVar[str] = "mse"
    better: ClassVar[str] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2

    hidden: int = 16

    def build(self, seed, dtype, device):
        return Turn(self, seed, dtype, device)


class Turn:
    def __init__(self, rotation, seed, dtype, device):
        import torch
        from torch import nn

        self.seed, self.dtype, self.device, self.samples = seed, dtype, device, 1000
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = nn.Linear(2, rotation.hidden), nn.Tanh(), nn.Linear(rotation.hidden, 2)
            self.model = nn.Sequential(*layers).to(device, dtype)

    def points(self, stream, count):
        import torch

        drawn = torch.randn((count, 2), generator=streams(self.seed, stream), dtype=torch.float64)
        return drawn.to(self.device, self.dtype)

    def error(self, x, solve):
        import torch

        found = solve(lambda t, y: self.model(y), x, (0.0, 1.0), tuple(self.model.parameters()))[-1]
        return (found - torch.stack((-x[:, 1], x[:, 0]), 1)).square().mean()

    def loss(self, step, batch, solve):
        return self.error(self.points(step, batch), solve)

    def evaluate(self, solve):
        return {"quality": float(self.error(self.points(2**40, 256), solve))}
