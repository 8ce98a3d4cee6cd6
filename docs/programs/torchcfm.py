"""atong01/conditional-flow-matching: OT-CFM trained on points in the plane, and the UNet of its MNIST example.

Both are sampled by torchdiffeq as its notebooks do. The UNet is small, and one image is enough.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torchdiffeq
from torch import Tensor
from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher
from torchcfm.models import MLP
from torchcfm.models.unet import UNetModel

from programs.case import Case, Run
from programs.nets import moons


def _plane(saves: int) -> Case:
    def prepare() -> Run:
        net = MLP(dim=2, time_varying=True, w=32)
        matcher, data = ExactOptimalTransportConditionalFlowMatcher(sigma=0.1), moons(128)[0]
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(100):
            t, xt, ut = matcher.sample_location_and_conditional_flow(torch.randn_like(data), data)
            optimizer.zero_grad()
            (net(torch.cat([xt, t[:, None]], -1)) - ut).square().mean().backward()
            optimizer.step()
        start = torch.randn(256, 2)

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            return net(torch.cat([x, t.expand(len(x))[:, None]], 1))

        def run() -> Mapping[str, Tensor]:
            times = torch.linspace(0, 1, saves)
            with torch.no_grad():
                return {"samples": torchdiffeq.odeint(velocity, start, times, atol=1e-4, rtol=1e-4, method="dopri5")}

        return run

    return Case(prepare, rtol=1e-4)


def _images() -> Run:
    net = UNetModel(dim=(1, 28, 28), num_channels=32, num_res_blocks=1, num_classes=10, class_cond=True).eval()
    for parameter in net.parameters():  # its last layer is born as zeros
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    labels, start = torch.arange(1), torch.randn(1, 1, 28, 28)

    def run() -> Mapping[str, Tensor]:
        with torch.no_grad():
            images = torchdiffeq.odeint(
                lambda t, x: net(t, x, labels),
                start,
                torch.linspace(0, 1, 2),
                atol=1e-4,
                rtol=1e-4,
                method="dopri5",
            )
        return {"images": images[-1]}

    return run


CASES = {
    "OT-CFM, samples at the end": _plane(2),
    "OT-CFM, 100 saves": _plane(100),
    "UNet of the MNIST example": Case(_images, rtol=1e-4, rounds=5),
}
