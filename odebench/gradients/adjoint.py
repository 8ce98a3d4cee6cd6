"""The continuous adjoint. Importable without torch; the backward solve is in `adjoint_function`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.types import Controller, Selective, Stepper, Trace

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params


@dataclass(frozen=True)
class Backsolve:
    """The continuous adjoint: solve for y, dL/dy and dL/dθ together, backwards in time from the end.

    Memory is that of one augmented state; nothing is kept but the saved times, where y is reset to its stored value.
    Inexact: y is integrated backwards and drifts from the forward trajectory, and the adjoint equation is discretised
    anew. Fixed steps go back over the nodes of the forward mesh; adaptive ones are chosen by the same controller, its
    norm the largest RMS of the three parts.

    Source: R. T. Q. Chen et al., Neural ordinary differential equations, NeurIPS 2018 (arXiv 1806.07366).
    """

    def refusal(self, stepper: Stepper) -> str | None:
        """A scheme that lives off the structure of f: the augmented system has another."""
        if isinstance(stepper, Selective):
            return "its steps follow the structure of f, which the adjoint's augmented system has not; use aca"
        return None

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
        """The solution at `ts`, shape (len(ts), *y0.shape)."""
        from odebench.gradients.adjoint_function import solve

        return solve(f, params, y0, ts, stepper, control, trace)
