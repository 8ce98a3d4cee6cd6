"""Known steps: equal ones, and the replay of a recorded mesh."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf, ulp
from typing import TYPE_CHECKING

from odebench.errors import Refusal, SolveError
from odebench.types import MOST_STEPS, Mesh, Step, Stepper, Tick, Verdict

if TYPE_CHECKING:
    from odebench.types import Field, State

# Slack in counting the steps of a length: 1.0 / 0.1 is ten steps, not eleven.
_ROUNDING = 1e-9


def strides(ts: tuple[float, ...], dt: float, blur: float = 0.0, most: float = 0.5) -> Mesh:
    """Steps of length `dt` from each of `ts` to the next, the last one as long as is left.

    A saved time may be `blur` off, by rounding: what is left of no more than twice that, but of no more than
    `most` steps either, is no step of its own, and the one before it is longer by so much.

    Raises:
        SolveError: the steps are too short for their ends to be told apart.
    """
    ticks: list[Tick] = []
    for start, end in pairwise(ts):
        h = dt if end > start else -dt
        slack = max(_ROUNDING, _apart(start, end) / dt, min(2 * blur / dt, most))
        ticks += _equal(start, end, h, max(1, ceil((end - start) / h - slack)))
    return tuple(ticks)


def _apart(start: float, end: float) -> float:
    return ulp(max(abs(start), abs(end)))


def _equal(start: float, end: float, h: float, count: int) -> list[Tick]:
    apart = _apart(start, end)
    if count > 1 and abs(h) < 2 * apart:  # where nodes are rounded to every second number, two may be rounded to one
        raise SolveError(
            f"steps of {abs(h):.3g} are asked for, and times less than {apart:.2g} apart are one between "
            f"{start!r} and {end!r}; count t from the start of the solve, or take longer steps"
        )
    nodes = [*(start + i * h for i in range(count)), end]
    return [Tick(t, t1 - t, i == count - 1) for i, (t, t1) in enumerate(pairwise(nodes))]


@dataclass(frozen=True)
class Fixed:
    """Equal steps: `steps` of them over the whole span, or steps of length `dt`, the one before a saved time shorter.

    Raises:
        ValueError: not exactly one of the two is given, or it is not positive.
    """

    steps: int | None = None
    dt: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.dt is None):
            raise ValueError("give either steps or dt, one of them")
        if (self.steps is not None and self.steps < 1) or (self.dt is not None and not 0 < self.dt < inf):
            raise ValueError(f"steps and dt must be positive; got {self.dt if self.steps is None else self.steps!r}")

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes fixed steps."""
        return None

    def misfit(self, saves: int) -> str | None:
        """Why a mesh of so many steps cannot land on `saves` equal intervals, or None."""
        if self.steps is None or self.steps % saves == 0:
            return None
        return f"{self.steps} equal steps do not land on {saves} equal intervals; make steps a multiple of {saves}"

    def excess(self, span: float | None) -> str | None:
        """Why so many steps cannot be taken over `span`, the length of the solve (None: not known), or None."""
        if self.steps is not None:
            asked, hint = float(self.steps), "take fewer"
        elif span is not None and self.dt is not None:
            asked, hint = abs(span) / self.dt, "is it in the unit of t?"
        else:
            return None
        if asked <= MOST_STEPS:
            return None
        named, of = ("dt", f" over a span of {abs(span or 0):g}") if self.steps is None else ("steps", "")
        return f"fixed {named} asks for {asked:.3g} steps{of}, above {MOST_STEPS:.0e}; {hint}"

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """All the steps. Nodes are counted, never summed up, so that the mesh back is the mesh there.

        Raises:
            Refusal: they are more than any memory can hold.
            ValueError: the steps do not divide evenly among the intervals between saved times.
            SolveError: they are too short for their ends to be told apart.
        """
        if excess := self.excess(ts[-1] - ts[0]):
            raise Refusal(excess)
        misfit = self.misfit(len(ts) - 1)
        if misfit:
            raise ValueError(misfit)
        if self.dt is not None:
            return strides(ts, self.dt)
        count = (self.steps or 1) // (len(ts) - 1)
        return tuple(tick for start, end in pairwise(ts) for tick in _equal(start, end, (end - start) / count, count))

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, None]:
        """Never asked: the mesh is known."""
        raise AssertionError("a known mesh is walked, not searched")

    def judge(self, dt: float, before: State, step: Step, order: int, memory: None) -> Verdict:
        """Never asked: the mesh is known."""
        raise AssertionError("a known mesh is walked, not searched")


@dataclass(frozen=True)
class Replay:
    """The steps of a recorded mesh, so that two methods can be compared on identical steps."""

    ticks: Mesh

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes given steps."""
        return None

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """The recorded one."""
        return self.ticks

    first, judge = Fixed.first, Fixed.judge
