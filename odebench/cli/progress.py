"""What a person sees while a run goes on: finished cells as rows on stdout, one line about the rest on stderr."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from odebench.record import AXES, Cell, Record
from odebench.report import layout, units
from odebench.report.screen import Screen
from odebench.report.table import planned_table
from odebench.report.text import plain
from odebench.rows import record_to_row

if TYPE_CHECKING:
    from odebench.plan import Plan

TICK = 1.0  # seconds between two looks at the clock; the parent sleeps in between
ERASE = "\r\x1b[2K"


class Progress(AbstractContextManager["Progress"]):
    """Observes one run. Rows appear if `rows`; the line, if stderr is a terminal.

    The line is gone whenever anything else is written, and for good when the context ends, however it ends.
    """

    def __init__(self, screen: Screen, rows: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.screen, self.rows, self.clock = screen, rows, clock
        self.folder: Path | None = None
        self.excluded = 0
        self._statuses: Counter[str] = Counter()
        self._total = self._to_measure = self._measured = 0
        self._running: dict[Cell, float] = {}
        self._told: tuple[str, ...] = AXES  # the axes by which cells of this run differ
        self._began = clock()
        self.sheet: Sheet | None = None
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None

    def start(self, plan: Plan, folder: Path, done: Iterable[Record]) -> None:
        """The run begins; `done` are the records that an earlier one has left."""
        earlier = list(done)
        keys = {(record.cell.suite, record.cell.key) for record in earlier}
        missing = [each for each in plan.cells if (each.cell.suite, each.cell.key) not in keys]
        self.folder, self.excluded = Path(folder), plan.excluded
        self._total = len(earlier) + len(missing)
        self._to_measure = sum(each.refusal is None for each in missing)
        self._began = self.clock()
        cells = [record.cell for record in earlier] + [each.cell for each in missing]
        self._told = tuple(axis for axis in AXES if len({getattr(cell, axis) for cell in cells}) > 1)
        if self.rows:
            self.sheet = Sheet(self.screen, cells)
        for record in earlier:
            self._count(record)
        if self.screen.live_line:
            self._ticker = threading.Thread(target=self._tick, name="odebench-progress", daemon=True)
            self._ticker.start()
        self._draw()

    def cell_started(self, cell: Cell) -> None:
        """A worker took this cell."""
        with self._lock:
            self._running[cell] = self.clock()
        self._draw()

    def cell_finished(self, record: Record) -> None:
        """A cell is measured, refused or lost; its record is on disk."""
        with self._lock:
            self._running.pop(record.cell, None)
            self._measured += record.status != "refused"
            self._erase()
            self._count(record)
        self._draw()

    def note(self, text: str) -> None:
        """A remark of the executor."""
        with self._lock:
            self._erase()
            self.screen.note(plain(text))
        self._draw()

    def line(self) -> str:
        """The line as it is now: done and total first, because the end is what a narrow terminal drops."""
        now = self.clock()
        bad = sum(n for status, n in self._statuses.items() if status not in ("ok", "refused"))
        parts = [f"{self._statuses.total()}/{self._total}", f"{units.duration(now - self._began)} elapsed"]
        left = self.time_left()
        parts += [f"about {units.duration(left)} left"] if left is not None else []
        parts += [f"{bad} not ok"] if bad else []
        running = [f"{units.duration(now - since)} {self._name(cell)}" for cell, since in self._running.items()]
        return plain(", ".join(parts) + (f" · {', '.join(running)}" if running else ""))

    def _name(self, cell: Cell) -> str:
        return " ".join(str(getattr(cell, axis)) for axis in self._told) or cell.key

    def time_left(self) -> float | None:
        """Seconds, if the cells to come take as long as those measured so far; None before the first."""
        if not self._measured:
            return None
        return (self.clock() - self._began) / self._measured * max(0, self._to_measure - self._measured)

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
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        self._erase()

    def _count(self, record: Record) -> None:
        self._statuses[record.status] += 1
        if self.sheet is not None:
            self.sheet.add(record)

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            self._draw()

    def _draw(self) -> None:
        if self.screen.live_line and not self._over.is_set():
            with self._lock:
                width = shutil.get_terminal_size().columns or 80
                self.screen.tell(ERASE + self.line()[: width - 1])

    def _erase(self) -> None:
        if self.screen.live_line:
            self.screen.tell(ERASE)


class Sheet:
    """A table that grows at its end. Its columns are fixed at the start, from the cells that will come."""

    def __init__(self, screen: Screen, cells: list[Cell]) -> None:
        self.screen = screen
        self.table = planned_table(cells)
        self.layout = layout.fit(self.table, screen.width, measured=False)
        self._group: tuple[object, ...] = ()
        screen.lines([*layout.caption(self.table, self.layout), *self.layout.header()])

    def add(self, record: Record) -> None:
        """Print one row, under a heading of its own where the group changes."""
        row = record_to_row(record)
        group = tuple(row[name] for name in self.table.group_by)
        lines = layout.heading(group) if group != self._group else []
        self._group = group
        self.screen.lines([*lines, *self.layout.row(row)])
