"""Records -> one table of numbers: plain data in base units, which every format then writes in its own way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odebench.record import AXES, Cell, Record
from odebench.rows import record_to_row

Row = Mapping[str, Any]  # column -> text, number, or None where nothing was measured
Mark = tuple[Any, Any, str]  # suite, cell and column of one figure

ALL_AXES = ("suite", *AXES)
# The figures of the table nobody asked anything special of, in the order they stand in.
DEFAULT_FIGURES = (
    "nfe_forward", "nfe_backward", "vjp_backward", "wall_seconds", "wall_ratio", "overhead", "peak_memory_bytes",
    "solution_error", "reverse_error", "gradient_error", "gradient_error_discrete",
)  # fmt: skip
# The same of training runs.
TRAINED_FIGURES = (
    "loss", "quality", "nfe_predict", "nfe_forward", "nfe_backward", "wall_seconds", "train_seconds",
    "peak_memory_bytes", "gradient_error_start", "gradient_error", "gradient_error_discrete", "regulariser_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows under columns. `constant` holds the axes that are the same in every row, told once in a caption."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    constant: tuple[tuple[str, Any], ...] = ()
    group_by: tuple[str, ...] = ()  # columns that head a group of rows instead of standing in each
    chosen: bool = False  # somebody named the columns, and so their order
    best: frozenset[Mark] = frozenset()  # figures that stand out
    legend: tuple[str, ...] = ()  # what signs in the rows mean, one sentence each
    notes: tuple[str, ...] = ()  # what to mind about the rows, one sentence each

    def groups(self) -> list[tuple[tuple[Any, ...], list[Row]]]:
        """(values of `group_by`, rows), in order of first appearance. A number is told with its axis: `seed 0`."""
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            values = (f"{name} {row[name]}" if isinstance(row[name], int) else row[name] for name in self.group_by)
            found.setdefault(tuple(values), []).append(row)
        return list(found.items())


def mark_of(row: Row, column: str) -> Mark:
    """Which figure this is."""
    return row.get("suite"), row.get("cell"), column


def reading_table(records: Iterable[Record], group_by: Sequence[str] | None = None) -> Table:
    """The columns a reader wants first; constant axes are hoisted, several problems become groups.

    Figures that no cell has are left out. `group_by` names axes to group by instead.
    """
    rows = tuple(map(record_to_row, records))
    trained = any(row.get("train_steps") is not None for row in rows)
    figures = TRAINED_FIGURES if trained else DEFAULT_FIGURES
    seen = {name for row in rows for name in figures if row.get(name) is not None}
    # Where some have a figure, a row without it has an empty field.
    rows = tuple(dict.fromkeys(seen) | row for row in rows)
    return arrange(rows, [name for name in figures if name in seen], group_by)


def planned_table(cells: Iterable[Cell], trained: bool = False) -> Table:
    """The same, of cells that are yet to be measured: all the figures that they may have.

    Only what is named LIBRARY.METHOD is measured against a native twin.
    """
    rows = tuple(record_to_row(Record(cell, "ok")) for cell in cells)
    if trained:
        return arrange(rows, [name for name in TRAINED_FIGURES if name != "regulariser_ratio"])
    peers = any("." in row["solver"].partition("(")[0] for row in rows)
    return arrange(rows, [name for name in DEFAULT_FIGURES if peers or name != "wall_ratio"])


def arrange(rows: Sequence[Row], figures: Sequence[str], group_by: Sequence[str] | None = None) -> Table:
    """The axes that vary, then `figures`; in groups of `group_by`, or where that is None of suite and problem."""
    varying = [axis for axis in ALL_AXES if len({row[axis] for row in rows}) > 1]
    constant = tuple((axis, rows[0][axis]) for axis in ALL_AXES if axis not in varying) if rows else ()
    groups = tuple(axis for axis in (("suite", "problem") if group_by is None else group_by) if axis in varying)
    # A table of problems with one solver would be all headings and single rows.
    if group_by is None and len(varying) == len(groups):
        groups = ()
    keys = [axis for axis in varying if axis not in groups] or ["solver"]
    constant = tuple((axis, value) for axis, value in constant if axis not in keys)
    return Table((*keys, *figures), tuple(rows), constant, groups)


def chosen_table(records: Iterable[Record], columns: Sequence[str], group_by: Sequence[str] = ()) -> Table:
    """Just the named columns, in that order, but for those that head groups."""
    empty = dict.fromkeys(columns)
    rows = tuple(empty | record_to_row(record) for record in records)
    kept = tuple(column for column in columns if column not in group_by)
    return Table(kept, rows, group_by=tuple(group_by), chosen=True)
