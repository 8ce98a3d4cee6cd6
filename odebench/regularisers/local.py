"""The figure of a single step, at one random place of the solve: local regularisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from odebench.registry import regulariser
from odebench.regularisers.global_error import unscaled, without_twins
from odebench.regularisers.regulariser import check_weights
from odebench.regularisers.stiffness import STABILITY, judged_with_stiffness

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Controller, Field, State, Stepper

_PAL = (
    "A. Pal, A. Edelman, C. Rackauckas, Locally regularized neural differential equations: some black boxes were meant "
    "to remain closed!, ICML 2023 (arXiv 2303.02262)"
)


@dataclass(frozen=True)
class Local:
    """E·|dt| of one embedded step, taken anew from a state of the solve that counts as given.

    The gradient goes through the later stages of that step alone, so that it costs one step's graph whatever the
    gradient method of the solve. `figure: stiffness` takes S / 3.5068 instead, which the source's code offers and its
    text reports no gain of. `dt` is Hairer's first step there, as in the source's code.

    Raises:
        ValueError: a weight is out of range.
    """

    by_step: bool
    weight: float
    weight_end: float | None
    figure_of: Literal["error", "stiffness"]

    def __post_init__(self) -> None:
        check_weights(self.weight, self.weight_end)

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """What the figure needs."""
        return unscaled(stepper, control) or (without_twins(stepper) if self.figure_of == "stiffness" else None)

    def figure(self, f: Field, stepper: Any, control: Any, t: float, dt: float, state: State) -> Tensor:
        """A 0-dim tensor with a graph."""
        if self.figure_of == "stiffness":
            return judged_with_stiffness(f, stepper, t, dt, state)[1] / STABILITY
        error: Tensor = control.error(state, stepper.step(f, t, dt, state))
        return error * abs(dt)


@regulariser("local_unbiased", reference=_PAL)
def local_unbiased(
    weight: float = 2.5, weight_end: float | None = None, figure: Literal["error", "stiffness"] = "error"
) -> Local:
    """One step from a time drawn evenly over the span, before the solve, which then lands on it.

    The weights belong to a tolerance: the source takes 2.5 falling to 1 at 1.4e-8, and 2.5 at 1e-4.
    """
    return Local(False, weight, weight_end, figure)


@regulariser("local_biased", reference=_PAL)
def local_biased(
    weight: float = 2.5, weight_end: float | None = None, figure: Literal["error", "stiffness"] = "error"
) -> Local:
    """One step from the start of an accepted step drawn evenly: where steps are small it looks more often.

    The state is drawn while the solve goes on, so that no others are kept for it.
    """
    return Local(True, weight, weight_end, figure)
