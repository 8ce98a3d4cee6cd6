"""The gradient of a solved stage: the implicit function theorem, as an autograd function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odebench.autodiff import leaves
from odebench.errors import Refusal
from odebench.solvers.derivative_faults import refuse_gradient_if_hidden
from odebench.solvers.jacobian import Kept, taped
from odebench.solvers.newton import solve_transposed
from odebench.types import Field

Solve = Callable[[Tensor], Tensor]


def attach(f: Field, t: float, a: float, z: Tensor, x: Tensor, kept: Kept) -> Tensor:
    """`x`, the solution of x = z + a·f(t, x; θ), as a function of z and of θ; one evaluation of f where grad is on.

    With λ = (I − a·∂f/∂x)⁻ᵀ·x̄ the cotangents are z̄ = λ and θ̄ = a·(∂f/∂θ)ᵀ·λ. How x was found is not differentiated,
    so no iteration is kept.

    Raises:
        Refusal: f depends on x, and autograd cannot tell how; in the backward pass at the latest.
    """
    if not torch.is_grad_enabled():
        return x
    at, fx = taped(f, t, x)
    if not z.requires_grad and all(leaf is at for leaf in leaves([fx])):
        return x  # nothing else to differentiate in: no graph is begun for the sake of `at`

    def hidden() -> None:
        refuse_gradient_if_hidden(f, t, a, x, fx.detach(), kept.jacobian)

    def pull(bar: Tensor) -> Tensor:
        return solve_transposed(fx, at, a, kept, bar, hidden)

    if not fx.requires_grad:
        hidden()
    found: Tensor = _Stage.apply(a, pull, x, z, fx)  # type: ignore[no-untyped-call]
    return found


class _Stage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: float, pull: Solve, x: Tensor, z: Tensor, fx: Tensor) -> Tensor:
        ctx.a, ctx.pull = a, pull
        return x.clone()

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> tuple[None, None, None, Tensor, Tensor]:
        # Not `once_differentiable`: that says nothing where the cotangent is a constant, as that of a sum is.
        if torch.is_grad_enabled():
            raise Refusal("second derivatives through implicit stages are not computed; use an explicit solver")
        solved = ctx.pull(bar)
        return None, None, None, solved, solved * ctx.a
