"""What the drivers of ffjord and of TrajectoryNet, which grew out of it, have in common: flows built and trained.

Both keep a builder of models that reads the options of a command line; `options` are those of `train_toy.py`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from programs.case import Case, Run, gradients
from programs.nets import moons

OPTIONS = {
    "layer_type": "concatsquash",
    "dims": "16-16",
    "num_blocks": 1,
    "time_length": 0.5,
    "train_T": True,
    "divergence_fn": "brute_force",
    "nonlinearity": "tanh",
    "solver": "dopri5",
    "atol": 1e-5,
    "rtol": 1e-5,
    "step_size": None,
    "test_solver": None,
    "test_atol": None,
    "test_rtol": None,
    "residual": False,
    "rademacher": False,
    "batch_norm": False,
    "bn_lag": 0,
}
REGULARISERS = ("l1int", "l2int", "sl2int", "dl2int", "dtl2int", "JFrobint", "JdiagFrobint", "JoffdiagFrobint")
FIXED = ("rk4", "midpoint", "explicit_adams", "fixed_adams")


def training(train_misc: ModuleType, spectral_norm: bool = False, **options: Any) -> Case:
    """Three training steps and a test, of the program whose `train_misc` it is."""
    args = Namespace(**{**dict.fromkeys(REGULARISERS), **OPTIONS, "time_scale": OPTIONS["time_length"], **options})

    def prepare() -> Run:
        functions, weights = train_misc.create_regularization_fns(args)
        model = train_misc.build_model_tabular(args, 2, functions or None)
        if spectral_norm:
            train_misc.add_spectral_norm(model)
        data, optimizer = moons(64)[0], torch.optim.Adam(model.parameters(), 1e-3)

        def loss() -> Tensor:
            z, change = model(data.clone(), torch.zeros(len(data), 1))
            return -(train_misc.standard_normal_logprob(z).sum(1, keepdim=True) - change).mean()

        def run() -> Mapping[str, Tensor]:
            losses, gradient = [], None
            for _ in range(3):
                optimizer.zero_grad()
                if spectral_norm:
                    train_misc.spectral_norm_power_iteration(model, 1)
                total = loss()
                if weights:
                    parts = train_misc.get_regularization(model, weights)
                    total = total + sum(part * weight for part, weight in zip(parts, weights, strict=True))
                total.backward()
                gradient = gradients(model.parameters()) if gradient is None else gradient
                optimizer.step()
                losses.append(total.detach())
            with torch.no_grad():
                model.eval()
                tested = loss()
            return {"losses": torch.stack(losses), "first gradient": gradient, "tested": tested}

        return run

    return Case(prepare, rtol=None if args.solver in FIXED else args.rtol, rounds=5)
