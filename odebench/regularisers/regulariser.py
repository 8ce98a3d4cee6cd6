"""What regularisers are, by where they act. Torch-free, and quick to import."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from odebench.types import Controller, Field, State, Step, Stepper


@runtime_checkable
class Regulariser(Protocol):
    """A frozen dataclass whose fields are its options. It satisfies one of the protocols below as well."""

    @property
    def weight(self) -> float:
        """What its term is multiplied by, at the first step of training."""

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """Why it cannot be had of this solver under this stepping, or None."""


@runtime_checkable
class PathTerm(Regulariser, Protocol):
    """Adds ∫ mean(g(t, y)) |dt| along every row's path: one more component of the state, kept out of the error norm."""

    def integrand(self, f: Field, t: Tensor, y: Tensor, slope: Tensor, probe: Tensor) -> Tensor:
        """g, shape (batch, n) as y, differentiable; the mean is over the components of the model's own state.

        `slope` is f(t, y); `probe` is one standard normal draw for the whole solve, zero beyond the model's own state.
        """


@runtime_checkable
class StepTerm(Regulariser, Protocol):
    """Adds up a figure of every accepted step, so that the gradient goes through the whole trajectory.

    Optional, and looked up by name: `of_step(control, dt, state, step)`, the figure of a step that was taken, without
    which steps cannot be looked into by `dense`.
    """

    def step(self, f: Field, stepper: Stepper, control: Any, t: float, dt: float, state: State) -> tuple[Step, Tensor]:
        """(the step, its figure: a 0-dim tensor with a graph)."""

    def combine(self, total: Tensor, figure: Tensor) -> Tensor:
        """The total with one figure more."""

    def finish(self, total: Tensor, steps: int) -> Tensor:
        """What is added to the loss, of the total over so many steps."""


@runtime_checkable
class LocalTerm(Regulariser, Protocol):
    """Adds a figure of one step, taken anew from a state of the solution that counts as given."""

    @property
    def by_step(self) -> bool:
        """The state is that at the start of a step drawn from those of the solve; else at a time drawn beforehand."""

    def figure(self, f: Field, stepper: Stepper, control: Any, t: float, dt: float, state: State) -> Tensor:
        """Of the step from there, a 0-dim tensor with a graph."""


@runtime_checkable
class TimeTerm(Regulariser, Protocol):
    """Moves the times of a solve; adds nothing to the loss."""

    def times(self, ts: tuple[float, ...], draw: Generator) -> tuple[float, ...]:
        """The times of this training step."""


@runtime_checkable
class WeightTerm(Regulariser, Protocol):
    """Adds a function of the weights alone."""

    def penalty(self, task: Any) -> Tensor:
        """A 0-dim tensor with a graph."""


def annealed(first: float, last: float | None, step: int, steps: int) -> float:
    """The weight at a step of so many: exponential from `first` to `last`, as Pal et al. have it; constant without."""
    if last is None or steps < 1 or first == last:
        return first
    weight: float = first * (last / first) ** (step / steps)
    return weight


def check_weights(weight: float, weight_end: float | None = None) -> None:
    """Weights are finite and not negative, and what is annealed does not pass through 0.

    Raises:
        ValueError: they are not so.
    """
    if not 0 <= weight < inf:
        raise ValueError(f"weight must be a number of at least 0; got {weight!r}")
    if weight_end is not None and not (0 < weight_end < inf and weight > 0):
        raise ValueError(f"a weight that is annealed must be above 0 at both ends; got {weight!r} and {weight_end!r}")
