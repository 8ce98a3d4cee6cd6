"""What a person sees while a run goes on: finished cells as rows on stdout, one line about the rest on stderr."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from odebench.cli.live_line import LiveLine
from odebench.cli.pace import Pace
from odebench.record import AXES, Cell, Record
from odebench.report import layout, units
from odebench.report.folding import growing
from odebench.report.screen import Screen
from odebench.report.shortening import short_names
from odebench.report.table import planned_table
from odebench.report.text import plain
from odebench.rows import record_to_row

if TYPE_CHECKING:
    from odebench.plan import Plan

_AT_ONCE = 2  # running cells that are named
_LEAST_NAME = 12  # cells of a line below which a name that is cut tells nothing
_TRUTH = "true answer"


class Progress(AbstractContextManager["Progress"]):
    """Observes one run. Rows appear if `rows`; the line, if stderr is a terminal; cells that fail, wherever it goes.

    The line is gone whenever anything else is written, and for good when the context ends, however it ends.
    """

    def __init__(self, screen: Screen, rows: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.screen, self.rows, self.clock = screen, rows, clock
        self.folder: Path | None = None
        self.excluded = 0
        self.sheet: Sheet | None = None
        self._statuses: Counter[str] = Counter()
        self._total = 0
        self._running: dict[Cell, tuple[float, str]] = {}  # since when, and what its worker is at
        self._names = Names([])
        self._began = clock()
        self._pace = Pace([], {}, clock)
        self._live = LiveLine(screen, self.line)

    def start(self, plan: Plan, folder: Path, done: Iterable[Record]) -> None:
        """The run begins; `done` are the records that an earlier one has left."""
        earlier = list(done)
        keys = {(record.cell.suite, record.cell.key) for record in earlier}
        missing = [each for each in plan.cells if (each.cell.suite, each.cell.key) not in keys]
        self.folder, self.excluded = Path(folder), plan.excluded
        self._total = len(earlier) + len(missing)
        self._began = self.clock()
        timeouts = {suite.name: suite.measure.timeout for suite in plan.suites}
        self._pace = Pace([each.cell for each in missing if each.refusal is None], timeouts, self.clock)
        cells = [record.cell for record in earlier] + [each.cell for each in missing]
        self._names = Names(cells)
        if self.rows:
            trained = any(suite.training is not None for suite in plan.suites)
            self.sheet = Sheet(self.screen, cells, trained)
        for record in earlier:
            self._count(record)
        self._live.start()

    def truth_started(self, cell: Cell) -> None:
        """A worker took the true answer that the cell will be judged by."""
        self._pace.truth_started()
        self._now_at(cell, _TRUTH, self.clock())

    def truth_ended(self, cell: Cell) -> None:
        """It is there, or cannot be had."""
        with self._live.lock:
            self._pace.truth_ended()
            self._running.pop(cell, None)
        self._live.draw()

    def cell_started(self, cell: Cell) -> None:
        """A worker took this cell."""
        self._pace.started(cell)
        self._now_at(cell, "", self.clock())

    def cell_stage(self, cell: Cell, stage: str) -> None:
        """Its worker has come to this gauge."""
        since, before = self._running[cell]
        if stage != before:
            self._now_at(cell, stage, since)

    def cell_finished(self, record: Record) -> None:
        """A cell is measured, refused or lost; its record is on disk."""
        with self._live.lock:
            self._running.pop(record.cell, None)
            self._pace.ended(record.cell)
            self._live.erase()
            self._count(record)
            self._tell_failure(record)
        self._live.draw()

    def note(self, text: str) -> None:
        """A remark of the executor."""
        with self._live.lock:
            self._live.erase()
            self.screen.note(plain(text))
        self._live.draw()

    def line(self, width: int | None = None) -> str:
        """The line as it is now, with as much of it as `width` cells have room for: how far, how long, what runs."""
        now = self.clock()
        bad = sum(n for status, n in self._statuses.items() if status not in ("ok", "refused"))
        left = self._pace.left() if self._statuses.total() < self._total else None
        done = f"{self._statuses.total()}/{self._total}"
        elapsed = f"{units.duration(now - self._began)} elapsed"
        rest = [f"about {units.duration(left)} left"] if left is not None else []
        rest += [f"{bad} not ok"] if bad else []
        head, running = ", ".join((done, elapsed, *rest)), self._told_running(now)
        if width is None or cell_len(head) + 3 + cell_len(running) <= width:
            return f"{head} · {running}" if running else head
        room = width - cell_len(head) - 3
        if room >= _LEAST_NAME:
            return f"{head} · {set_cell_size(running, room - 1).rstrip()}…"
        return head if cell_len(head) <= width else ", ".join((done, *rest))

    def time_left(self) -> float | None:
        """Seconds, as `Pace` has them."""
        return self._pace.left()

    def summary(self) -> str:
        """One line for the end: how many cells of each status, how many were excluded, and where the results are."""
        told = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in self._statuses.most_common())
        finished = self._statuses.total()
        cells = f"{self._total} cell{'s' * (self._total != 1)}"
        cells = cells if finished == self._total else f"{finished} of {cells}"
        excluded = f"; {self.excluded} excluded by the suite" if self.excluded else ""
        where = f"\nresults in {self.folder}" if self.folder else ""
        return f"{cells}: {told or 'none finished'}{excluded}; {units.duration(self.clock() - self._began)}{where}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def _now_at(self, cell: Cell, stage: str, since: float) -> None:
        with self._live.lock:
            self._running[cell] = since, stage
        self._live.draw()

    def _told_running(self, now: float) -> str:
        running = list(self._running.items())
        told = [
            f"{units.duration(now - since)} {f'{stage} of ' if stage == _TRUTH else f'{stage} ' * bool(stage)}"
            f"{self._names.of(cell)}"
            for cell, (since, stage) in running[:_AT_ONCE]
        ]
        more = [f"{len(running) - _AT_ONCE} more"] if len(running) > _AT_ONCE else []
        return plain(", ".join((*told, *more)))

    def _count(self, record: Record) -> None:
        self._statuses[record.status] += 1
        if self.sheet is not None:
            self.sheet.add(record)

    def _tell_failure(self, record: Record) -> None:
        """What a row on the same terminal does not tell already."""
        if record.status not in ("ok", "refused") and not (self.sheet is not None and self.screen.together):
            status = record.status.replace("_", " ")
            self.screen.note(plain(f"{status}: {self._names.in_full(record.cell)}: {record.reason}"), "red")


class Names:
    """Cells by what tells them apart from the others of the run."""

    def __init__(self, cells: list[Cell]) -> None:
        self._told = tuple(axis for axis in AXES if len({getattr(cell, axis) for cell in cells}) > 1)
        table = planned_table(cells)
        self._short = short_names(replace(table, columns=AXES))

    def of(self, cell: Cell) -> str:
        """In short."""
        return " ".join(self._short.get((axis, name), name) for axis, name in self._values(cell)) or cell.key

    def in_full(self, cell: Cell) -> str:
        """As tables and filters have it."""
        return " ".join(name for _, name in self._values(cell)) or cell.key

    def _values(self, cell: Cell) -> Iterator[tuple[str, str]]:
        return ((axis, str(getattr(cell, axis))) for axis in self._told)


class Sheet:
    """A table that grows at its end. Its columns are fixed at the start, from the cells that will come."""

    def __init__(self, screen: Screen, cells: list[Cell], trained: bool = False) -> None:
        self.screen = screen
        self.table = planned_table(cells, trained)
        self.place = growing(self.table, screen.width)
        self._group: tuple[object, ...] = ()
        screen.lines([*layout.caption(self.table, self.place), *self.place.header()])

    def add(self, record: Record) -> None:
        """Print one row, under a heading of its own where the group changes."""
        row = record_to_row(record)
        group = tuple(row[name] for name in self.table.group_by)
        lines = layout.heading(group, self.screen.width) if group != self._group else []
        self._group = group
        self.screen.lines([*lines, *self.place.row(row)])
