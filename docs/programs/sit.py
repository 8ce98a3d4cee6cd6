"""willisma/SiT: its `transport` around a small network, sampled by its default (dopri5, 50 saves), and likelihoods.

Its likelihood draws new noise whenever f is called. The network here treats every coordinate on its own, so that this
estimate of the divergence is exact and the field is the same on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transport import Sampler, create_transport

from programs.case import Case, Run
from programs.nets import Velocity


class PerCoordinate(nn.Module):
    """A velocity of (batch, dim), each entry of which depends on that entry and on time alone."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Velocity(1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(x.reshape(-1, 1), t.repeat_interleave(x.shape[1])).reshape(x.shape)


def _sampling(tolerance: float | None, **options: Any) -> Case:
    def prepare() -> Run:
        net, start = Velocity(4), torch.randn(64, 4)
        sample = Sampler(create_transport()).sample_ode(**options)

        def run() -> Mapping[str, Tensor]:
            with torch.no_grad():
                return {"samples": sample(start, net)}

        return run

    return Case(prepare, rtol=tolerance)


def _likelihood() -> Run:
    net, data = PerCoordinate(), torch.randn(32, 4)
    weigh = Sampler(create_transport()).sample_ode_likelihood()

    def run() -> Mapping[str, Tensor]:
        with torch.no_grad():
            log_p, start = weigh(data.clone(), net)
        return {"log p": log_p, "start": start}

    return run


CASES = {
    "sampling, its default": _sampling(1e-3),
    "sampling, dopri8": _sampling(1e-3, sampling_method="dopri8"),
    "sampling, heun3": _sampling(None, sampling_method="heun3"),
    "likelihood, its default": Case(_likelihood, rtol=1e-3),
}
