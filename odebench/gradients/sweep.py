"""Exact discrete gradients by one backward sweep: recall the state before a step, pull the cotangent through the step.

Importable without torch; the sweep itself is in `sweep_function`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from odebench.gradients.recall import Invert, Recompute, StoreAll
from odebench.types import Controller, Reversible, Staged, Stepper, Trace, can

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.gradients.guard import Guard
    from odebench.types import Field, Params


@dataclass(frozen=True)
class Sweep:
    """The gradient of the very steps that were taken, step by step from the end.

    `recall` says how each state is got back; `by_stage` transposes a step one evaluation of f at a time instead of
    taping the whole step. Needs one step's graph (one evaluation's with `by_stage`) beside what `recall` keeps.
    """

    recall: StoreAll | Recompute | Invert
    by_stage: bool = False
    guard: Guard | None = field(default=None, repr=False)

    def within(self, guard: Guard) -> Sweep:
        """The same for one solve of somebody else's f."""
        return replace(self, guard=guard)

    def refusal(self, stepper: Stepper) -> str | None:
        """What the recall or the transpose needs and the scheme has not."""
        if isinstance(self.recall, Invert) and not can(stepper, Reversible):
            return "its steps cannot be undone; use a reversible scheme: alf, reversible_heun or coupled"
        if self.by_stage and not can(stepper, Staged):
            return "its steps cannot be transposed stage by stage; use an explicit Runge–Kutta scheme, or gradient aca"
        return None

    def misfit(self, control: Controller) -> str | None:
        """Samples that step by themselves cannot be undone together."""
        if not getattr(control, "per_sample", False) or not isinstance(self.recall, Invert):
            return None
        return (
            "`reversible` undoes the steps of the whole batch, and with `per_sample` every sample has its own; use aca"
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
        """The solution at `ts`, shape (len(ts), *y0.shape)."""
        from odebench.gradients.sweep_function import solve

        return solve(self, f, params, y0, ts, stepper, control, trace)
