"""A solver that adds up a figure of its steps in the last component of the state, so that any gradient goes through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch

from odebench.regularisers.regulariser import StepTerm
from odebench.types import Continuous, Reversible, Sloped, Step, Stepper, can

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Extension, Field, State


@dataclass(frozen=True)
class Penalised:
    """`inner`, on states of shape (batch, n + 1) whose last component the field leaves alone.

    After each step every row has there the total of `term` so far. The sweeps carry its cotangent like any other, so
    that the gradient of the figures is as exact as that of the solution, and takes no graph of the whole solve.
    """

    inner: Stepper
    term: StepTerm
    control: Any

    @property
    def order(self) -> int:
        """That of the solver."""
        return self.inner.order

    @property
    def error_order(self) -> int | None:
        """That of the solver."""
        return self.inner.error_order

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """That of the solver."""
        return self.inner.init(f, t, y)

    def slope(self, state: State) -> Tensor | None:
        """That of the solver, if it holds one."""
        return self.inner.slope(state) if can(self.inner, Sloped) else None

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step, and its figure added."""
        step, figure = self.term.step(f, self.inner, self.control, t, dt, state)
        return step._replace(state=(self._added(state[0], step.state[0], figure), *step.state[1:]))

    def _added(self, before: Tensor, after: Tensor, figure: Tensor) -> Tensor:
        total = self.term.combine(before[:, -1:], figure)
        return torch.cat((after[:, :-1], total), 1)


@dataclass(frozen=True)
class ReversiblyPenalised(Penalised):
    """Of a scheme that can undo its steps.

    The total is not taken back: nothing depends on it, and its cotangent is a constant.
    """

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The state before the step, the total as it was after."""
        assert isinstance(self.inner, Reversible)
        return self.inner.unstep(f, t, dt, state)


@dataclass(frozen=True)
class ContinuouslyPenalised(Penalised):
    """Of a scheme whose steps can be looked into, and a term that is a figure of a step taken.

    Inside a step the total is what it was at its start; it is read at the end of a solve alone.
    """

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """One step with its figure added, and the scheme's interpolant."""
        assert isinstance(self.inner, Continuous)
        step, inside = self.inner.extend(f, t, dt, state)
        figure = cast(Any, self.term).of_step(self.control, dt, state, step)
        return step._replace(state=(self._added(state[0], step.state[0], figure), *step.state[1:])), inside


@dataclass(frozen=True)
class BothPenalised(ReversiblyPenalised, ContinuouslyPenalised):
    """Of a scheme that can undo its steps and be looked into."""


def penalised(inner: Stepper, term: StepTerm, control: Any) -> Penalised:
    """`inner` with the figures of `term`, with those of its capabilities that go together with it."""
    undone, seen = isinstance(inner, Reversible), isinstance(inner, Continuous) and hasattr(term, "of_step")
    kind: type[Penalised] = {
        (False, False): Penalised,
        (True, False): ReversiblyPenalised,
        (False, True): ContinuouslyPenalised,
        (True, True): BothPenalised,
    }[undone, seen]
    return kind(inner, term, control)


def over_leading(control: Any, components: int) -> Any:
    """Control that judges only the first `components` of a row: what a regulariser adds must not shorten steps."""
    if not hasattr(control, "norm"):
        return control
    size = control.size

    def norm(x: Tensor) -> Tensor:
        found: Tensor = size(x[:, :components])
        return found

    return replace(control, norm=norm)
