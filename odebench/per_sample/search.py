"""The loop in which every sample finds steps of its own. Each round tries one step of all that are under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from odebench.controllers import by_sample
from odebench.controllers.adaptive import END, OVER, STRETCH, Adaptive
from odebench.controllers.by_sample import Judged
from odebench.controllers.resolution import told_apart_each, underflow_each
from odebench.controllers.stuck import LastTrial
from odebench.errors import Refusal
from odebench.per_sample.rounds import Inside, Round, Rounds
from odebench.per_sample.rows import RowField
from odebench.per_sample.steps import gathered, settle, trial
from odebench.types import Field, State, Step, Tabled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Places = NDArray[np.int64]

Keep = Callable[[int, State, int | None], None]


@np.errstate(all="ignore")  # what is not finite is judged, and said
def search(
    f: Field,
    stepper: Tabled,
    control: Adaptive,
    ts: tuple[float, ...],
    state: State,
    keep: Keep | None,
    begin: Callable[[], None] | None = None,
) -> tuple[list[Tensor], Rounds]:
    """(the solution at `ts`, the steps). `keep` sees the samples under way before every round in which one steps.

    Raises:
        Refusal: f cannot be asked for some rows, each at its own time, or the state has no axis of samples.
        Divergence: the error estimate of a sample stays not finite however small its step.
        SolveError: a sample's step size underflowed, or it reached the controller's step limit.
    """
    y0, order = state[0], stepper.error_order or 1
    if not y0.ndim:
        raise Refusal("per_sample counts samples along the first axis of the state, and it has none; give y0[None]")
    slope = state[1] if stepper.tableau.fsal else f(ts[0], y0)
    rows = RowField.look(f, ts, y0, slope)
    own = by_sample.narrowed(control, np.arange(len(y0)), y0.shape)
    way = _Way.at_start(by_sample.first(own, f, order, ts, y0, slope), ts[0])
    goal = _Goal(np.array(ts), len(y0), control)
    step = None
    rounds: list[Round] = []
    found: list[Tensor | None] = []
    tried, rejected = 0, np.zeros(len(y0), dtype=np.int64)
    while len(way.rows):
        _look_at_limit(goal, own, way, tried, state, step)
        tried += 1
        target, h, ends = goal.steps(way)
        if begin is not None:
            begin()
        step, ks = trial(rows, stepper, way.rows, way.t, h, state)
        verdict = by_sample.judge(own, h, by_sample.errors(own, state, step), order, way.memory)
        following = way.after(h, np.where(ends, target, way.t + h), goal.next(way, h, ends), verdict)
        if not verdict.accept.all():
            rejected[way.rows[~verdict.accept]] += 1
            _look_for_stuck(goal, own, way, state, step, verdict)
            if not verdict.accept.any():
                way = following
                continue
        each = goal.round(way, h, ends, following.to, verdict.accept)
        if keep is not None:
            keep(len(rounds), state, None)
        state, given = settle(rows, stepper, each, state, step, ks)
        rounds.append(each)
        found.append(given)
        way = following if each.stay is None else following.only(each.stay)
        if each.stay is not None:
            own = by_sample.narrowed(control, way.rows, y0.shape)
    taken = Rounds(tuple(rounds), rejected, whole=rows.rest is not None)
    return gathered(y0, taken, found, len(ts)), taken


@dataclass(frozen=True)
class _Way:
    """The samples that are under way, in the order of the batch, and where each of them is."""

    rows: Places
    t: Floats
    dt: Floats  # to try next
    to: Places  # the saved time that is next
    memory: tuple[Floats, Floats]  # the controller's

    @classmethod
    def at_start(cls, dt: Floats, t0: float) -> _Way:
        """All of them."""
        size = len(dt)
        return cls(
            np.arange(size), np.full(size, t0), dt, np.ones(size, dtype=np.int64), (np.ones(size), np.ones(size))
        )

    def after(self, h: Floats, t1: Floats, to: Places, verdict: Judged) -> _Way:
        """Those that were accepted at t1, the others where they were. What is done is still here."""
        accept, least = verdict.accept, np.abs(self.dt)
        # A step that was cut short to land says little about the next one.
        dt = np.where(accept & (np.abs(h) < least) & (np.abs(verdict.dt) < least), self.dt, verdict.dt)
        if accept.all():
            return _Way(self.rows, t1, dt, to, verdict.memory)
        return _Way(self.rows, np.where(accept, t1, self.t), dt, np.where(accept, to, self.to), verdict.memory)

    def only(self, stay: Places) -> _Way:
        """Those at these places."""
        newest, last = self.memory
        return _Way(self.rows[stay], self.t[stay], self.dt[stay], self.to[stay], (newest[stay], last[stay]))


@dataclass(frozen=True)
class _Goal:
    """The saved times, and how steps come to them."""

    ts: Floats
    batch: int
    control: Adaptive

    @property
    def span(self) -> float:
        return float(abs(self.ts[-1] - self.ts[0]))

    def steps(self, way: _Way) -> tuple[Floats, Floats, Flags]:
        """(where each sample is to land, the length of its next step, whether that lands)."""
        target: Floats = np.full_like(way.t, self.ts[-1]) if self.control.dense else self.ts[way.to]
        ends = np.minimum(np.abs(way.dt) * STRETCH, OVER * self.control.longest) >= np.abs(target - way.t)
        h = np.where(ends, target - way.t, told_apart_each(way.t, way.dt, target, self.span))
        return target, h, ends | (way.t + h == target)

    def next(self, way: _Way, h: Floats, ends: Flags) -> Places:
        """The saved time that comes after these steps. One at the end of a step that goes on is left to the next."""
        if not self.control.dense:
            return way.to + ends
        sign = 1.0 if self.ts[-1] > self.ts[0] else -1.0
        reached = np.searchsorted(sign * self.ts[:-1], sign * (way.t + h * (1 - END)), side="right")
        return np.where(ends, len(self.ts), np.maximum(reached, way.to))

    def round(self, way: _Way, h: Floats, ends: Flags, to: Places, accept: Flags) -> Round:
        """The round in which those that were accepted step; `to` is the saved time that comes then, for all."""
        rows, t, first, moved, stay = way.rows, way.t, way.to, None, None
        going = to < len(self.ts)
        if not going.all():
            stay = np.flatnonzero(going)
        if not accept.all():
            moved = np.flatnonzero(accept)
            rows, t, h, ends = rows[moved], t[moved], h[moved], ends[moved]
            first, to = first[moved], to[moved]
        landed = np.flatnonzero(ends)
        value = (to[landed] - 1) * self.batch + rows[landed]
        inside = self._inside(rows, t, h, first, to - ends) if self.control.dense else None
        return Round(rows, t, h, moved, stay, landed, value, inside)

    def _inside(self, rows: Places, t: Floats, dt: Floats, first: Places, last: Places) -> Inside | None:
        """The saved times from `first` on and before `last` of each step."""
        counts = last - first
        step = np.repeat(np.arange(len(rows)), counts)
        if not len(step):
            return None
        saved = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts - first, counts)
        return Inside(step, (self.ts[saved] - t[step]) / dt[step], saved * self.batch + rows[step])


def _look_at_limit(goal: _Goal, own: Adaptive, way: _Way, tried: int, state: State, step: Step | None) -> None:
    """Whoever is under way was tried in every round. A step that lands is not counted."""
    beyond = tried - (0 if goal.control.dense else way.to - 1)
    over = np.flatnonzero(beyond >= goal.control.max_steps)
    if len(over):
        raise _trial(goal, own, way, state, step, int(over[0])).exhausted(goal.control.max_steps)


def _look_for_stuck(goal: _Goal, own: Adaptive, way: _Way, state: State, step: Step, verdict: Judged) -> None:
    stuck = np.flatnonzero(~verdict.accept & (np.abs(verdict.dt) < underflow_each(way.t, goal.span)))
    if len(stuck):
        raise _trial(goal, own, replace(way, dt=verdict.dt), state, step, int(stuck[0])).stuck()


def _trial(goal: _Goal, own: Adaptive, way: _Way, state: State, step: Step | None, at: int) -> LastTrial:
    """The last one of the sample at this place; without its error where others have arrived since."""
    error = step.error if step is not None and step.error is not None and len(step.error) == len(way.rows) else None
    return LastTrial(
        by_sample.narrowed(own, np.array([at]), state[0].shape),
        float(way.t[at]),
        float(way.dt[at]),
        goal.span,
        state[0][at : at + 1],
        None if error is None else error[at : at + 1],
        sample=int(way.rows[at]),
    )
