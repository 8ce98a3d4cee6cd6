"""Records -> one table of numbers: plain data in base units, which every format then writes in its own way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from odebench.errors import UsageError, did_you_mean
from odebench.record import ALIASES, AXES, COLUMNS, Cell, Record
from odebench.rows import record_to_row

Row = Mapping[str, Any]  # column -> text, number, or None where nothing was measured

# The figures of the table nobody asked anything special of, in the order they stand in.
DEFAULT_FIGURES = (
    "nfe_forward", "nfe_backward", "vjp_backward", "wall_seconds", "wall_ratio", "overhead", "peak_memory_bytes",
    "solution_error", "reverse_error", "gradient_error", "gradient_error_discrete",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows under columns. `constant` holds the axes that are the same in every row, told once in a caption."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    constant: tuple[tuple[str, Any], ...] = ()
    group_by: tuple[str, ...] = ()  # columns that head a group of rows instead of standing in each
    chosen: bool = False  # somebody named the columns, so that none may be left out to save width

    def groups(self) -> list[tuple[tuple[Any, ...], list[Row]]]:
        """(values of `group_by`, rows), in order of first appearance."""
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row[name] for name in self.group_by), []).append(row)
        return list(found.items())


def reading_table(records: Iterable[Record]) -> Table:
    """The columns a reader wants first; constant axes are hoisted, several problems become groups.

    Figures that no cell has are left out.
    """
    rows = tuple(map(record_to_row, records))
    seen = {name for row in rows for name in DEFAULT_FIGURES if row[name] is not None}
    return arrange(rows, [name for name in DEFAULT_FIGURES if name in seen])


def planned_table(cells: Iterable[Cell]) -> Table:
    """The same, of cells that are yet to be measured: all the figures that they may have.

    Only what is named LIBRARY.METHOD is measured against a native twin.
    """
    rows = tuple(record_to_row(Record(cell, "ok")) for cell in cells)
    peers = any("." in row["solver"].partition("(")[0] for row in rows)
    return arrange(rows, [name for name in DEFAULT_FIGURES if peers or name != "wall_ratio"])


def arrange(rows: Sequence[Row], figures: Sequence[str]) -> Table:
    """The axes that vary, then `figures`."""
    axes = ("suite", *AXES)
    varying = [axis for axis in axes if len({row[axis] for row in rows}) > 1]
    constant = tuple((axis, rows[0][axis]) for axis in axes if axis not in varying) if rows else ()
    group_by = tuple(axis for axis in ("suite", "problem") if axis in varying)
    # A table of problems with one solver would be all headings and single rows.
    if len(varying) == len(group_by):
        group_by = ()
    keys = [axis for axis in varying if axis not in group_by] or ["solver"]
    constant = tuple((axis, value) for axis, value in constant if axis not in keys)
    return Table((*keys, *figures), tuple(rows), constant, group_by)


def chosen_table(records: Iterable[Record], columns: Sequence[str]) -> Table:
    """Just the named columns, in that order."""
    empty = dict.fromkeys(columns)
    return Table(tuple(columns), tuple(empty | record_to_row(record) for record in records), chosen=True)


def sorted_table(table: Table, column: str, descending: bool) -> Table:
    """Rows in order of one column; those without a value come last either way. Groups are dissolved into columns."""
    known = [row for row in table.rows if not _missing(row.get(column))]
    missing = [row for row in table.rows if _missing(row.get(column))]
    numbers = all(isinstance(row[column], (int, float)) for row in known)
    known.sort(key=lambda row: row[column] if numbers else str(row[column]), reverse=descending)
    return replace(table, columns=(*table.group_by, *table.columns), rows=(*known, *missing), group_by=())


def parse_columns(text: str, known: Sequence[str] = COLUMNS) -> list[str]:
    """`wall,memory,solver` -> names of columns, each once.

    Raises:
        UsageError: a name is neither a column nor a short name of one, or there is none at all.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    columns = [column for name in names for column in _resolve(name, known)]
    if not columns:
        raise UsageError("--columns names no column; give for instance --columns solver,gradient,wall,memory")
    return list(dict.fromkeys(columns))


def parse_sort(text: str, known: Sequence[str] = COLUMNS) -> tuple[str, bool]:
    """`-wall` -> ("wall_seconds", True).

    Raises:
        UsageError: there is no such column.
    """
    return _resolve(text.strip().removeprefix("-"), known)[0], text.strip().startswith("-")


def _resolve(name: str, known: Sequence[str]) -> tuple[str, ...]:
    if name in known:
        return (name,)
    if name in ALIASES:
        return ALIASES[name]
    hint = did_you_mean(name, (*known, *ALIASES)) or f"; the columns are {', '.join(known)}"
    raise UsageError(f"no column is called {name!r}{hint}")


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
