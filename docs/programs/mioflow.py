"""KrishnaswamyLab/MIOFlow: its field and losses, training and trajectories; with its momentum f has a memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchdiffeq import odeint

from programs.case import Case, Run, bare_package
from programs.nets import moons

bare_package("mioflow")
bare_package("mioflow.core")

from mioflow.core.losses import density_loss, energy_loss, ot_loss  # noqa: E402
from mioflow.core.models.ode_model import ODEFunc  # noqa: E402


def _data() -> list[Tensor]:
    return [moons(48)[0] + 0.5 * k for k in range(4)]


def _training(momentum: float, steps: int) -> Case:
    def prepare() -> Run:
        net, data = ODEFunc(2, 16, momentum_beta=momentum), _data()
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)

        def run() -> Mapping[str, Tensor]:
            losses = []
            for step in range(steps):
                k = step % 3
                net.reset_momentum()
                times = torch.tensor([float(k), k + 1.0])
                end = odeint(net, data[k], times)[1]
                loss = ot_loss(end, data[k + 1]) + 0.1 * density_loss(end, data[k + 1])
                loss = loss + 0.01 * energy_loss(net, data[k], torch.linspace(k, k + 1.0, 10))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            return {"losses": torch.stack(losses)}

        return run

    # What a field with a memory says depends on when it is asked: there is no solution to be near to.
    return Case(prepare, rtol=1e-7, truth=not momentum)


def _trajectories() -> Run:
    net, start = ODEFunc(2, 16).eval(), _data()[0]

    def run() -> Mapping[str, Tensor]:
        with torch.no_grad():
            return {"trajectories": odeint(net, start, torch.linspace(0.0, 3.0, 100))}

    return run


CASES = {
    "12 training steps": _training(0.0, 12),
    # Its default tolerance is 1e-7, which a field with a memory makes thousands of calls of.
    "two training steps with momentum": _training(0.1, 2),
    "trajectories, 100 saves": Case(_trajectories, rtol=1e-7),
}
