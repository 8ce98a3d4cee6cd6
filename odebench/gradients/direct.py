"""Backpropagation through the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.types import Controller, Stepper, Trace

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params


@dataclass(frozen=True)
class Direct:
    """Backpropagation through every step: exact for the steps taken, memory grows with steps × stages.

    The step-size search is not differentiated: accepted steps count as constants, as is usual.
    """

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme can be taped."""
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
        import torch

        from odebench.integrate import walk

        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)
