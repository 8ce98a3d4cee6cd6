"""How long the rest of a run will take, judged by those measured cells that a cell to come is most like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from odebench.record import Cell

# What makes two cells alike in how long they take; the sum of those they share. A mesh of another number of steps is
# almost the same, since time can be scaled by it.
_WEIGHTS = {"device": 16, "problem": 8, "stepping": 8, "batch": 8, "solver": 4, "gradient": 4, "dtype": 2, "suite": 1}
_SCALED = 7
_KEPT = 9  # durations behind one estimate, the latest

Truth = tuple[object, ...]


@dataclass
class _Pending:
    """A cell to come, and the durations of the measured cells that it shares most with."""

    cell: Cell
    timeout: float
    likeness: int = -1
    seen: list[tuple[float, float]] = field(default_factory=list)  # seconds, and times as many steps as that cell

    def learn(self, cell: Cell, seconds: float) -> None:
        likeness, scale = _likeness(self.cell, cell)
        if likeness > self.likeness:
            self.likeness, self.seen = likeness, []
        if likeness == self.likeness:
            self.seen = [*self.seen[1 - _KEPT :], (seconds, scale)]

    def seconds(self, least: float) -> float:
        """The estimate. `least` is what a cell takes that does next to nothing: no number of steps changes that."""
        base = (min(least, taken) for taken, _ in self.seen)
        guesses = [fixed + (taken - fixed) * scale for fixed, (taken, scale) in zip(base, self.seen, strict=True)]
        return min(median(guesses), self.timeout)


class Pace:
    """Learns from every cell that ends. All times are of `clock`, in seconds."""

    def __init__(self, cells: Iterable[Cell], timeouts: Mapping[str, float], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pending = {cell: _Pending(cell, timeouts.get(cell.suite, float("inf"))) for cell in cells}
        self._running: dict[Cell, tuple[float, _Pending]] = {}
        self._least = float("inf")
        self._rest = 0.0  # what the pending cells take together
        self._busy = self._active = 0.0  # seconds of ended cells; seconds in which some cell ran
        self._active_since = 0.0
        self._unknown = {_truth(cell) for cell in self._pending}  # truths that nothing has asked for yet
        self._asked, self._truth_seconds, self._truth_since = 0, 0.0, 0.0

    def truth_started(self) -> None:
        """The true answer of some cells is being worked out."""
        self._truth_since = self._clock()

    def truth_ended(self) -> None:
        """It is there."""
        self._truth_seconds += self._clock() - self._truth_since

    def started(self, cell: Cell) -> None:
        """One of the cells runs."""
        if not self._running:
            self._active_since = self._clock()
        self._running[cell] = self._clock(), self._pending.pop(cell)
        if _truth(cell) in self._unknown:
            self._unknown.discard(_truth(cell))
            self._asked += 1
        self._sum_up()

    def ended(self, cell: Cell) -> None:
        """It is over; a cell that never ran teaches nothing."""
        if cell not in self._running:
            self._pending.pop(cell, None)
            return
        now = self._clock()
        since, _ = self._running.pop(cell)
        if not self._running:
            self._active += now - self._active_since
        self._busy += now - since
        self._least = min(self._least, now - since)
        for other in (*self._pending.values(), *(pending for _, pending in self._running.values())):
            other.learn(cell, now - since)
        self._sum_up()

    def left(self) -> float | None:
        """Seconds until the last cell ends, never negative; None before the first is measured."""
        if self._least == float("inf"):
            return None
        now = self._clock()
        running = sum(self._left_of(now - since, pending) for since, pending in self._running.values())
        return (self._rest + running) / self._at_once(now) + self._truths()

    def _left_of(self, elapsed: float, pending: _Pending) -> float:
        expected = pending.seconds(self._least)
        if elapsed < expected:
            return expected - elapsed
        # Nobody knows; what has taken long takes longer still, but not beyond its timeout.
        return max(0.0, min(elapsed / 2, pending.timeout - elapsed))

    def _at_once(self, now: float) -> float:
        """How many cells ran at a time, on the average."""
        active = self._active + (now - self._active_since if self._running else 0.0)
        busy = self._busy + sum(now - since for since, _ in self._running.values())
        return max(1.0, busy / active) if active > 0 else 1.0

    def _truths(self) -> float:
        """What true answers to come take, if they take as long as those so far; most are kept from earlier runs."""
        return self._truth_seconds / self._asked * len(self._unknown) if self._asked else 0.0

    def _sum_up(self) -> None:
        if self._least < float("inf"):
            self._rest = sum(pending.seconds(self._least) for pending in self._pending.values())


def _likeness(cell: Cell, other: Cell) -> tuple[int, float]:
    """(how much they share, times as many steps as `other`)."""
    shared = sum(weight for axis, weight in _WEIGHTS.items() if getattr(cell, axis) == getattr(other, axis))
    if cell.stepping == other.stepping:
        return shared, 1.0
    ours, theirs = (dict(each.stepping.options) for each in (cell, other))
    if cell.stepping.name == other.stepping.name == "fixed" and ours.keys() == theirs.keys():
        if "steps" in ours and theirs["steps"]:
            return shared + _SCALED, ours["steps"] / theirs["steps"]
        if ours.get("dt"):
            return shared + _SCALED, theirs["dt"] / ours["dt"]
    return shared, 1.0


def _truth(cell: Cell) -> Truth:
    return cell.problem, cell.dtype, cell.batch, cell.seed
