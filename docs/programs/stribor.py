"""mbilos/stribor: `ContinuousTransform` in four set-ups, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import stribor
import torch
from torch import Tensor

from programs.case import Case, Run, gradients


def _training(rtol: float | None = 1e-3, **options: Any) -> Case:
    def prepare() -> Run:
        net = stribor.net.DiffeqMLP(3, [32], 2)
        flow, data = stribor.ContinuousTransform(2, net=net, **options), torch.randn(64, 2)

        def run() -> Mapping[str, Tensor]:
            y, change = flow.forward_and_log_det_jacobian(data.clone())
            (y.square().sum(1) / 2 - change[:, 0]).mean().backward()
            return {"y": y, "log det": change, "gradient": gradients(flow.parameters())}

        return run

    return Case(prepare, rtol=rtol)


CASES = {
    "its default": _training(),
    "exact divergence": _training(divergence="compute"),
    "exact divergence, direct": _training(divergence="compute", use_adjoint=False),
    "exact divergence, rk4": _training(None, divergence="compute", solver="rk4", solver_options={"step_size": 0.1}),
}
