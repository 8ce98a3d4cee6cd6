"""crowsonkb/k-diffusion: `log_likelihood` of its sampling module under a small denoiser."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from programs.case import Case, Run, bare_package
from programs.nets import Velocity

bare_package("k_diffusion")

from k_diffusion.sampling import log_likelihood  # noqa: E402


class Denoiser(nn.Module):
    """Takes noise of a standard deviation off y; exact for normal data, but for what a network adds."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Velocity(3)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        scale = (1 + sigma[:, None] ** 2).rsqrt()
        return x * scale**2 + 0.3 * sigma[:, None] * scale * self.net(x * scale, sigma.log() / 4)


def _weighing(tolerance: float) -> Case:
    def prepare() -> Run:
        net, data = Denoiser(), torch.randn(64, 3)

        def run() -> Mapping[str, Tensor]:
            return {"log p": log_likelihood(net, data, 1e-2, 10.0, atol=tolerance, rtol=tolerance)[0].detach()}

        return run

    return Case(prepare, rtol=tolerance)


CASES = {f"log_likelihood at {tolerance:g}": _weighing(tolerance) for tolerance in (1e-4, 1e-5)}
