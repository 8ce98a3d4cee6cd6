"""facebookresearch/flow_matching: its solver's tests, and its `ODESolver` on a flow in the plane."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from flow_matching.solver import ODESolver
from torch import Tensor

from programs.case import Case, Run, found, gradients, own_tests
from programs.nets import Velocity

FIXED = {"euler": 0.05, "midpoint": 0.05, "heun3": 0.1, "rk4": 0.1}


def _solver() -> tuple[Velocity, ODESolver, Tensor]:
    net = Velocity(2)
    return net, ODESolver(velocity_model=lambda x, t: net(x, t)), torch.randn(128, 2)


def _sampling(method: str, step_size: float | None, saves: int = 2) -> Case:
    def prepare() -> Run:
        net, solver, start = _solver()
        grid = torch.linspace(0.0, 1.0, saves)

        def run() -> Mapping[str, Tensor]:
            options = {"time_grid": grid, "return_intermediates": True, "enable_grad": True}
            samples = solver.sample(start, step_size=step_size, method=method, **options)
            samples.square().mean().backward()
            return {"samples": samples, "gradient": gradients(net.parameters())}

        return run

    return Case(prepare, rtol=1e-5 if step_size is None else None)


def _likelihood(exact: bool, method: str, step_size: float | None, in_x: bool = False) -> Case:
    def prepare() -> Run:
        net, solver, data = _solver()
        data.requires_grad_(in_x)

        def run() -> Mapping[str, Tensor]:
            log_p = solver.compute_likelihood(
                data,
                log_p0=lambda x: -x.square().sum(1) / 2,
                step_size=step_size,
                method=method,
                exact_divergence=exact,
                enable_grad=True,
            )[1]
            log_p.mean().backward()
            there = {"gradient": gradients(net.parameters())}
            return {"log p": log_p, **there, **({"gradient in x": data.grad} if in_x else {})}

        return run

    return Case(prepare, rtol=1e-5 if step_size is None else None)


CASES = {
    "its solver's tests": own_tests(found("flow_matching").parents[1] / "tests", "solver/test_ode_solver.py", rounds=3),
    **{f"sampling and training, {name}": _sampling(name, step) for name, step in FIXED.items()},
    "sampling and training, dopri5": _sampling("dopri5", None),
    "the same, 10 saves": _sampling("dopri5", None, saves=10),
    "likelihood, exact divergence, midpoint": _likelihood(True, "midpoint", 0.1),
    "likelihood, exact divergence, dopri5": _likelihood(True, "dopri5", None),
    "likelihood, estimated divergence, dopri5": _likelihood(False, "dopri5", None),
    "likelihood, gradient in x too, dopri5": _likelihood(True, "dopri5", None, in_x=True),
}
