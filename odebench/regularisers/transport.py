"""Paths that are short and even: the kinetic energy of a flow, and the size of its Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.registry import regulariser
from odebench.regularisers.regulariser import check_weights

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Controller, Field, Stepper

_FINLAY = (
    "C. Finlay, J.-H. Jacobsen, L. Nurbekyan, A. M. Oberman, How to train your neural ODE: the world of Jacobian and "
    "kinetic regularization, ICML 2020 (arXiv 2002.02798)"
)


@dataclass(frozen=True)
class Transport:
    """∫ kinetic·½·mean(f²) + jacobian·mean((εᵀJ)²) |dt|, the means over the components of a row.

    ε is one standard normal probe for the whole solve, so that E (εᵀJ)² summed over the components is ‖J‖² of the
    Frobenius norm.
    """

    kinetic: float
    jacobian: float

    def __post_init__(self) -> None:
        check_weights(self.kinetic)
        check_weights(self.jacobian)

    @property
    def weight(self) -> float:
        """1: the two parts have weights of their own."""
        return 1.0

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """It is one more component of the state, and any solver takes that."""
        return None

    def integrand(self, f: Field, t: Tensor, y: Tensor, slope: Tensor, probe: Tensor) -> Tensor:
        """Shape (batch, n)."""
        import torch

        total = slope.square().mul(0.5 * self.kinetic)
        if not self.jacobian:
            return total
        with torch.enable_grad():
            # The slope that is there may have no graph; the product with J needs one of its own.
            at = y if y.requires_grad else y.detach().requires_grad_()
            out = f(t, at)
            if not out.requires_grad:
                return total
            (product,) = torch.autograd.grad(out, at, probe, create_graph=True, allow_unused=True)
        return total if product is None else total.add(product.square(), alpha=self.jacobian)


@regulariser("kinetic", reference=_FINLAY)
def kinetic(weight: float = 0.01) -> Transport:
    """∫ ½·mean(f²) |dt|: kinetic energy. Costs no evaluation of f."""
    return Transport(weight, 0.0)


@regulariser("jacobian", reference=_FINLAY)
def jacobian(weight: float = 0.01) -> Transport:
    """∫ mean((εᵀJ)²) |dt|: the Frobenius norm of the Jacobian, by one random probe. One more evaluation and VJP."""
    return Transport(0.0, weight)


@regulariser("rnode", reference=_FINLAY)
def rnode(kinetic: float = 0.01, jacobian: float = 0.01) -> Transport:
    """Both at once, as RNODE trains."""
    return Transport(kinetic, jacobian)
