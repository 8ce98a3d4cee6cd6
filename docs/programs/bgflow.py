"""noegroup/bgflow: `DiffEqFlow` with black-box dynamics (divergence exact or estimated) and with kernel dynamics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy
import torch

# Its release says what NumPy 2 has no longer.
numpy.infty = numpy.inf

from bgflow import BlackBoxDynamics, BruteForceEstimator, DiffEqFlow, HutchinsonEstimator, KernelDynamics  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from programs.case import Case, Run, gradients  # noqa: E402
from programs.nets import Velocity  # noqa: E402


class Swapped(nn.Module):
    """A velocity that is asked for (t, x)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = Velocity(dim)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(x, t)


def _exact() -> nn.Module:
    return BlackBoxDynamics(Swapped(4), BruteForceEstimator())


def _estimated() -> nn.Module:
    return BlackBoxDynamics(Swapped(4), HutchinsonEstimator())


def _kernel() -> nn.Module:
    centres, widths = torch.linspace(0.0, 4.0, 8), 0.5 * torch.ones(8)
    times, spans = torch.linspace(0.0, 1.0, 4), 0.3 * torch.ones(4)
    return KernelDynamics(4, 2, centres, widths, mus_time=times, gammas_time=spans, optimize_d_gammas=True)


def _training(dynamics: Callable[[], nn.Module], dim: int, method: str, step_size: float | None) -> Case:
    def prepare() -> Run:
        options = {} if step_size is None else {"options": {"step_size": step_size}}
        flow = DiffEqFlow(dynamics(), integrator=method, atol=1e-5, rtol=1e-5, **options.get("options", {}))
        data = 2 * torch.randn(32, dim)

        def run() -> Mapping[str, Tensor]:
            y, change = flow(data)
            (y.square().sum(1) / 2 - change[:, 0]).mean().backward()
            return {"y": y, "change of log density": change, "gradient": gradients(flow.parameters())}

        return run

    return Case(prepare, rtol=1e-5 if step_size is None else None)


CASES = {
    f"{name}, {method}": _training(dynamics, dim, method, step)
    for name, dynamics, dim in (
        ("black box, exact divergence", _exact, 4),
        ("black box, estimated divergence", _estimated, 4),
        ("kernels", _kernel, 8),
    )
    for method, step in (("dopri5", None), ("rk4", 0.05))
}
