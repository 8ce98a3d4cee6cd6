"""Adaptive steps over a solve of several walks, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import copysign
from typing import TYPE_CHECKING, Any

from odebench.controllers.adaptive import Adaptive
from odebench.types import Step, Stepper, Verdict

if TYPE_CHECKING:
    from odebench.types import Field, State

_Place = tuple[float, bool]  # a time, and whether time increases


@dataclass(frozen=True)
class Carrying(Adaptive):
    """A walk that begins where another one ended begins with the step that this one would have tried next.

    So a jump of f costs no search for a first step, nor does a saved time on the way back. `marks` are times to land on
    with `dense` too. For one solve and its backward passes: `found` is written along the way. It is kept by place, so
    that a second backward pass takes the steps of the first.
    """

    marks: tuple[float, ...] = ()  # in the order of the solve
    found: dict[_Place, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, control: Adaptive) -> Carrying:
        """The same, for one solve."""
        return cls(**{each.name: getattr(control, each.name) for each in fields(Adaptive)})

    def landings(self, ts: tuple[float, ...]) -> Sequence[int]:
        """As without marks, and on these."""
        if not (self.dense and self.marks):
            return super().landings(ts)
        low, high, last = min(ts), max(ts), len(ts) - 1
        marked = {time for time in self.marks if low < time < high}
        return [place for place, time in enumerate(ts) if place and (place == last or time in marked)]

    def approach(self, dt: float, left: float) -> float:
        """The last two steps before a landing are as long as one another: a sliver says little about the next step."""
        return left / 2 if abs(left) < 2 * abs(dt) and abs(left) > 2 * self.shortest else dt

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, Any]:
        """What the walk that ended here would have tried next; else as ever."""
        onwards = ts[-1] > ts[0]
        carried = self.found.get((ts[0], onwards))
        if carried is None:
            dt, memory = super().first(f, stepper, ts, state)
        else:
            # Longer than this walk perhaps: then it is one step, and says little about the next walk's first.
            dt, memory = copysign(carried, ts[-1] - ts[0]), (1.0, 1.0)
        return dt, ((ts[-1], onwards), abs(dt), memory)

    def judge(self, dt: float, before: State, step: Step, order: int, memory: Any) -> Verdict:
        """As ever; notes what would be tried next."""
        end, asked, inner = memory
        accept, following, inner = super().judge(dt, before, step, order, inner)
        if accept:
            self.found[end] = self._next(abs(dt), abs(following), asked)
        return Verdict(accept, following, (end, abs(following), inner))

    def _next(self, taken: float, following: float, asked: float) -> float:
        """What the next walk tries first, if this one ends with a step of `taken` where `asked` was to be tried.

        As much again at least: walks are often as long as one another, and a little less would leave a sliver of each.
        One that was cut short to land could grow by `max_factor` at most, and then says little.
        """
        return max(following, asked if following >= 0.999 * self.max_factor * taken else taken)
