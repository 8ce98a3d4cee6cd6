"""pnnl/neuromancer 1.5.6: its `DiffEqIntegrator` around a small network, and five of its built-in systems.

The last two systems have inputs. With an adaptive method the norm that `DiffEqIntegrator` hands to the adjoint fails
on torchdiffeq as well: it takes a tensor and gets a tuple.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from programs.case import Case, Run, bare_package, gradients

bare_package("neuromancer")

from neuromancer.dynamics.integrators import DiffEqIntegrator  # noqa: E402
from neuromancer.psl import systems  # noqa: E402


class Block(nn.Module):
    """A right hand side with the two attributes that integrators ask for."""

    in_features = out_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _integrator(method: str) -> Case:
    def prepare() -> Run:
        integrator, start = DiffEqIntegrator(Block(), h=0.5, method=method), torch.randn(16, 3)

        def run() -> Mapping[str, Tensor]:
            y = start
            for _ in range(4):
                y = integrator(y)
            y.square().mean().backward()
            return {"y": y, "gradient": gradients(integrator.parameters())}

        return run

    return Case(prepare)


def _system(name: str) -> Case:
    def prepare() -> Run:
        system = systems[name](backend="torch", seed=0)

        def run() -> Mapping[str, Tensor]:
            return {key: value for key, value in system.simulate(nsim=20).items() if isinstance(value, Tensor)}

        return run

    return Case(prepare, rtol=1e-7)


CASES = {
    **{f"DiffEqIntegrator, {method}": _integrator(method) for method in ("euler", "rk4")},
    **{name: _system(name) for name in ("VanDerPol", "Duffing", "Pendulum", "TwoTank", "SEIR_population")},
}
