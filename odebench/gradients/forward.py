"""Forward sensitivities. Importable without torch; the solve is in `forward_function`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.types import Controller, Stepper, Trace

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params


@dataclass(frozen=True)
class Forward:
    """Forward sensitivities: y and its derivative along every direction are solved for together, by the same scheme.

    S' = ∂f/∂y·S + ∂f/∂θ joins y' = f, and a scheme that combines values of f linearly gives of S the very derivative of
    its steps: exact. Steps are chosen by the error of y alone, and are those of a solve without S. The backward pass
    evaluates nothing. Memory is that of 1 + d states at every saved time, for d directions; each evaluation of f
    carries d + 1 products with its Jacobian, since a JVP is taken as the transpose of a VJP.

    For few parameters: where y0 and the parameters to differentiate in have more than `directions` components the solve
    is refused. A complex component counts for two.

    Source: A. Griewank, A. Walther, Evaluating Derivatives, SIAM 2008, chapter 3; E. Hairer, S. P. Nørsett, G. Wanner,
    Solving Ordinary Differential Equations I, section I.14.
    """

    directions: int = 64

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme can be applied to y and S together."""
        return None

    def misfit(self, control: Controller) -> str | None:
        """The derivatives of all samples are one state."""
        if not getattr(control, "per_sample", False):
            return None
        return (
            "`forward` carries the derivatives by the whole batch in one state, and with `per_sample` no two samples "
            "are at the same time; use direct, aca, recursive or symplectic"
        )

    def solve(
        self,
        f: Field,
        params: Params,
        y0: Tensor,
        ts: tuple[float, ...],
        stepper: Stepper,
        control: Controller,
        trace: Trace | None = None,
    ) -> Tensor:
        """The solution at `ts`, shape (len(ts), *y0.shape).

        Raises:
            Refusal: there are more directions than allowed.
        """
        from odebench.gradients.forward_function import solve

        return solve(self, f, params, y0, ts, stepper, control, trace)
