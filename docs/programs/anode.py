"""EmilienDupont/augmented-neural-odes: its trainer on its concentric data, and a field that is too stiff for it.

Of the latter both sides give up, as the program expects. torchdiffeq's time is in single precision there and stands
still after some tens of steps; odebench's is in double precision, and goes on to the step limit that the program sets.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from anode.models import ODENet
from anode.training import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from programs.case import Case, Run


def _circles(points: int) -> TensorDataset:
    """A disc that is -1, and a ring around it that is 1."""
    inner = torch.arange(points) % 2 == 0
    radius = torch.where(inner, 0.5 * torch.rand(points), 1 + 0.5 * torch.rand(points))
    angle = 2 * torch.pi * torch.rand(points)
    data = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    return TensorDataset(data, torch.where(inner, -1.0, 1.0)[:, None])


def _training(adjoint: bool, augment_dim: int) -> Case:
    def prepare() -> Run:
        device = torch.device("cpu")
        net = ODENet(device, 2, 32, augment_dim=augment_dim, time_dependent=True, adjoint=adjoint)
        trainer = Trainer(net, torch.optim.Adam(net.parameters(), 1e-3), device, verbose=False, record_freq=1)
        batches = DataLoader(_circles(128), batch_size=64)

        def run() -> Mapping[str, Tensor]:
            trainer.train(batches, num_epochs=3)
            return {"losses": torch.tensor(trainer.histories["loss_history"])}

        return run

    return Case(prepare, rtol=1e-3)


def _stiff() -> Run:
    net = ODENet(torch.device("cpu"), 2, 8, tol=1e-3)
    with torch.no_grad():
        for layer in (net.odeblock.odefunc.fc1, net.odeblock.odefunc.fc2, net.odeblock.odefunc.fc3):
            layer.weight.copy_(30 * torch.randn_like(layer.weight))

    def run() -> Mapping[str, Tensor]:
        # As its experiments do: a solve that fails is recorded, and the next one is begun.
        try:
            net(torch.randn(16, 2))
        except AssertionError:
            return {"given up": torch.tensor(1.0)}
        return {"given up": torch.tensor(0.0)}

    return run


CASES = {
    **{
        f"training, {'adjoint' if adjoint else 'direct'}, {dims} augmented": _training(adjoint, dims)
        for adjoint in (False, True)
        for dims in (0, 2)
    },
    "a field that is too stiff": Case(_stiff, rtol=1e-3, truth=False),
}
