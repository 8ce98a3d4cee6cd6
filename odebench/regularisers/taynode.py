"""Solutions that a solver of high order finds easy: a small k-th derivative along the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.registry import regulariser
from odebench.regularisers.regulariser import check_weights

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Controller, Field, Stepper

    Function = Callable[[Tensor, Tensor], Tensor]

_MOST = 6  # derivatives nest, and each order about triples the graph


@regulariser(
    reference="J. Kelly, J. Bettencourt, M. J. Johnson, D. Duvenaud, Learning differential equations that are easy to "
    "solve, NeurIPS 2020 (arXiv 2007.04504)"
)
@dataclass(frozen=True)
class Taynode:
    """∫ mean((dᵏy/dtᵏ)²) |dt| of order k = `order`, the mean over the components of a row.

    The source takes Taylor-mode differentiation; here derivatives along the path are nested, which gives the same
    numbers and costs more beyond order 3.

    Raises:
        ValueError: `order` is not 1 to 6, or the weight is negative.
    """

    order: int = 2
    weight: float = 0.01

    def __post_init__(self) -> None:
        check_weights(self.weight)
        if not 1 <= self.order <= _MOST:
            raise ValueError(f"order must be 1 to {_MOST}; got {self.order!r}")

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """It is one more component of the state, and any solver takes that."""
        return None

    def integrand(self, f: Field, t: Tensor, y: Tensor, slope: Tensor, probe: Tensor) -> Tensor:
        """Shape (batch, n)."""
        derivative: Function = f
        for _ in range(self.order - 1):
            derivative = _along_path(f, derivative)
        return (slope if self.order == 1 else derivative(t, y)).square()


def _along_path(f: Field, g: Function) -> Function:
    """dg/dt along y' = f: g_t + g_y·f."""

    def derivative(t: Tensor, y: Tensor) -> Tensor:
        import torch

        with torch.enable_grad():
            # By transposing the transpose: fields that differentiate inside themselves, such as a flow's trace, take no
            # part in torch.func's forward mode.
            time = t if t.requires_grad else t.detach().clone().requires_grad_()
            at = y if y.requires_grad else y.detach().requires_grad_()
            out = g(time, at)
            bar = torch.zeros_like(out, requires_grad=True)
            pulled = torch.autograd.grad(out, (time, at), bar, create_graph=True, allow_unused=True)
            pairs = [(p, v) for p, v in zip(pulled, (torch.ones_like(time), f(time, at)), strict=True) if p is not None]
            pairs = [(p, v) for p, v in pairs if p.requires_grad]
            if not pairs:
                return torch.zeros_like(out)
            outs, tangents = zip(*pairs, strict=True)
            (pushed,) = torch.autograd.grad(outs, bar, tangents, create_graph=True, allow_unused=True)
        return torch.zeros_like(out) if pushed is None else pushed

    return derivative
