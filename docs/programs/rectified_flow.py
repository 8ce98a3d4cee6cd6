"""lucidrains/rectified-flow-pytorch 0.14.0: `RectifiedFlow` trained for some steps on small images, and sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from rectified_flow_pytorch import RectifiedFlow
from torch import Tensor, nn

from programs.case import Case, Run


class Small(nn.Module):
    """Two convolutions over images, shape (batch, 1, 8, 8), and their times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor, *, times: Tensor) -> Tensor:
        time = times.reshape(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        return self.second(torch.tanh(self.first(torch.cat([x, time], 1))))


def _sampling(tolerance: float | None, steps: int = 16, **options: Any) -> Case:
    def prepare() -> Run:
        flow = RectifiedFlow(Small(), data_shape=(1, 8, 8), **({"odeint_kwargs": options} if options else {}))
        optimizer, images = torch.optim.Adam(flow.parameters(), 1e-2), torch.rand(32, 1, 8, 8)
        for _ in range(10):
            optimizer.zero_grad()
            flow(images).backward()
            optimizer.step()

        def run() -> Mapping[str, Tensor]:
            return {"samples": flow.sample(batch_size=16, steps=steps)}

        return run

    return Case(prepare, rtol=tolerance)


CASES = {
    "training and sampling, its default": _sampling(None),
    "dopri5, 16 saves": _sampling(1e-5, atol=1e-5, rtol=1e-5, method="dopri5"),
    "dopri5, 2 saves": _sampling(1e-5, steps=2, atol=1e-5, rtol=1e-5, method="dopri5"),
    "rk4": _sampling(None, method="rk4"),
}
