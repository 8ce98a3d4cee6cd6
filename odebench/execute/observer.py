"""Who is told how a run goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from odebench.plan import Plan
from odebench.record import Cell, Record


class Observer(Protocol):
    """Called by the thread that runs the cells; of cells that run at the same time in any order."""

    def start(self, plan: Plan, folder: Path, done: Iterable[Record]) -> None:
        """The run begins: `plan` holds the selected cells, `done` are the records that an earlier run left."""

    def truth_started(self, cell: Cell) -> None:
        """A worker took the true answer that this cell, and others, will be judged by."""

    def truth_ended(self, cell: Cell) -> None:
        """It is there, or cannot be had."""

    def cell_started(self, cell: Cell) -> None:
        """A worker took this cell."""

    def cell_stage(self, cell: Cell, stage: str) -> None:
        """The worker has come to this gauge, as `stages` names it."""

    def cell_finished(self, record: Record) -> None:
        """A cell is measured, refused or lost; its record is on disk."""

    def note(self, text: str) -> None:
        """A remark that is no fault of a cell."""


class Silence:
    """An observer that looks away."""

    def start(self, plan: Plan, folder: Path, done: Iterable[Record]) -> None:
        """Nothing."""

    def truth_started(self, cell: Cell) -> None:
        """Nothing."""

    def truth_ended(self, cell: Cell) -> None:
        """Nothing."""

    def cell_started(self, cell: Cell) -> None:
        """Nothing."""

    def cell_stage(self, cell: Cell, stage: str) -> None:
        """Nothing."""

    def cell_finished(self, record: Record) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
