"""d-biswa/Symplectic-ODENet: both architectures, adjoint and direct, rk4 and dopri5, with gradients in x and t too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from nn_models import MLP, PSD
from symoden import SymODEN_R, SymODEN_T
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from programs.case import Case, Run, gradients


def _net(angles: bool) -> tuple[nn.Module, Tensor]:
    device = torch.device("cpu")
    if not angles:
        net = SymODEN_R(2, H_net=MLP(2, 24, 1), g_net=MLP(1, 12, 1), device=device)
        return net, torch.cat([torch.randn(16, 2), torch.ones(16, 1)], 1)
    potential, control = MLP(2, 16, 1), MLP(2, 12, 1)
    net = SymODEN_T(1, M_net=PSD(2, 16, 1), V_net=potential, g_net=control, device=device, structure=True)
    angle = torch.randn(16, 1)
    return net, torch.cat([angle.cos(), angle.sin(), torch.randn(16, 1), torch.ones(16, 1)], 1)


def _training(angles: bool, adjoint: bool, method: str) -> Case:
    def prepare() -> Run:
        net, start = _net(angles)
        start.requires_grad_()
        times = torch.linspace(0.0, 0.2, 5).requires_grad_()
        solve = odeint_adjoint if adjoint else odeint
        tolerances = {"rtol": 1e-5, "atol": 1e-6} if method == "dopri5" else {}

        def run() -> Mapping[str, Tensor]:
            path = solve(net, start, times, method=method, **tolerances)
            path[1:].square().mean().backward()
            values = {"path": path, "gradient": gradients(net.parameters())}
            return {**values, "gradient in x": start.grad, "gradient in t": times.grad}

        return run

    return Case(prepare, rtol=1e-5 if method == "dopri5" else None)


CASES = {
    f"{'T' if angles else 'R'}, {'adjoint' if adjoint else 'direct'}, {method}": _training(angles, adjoint, method)
    for angles, adjoint, method in (
        (False, True, "rk4"),
        (False, True, "dopri5"),
        (False, False, "rk4"),
        (True, True, "rk4"),
        (True, True, "dopri5"),
        (True, False, "dopri5"),
    )
}
