"""rsinghlab/scNODE: its model, six training steps on made-up cells at eight irregular times, then a prediction."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from model.diff_solver import ODE
from model.dynamic_model import scNODE
from model.layer import LinearNet, LinearVAENet
from torch import Tensor

from programs.case import Case, Run

GENES, LATENT = 20, 6
TIMES = torch.tensor([0.0, 0.3, 0.5, 1.1, 1.2, 1.9, 2.4, 3.0])


def _training(method: str) -> Case:
    def prepare() -> Run:
        encoder = LinearVAENet(GENES, [16], LATENT, "relu")
        decoder, drift = LinearNet(LATENT, [16], GENES, "relu"), LinearNet(LATENT, [16], LATENT, "tanh")
        net = scNODE(GENES, LATENT, GENES, encoder, ODE(LATENT, drift, method), decoder)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        cells = [torch.rand(32, GENES) + 0.1 * index for index in range(len(TIMES))]

        def run() -> Mapping[str, Tensor]:
            losses = []
            for _ in range(6):
                optimizer.zero_grad()
                predicted = net(cells, TIMES)[0]
                loss = sum((predicted[:, k] - each).square().mean() for k, each in enumerate(cells))
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            with torch.no_grad():
                after = net.predict(cells[0], TIMES, 40)[2]
            return {"losses": torch.stack(losses), "prediction": after}

        return run

    return Case(prepare, rtol=1e-5 if method == "dopri5" else None)


CASES = {f"six training steps, {method}": _training(method) for method in ("euler", "dopri5", "rk4")}
