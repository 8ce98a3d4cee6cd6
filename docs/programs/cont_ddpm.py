"""google-research/torchsde: the ODE sampler of its example cont_ddpm, rk4, around a small score network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from examples.cont_ddpm import ReverseDiffeqWrapper, ScoreMatchingSDE
from torch import Tensor, nn

from programs.case import Case, Run


class Score(nn.Module):
    """A score of images, shape (batch, 1, 8, 8), at times of shape (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        time = t.reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        return self.second(torch.tanh(self.first(torch.cat([x, time], 1)))) - x


def _sampling(step: float) -> Case:
    def prepare() -> Run:
        reverse = ReverseDiffeqWrapper(ScoreMatchingSDE(Score(), input_size=(1, 8, 8)))

        def run() -> Mapping[str, Tensor]:
            return {"samples": reverse.ode_sample(batch_size=16, dt=step)}

        return run

    return Case(prepare)


CASES = {f"ODE sampler, steps of {step:g}": _sampling(step) for step in (0.05, 0.01)}
