"""Figures of every step, summed along the whole solve: the error estimate, and the stiffness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from odebench.registry import regulariser
from odebench.regularisers.regulariser import check_weights
from odebench.regularisers.stiffness import STABILITY, judged_with_stiffness, twins

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Controller, Field, State, Step, Stepper

_PAL = (
    "A. Pal, Y. Ma, V. Shah, C. Rackauckas, Opening the blackbox: accelerating neural differential equations by "
    "regularizing internal solver heuristics, ICML 2021 (arXiv 2105.03918)"
)


@dataclass(frozen=True)
class StepErrors:
    """Σ E·|dt| over the accepted steps, E the scaled error estimate that the step control sees.

    `form`: `text` is this sum, as the paper has it; `code` the mean over the steps, as its released code does.

    Raises:
        ValueError: a weight is out of range.
    """

    weight: float = 100.0
    weight_end: float | None = None
    form: Literal["text", "code"] = "text"

    def __post_init__(self) -> None:
        check_weights(self.weight, self.weight_end)

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """There must be an estimate, and a tolerance to scale it by."""
        return unscaled(stepper, control)

    def step(self, f: Field, stepper: Stepper, control: Any, t: float, dt: float, state: State) -> tuple[Step, Tensor]:
        """(the step, E·|dt|)."""
        step = stepper.step(f, t, dt, state)
        return step, self.of_step(control, dt, state, step)

    def of_step(self, control: Any, dt: float, state: State, step: Step) -> Tensor:
        """E·|dt| of a step that was taken."""
        error: Tensor = control.error(state, step)
        return error * abs(dt)

    def combine(self, total: Tensor, figure: Tensor) -> Tensor:
        """The sum."""
        return total + figure

    def finish(self, total: Tensor, steps: int) -> Tensor:
        """The sum, or the mean."""
        return total if self.form == "text" else total / steps


@dataclass(frozen=True)
class StepStiffness:
    """Σ S·|dt| over the accepted steps, S Shampine's estimate of the largest eigenvalue.

    `form`: `text` is this sum, as the paper has it; `code` the largest |S| / 3.5068, as its released code does.

    Raises:
        ValueError: a weight is out of range.
    """

    weight: float = 0.0285
    weight_end: float | None = None
    form: Literal["text", "code"] = "text"

    def __post_init__(self) -> None:
        check_weights(self.weight, self.weight_end)

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """There must be two stages at one time."""
        return without_twins(stepper)

    def step(self, f: Field, stepper: Any, control: Any, t: float, dt: float, state: State) -> tuple[Step, Tensor]:
        """(the step, S·|dt| or S / 3.5068)."""
        step, size = judged_with_stiffness(f, stepper, t, dt, state)
        return step, size * abs(dt) if self.form == "text" else size / STABILITY

    def combine(self, total: Tensor, figure: Tensor) -> Tensor:
        """The sum, or the largest."""
        return total + figure if self.form == "text" else total.maximum(figure)

    def finish(self, total: Tensor, steps: int) -> Tensor:
        """As it is."""
        return total


def unscaled(stepper: Stepper, control: Controller) -> str | None:
    """Why there is no scaled error estimate of a solver under a stepping, or None."""
    if stepper.error_order is None:
        return "it estimates no error, so there is none to make small; use a scheme with an embedded pair"
    if not hasattr(control, "error"):
        return "an error estimate is scaled by the tolerances, and fixed steps have none; use `adaptive`"
    return None


def without_twins(stepper: Stepper) -> str | None:
    """Why a solver cannot tell of stiffness, or None."""
    if twins(stepper) is None:
        return "it has no two stages at one time to tell stiffness by; use tsit5 or dopri5"
    return None


regulariser("ernode", reference=_PAL)(StepErrors)
regulariser("srnode", reference=_PAL)(StepStiffness)
