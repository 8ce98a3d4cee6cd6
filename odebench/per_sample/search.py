"""The loop in which every sample finds steps of its own. Each round tries one step of all that are under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from odebench.controllers import by_sample
from odebench.controllers.adaptive import END, STRETCH, Adaptive
from odebench.controllers.by_sample import Judged
from odebench.errors import Divergence, Refusal, SolveError
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
    goal = _Goal(np.array(ts), len(y0), control)
    slope = state[1] if stepper.tableau.fsal else f(ts[0], y0)
    rows = RowField.look(f, ts, y0, slope)
    own = by_sample.narrowed(control, np.arange(len(y0)), y0.shape)
    way = _Way.at_start(by_sample.first(own, f, order, ts, y0, slope), ts[0])
    rounds: list[Round] = []
    found: list[Tensor | None] = []
    tried, rejected = 0, np.zeros(len(y0), dtype=np.int64)
    while len(way.rows):
        _look_at_limit(control, way, tried)
        tried += 1
        target, h, ends = goal.steps(way)
        if begin is not None:
            begin()
        step, ks = trial(rows, stepper, way.rows, way.t, h, state)
        verdict = by_sample.judge(own, h, by_sample.errors(own, state, step), order, way.memory)
        following = way.after(h, np.where(ends, target, way.t + h), goal.next(way, h, ends), verdict)
        if not verdict.accept.all():
            rejected[way.rows[~verdict.accept]] += 1
            _look_for_stuck(goal, way, step, verdict)
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

    def steps(self, way: _Way) -> tuple[Floats, Floats, Flags]:
        """(where each sample is to land, the length of its next step, whether that lands)."""
        target: Floats = np.full_like(way.t, self.ts[-1]) if self.control.dense else self.ts[way.to]
        ends = np.minimum(np.abs(way.dt) * STRETCH, self.control.longest) >= np.abs(target - way.t)
        return target, np.where(ends, target - way.t, way.dt), ends

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


def _look_at_limit(control: Adaptive, way: _Way, tried: int) -> None:
    """Whoever is under way was tried in every round."""
    if tried >= control.max_steps:
        raise SolveError(
            f"sample {way.rows[0]}: {tried} steps were tried and t = {way.t[0]:.6g} reached; raise max_steps or the "
            "tolerance"
        )


def _look_for_stuck(goal: _Goal, way: _Way, step: Step, verdict: Judged) -> None:
    # Time tells steps apart down to 1e-14 of itself; a stiff start may need far less of a long span.
    least = np.maximum(1e-28 * abs(goal.ts[-1] - goal.ts[0]), 1e-14 * np.abs(way.t))
    stuck = np.flatnonzero(~verdict.accept & (np.abs(verdict.dt) < least))
    if not len(stuck):
        return
    at = int(stuck[0])
    sample, t = way.rows[at], way.t[at]
    if step.error is not None and not bool(step.error[at].isfinite().all()):
        raise Divergence(
            f"sample {sample}: f or the solution is not finite just after t = {t:.6g}, however small the step"
        )
    raise SolveError(
        f"sample {sample}: the step size underflowed at t = {t:.6g}; the problem is too stiff for this scheme there"
    )
