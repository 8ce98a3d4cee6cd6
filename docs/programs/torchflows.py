"""davidnabergoj/torchflows: FFJORD, RNODE and OT-flow, one training step, then samples.

The first two draw new noise whenever f is called, unless they are told to use it again, as they are here: so there is
one field, which both sides solve.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchflows.bijections.continuous.base import ContinuousBijection
from torchflows.bijections.continuous.ffjord import FFJORD
from torchflows.bijections.continuous.otflow import OTFlowBijection
from torchflows.bijections.continuous.rnode import RNODE

from programs.case import Case, Run, gradients


def _training(kind: type[ContinuousBijection], solver: str) -> Case:
    options = {} if kind is OTFlowBijection else {"reuse_noise": True}

    def prepare() -> Run:
        flow, data, noise = (
            kind((3,), solver=solver, time_derivative_kwargs=options),
            torch.randn(32, 3),
            torch.randn(32, 3),
        )

        def run() -> Mapping[str, Tensor]:
            z, change = flow.train().forward(data)
            (z.square().sum(1) / 2 - change).mean().backward()
            gradient = gradients(flow.parameters())
            with torch.no_grad():
                samples = flow.eval().inverse(noise)[0]
            return {"z": z, "log det": change, "gradient": gradient, "samples": samples}

        return run

    return Case(prepare, rtol=1e-5 if solver == "dopri5" else None)


CASES = {
    f"{kind.__name__}, {solver}": _training(kind, solver)
    for kind, solver in ((FFJORD, "rk4"), (FFJORD, "dopri5"), (RNODE, "rk4"), (OTFlowBijection, "rk4"))
}
