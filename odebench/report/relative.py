"""Figures as multiples of those of a base row: for each row, the one that the base filter takes beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from odebench.errors import UsageError
from odebench.record import Cell, Record
from odebench.report.looks import Ratio, is_figure
from odebench.report.table import ALL_AXES, Row, Table
from odebench.rows import record_to_row
from odebench.suite.select import Filter

SUFFIX = "_relative"  # of the columns of CSV and JSON that hold the multiples
# Multiples already, or of no use as one.
ABSOLUTE = ("overhead", "overhead_forward", "wall_ratio", "repeats")

Place = tuple[Any, ...]


@dataclass(frozen=True)
class Base:
    """Rows to divide by, each found by its values on the axes that the filter leaves open."""

    filter: Filter
    pinned: Mapping[str, str]  # axis -> its value in every base row
    open: tuple[str, ...]
    rows: Mapping[Place, Row]

    def beside(self, row: Row) -> Row | None:
        """The base of a row, which may be the row itself."""
        return self.rows.get(tuple(row[axis] for axis in self.open))


def base_of(records: Sequence[Record], where: Filter) -> Base:
    """The rows that `where` takes, one for each combination of the axes that it does not decide on.

    An axis is decided on if the filter would not take the same cell with another value that occurs.

    Raises:
        UsageError: it takes no row, or several that only an axis which it decides on tells apart.
    """
    taken = [record for record in records if where.matches(record.cell)]
    if not taken:
        raise UsageError(f"--relative-to {where.text!r} takes none of the {len(records)} rows; name one that is there")
    pinned = [axis for axis in ALL_AXES if _decides(where, axis, taken, records)]
    for axis in pinned:
        found = dict.fromkeys(str(getattr(record.cell, axis)) for record in taken)
        if len(found) > 1:
            raise UsageError(
                f"--relative-to {where.text!r} takes rows of {len(found)} {axis}s, {', '.join(found)}; "
                f'say which one to divide by, such as "{axis}={next(iter(found))}"'
            )
    free = tuple(axis for axis in ALL_AXES if axis not in pinned)
    rows = {}
    for record in taken:
        row = record_to_row(record)
        rows[tuple(row[axis] for axis in free)] = row
    return Base(where, {axis: str(getattr(taken[0].cell, axis)) for axis in pinned}, free, rows)


def with_relative(table: Table, base: Base) -> Table:
    """The table with a column of multiples for each figure that has some, at its end."""
    figures = [column for column in table.columns if is_figure(column) and column not in ABSOLUTE]
    rows = tuple({**row, **_multiples(row, base.beside(row), figures)} for row in table.rows)
    added = (f"{name}{SUFFIX}" for name in figures)
    told = tuple(name for name in added if any(row[name] is not None for row in rows))
    return replace(table, columns=(*table.columns, *told), rows=rows)


def in_place(table: Table, base: Base) -> Table:
    """The multiples where the figures were; base rows, and figures that cannot be divided, stand as measured."""
    columns = tuple(name for name in table.columns if not name.endswith(SUFFIX))
    rows = tuple(row if _is(row, base.beside(row)) else _replaced(row, columns) for row in table.rows)
    pinned = ", ".join(f"{axis} {value}" for axis, value in base.pinned.items()) or base.filter.text
    varying = [axis for axis in base.open if len({row[axis] for row in table.rows}) > 1]
    at = f" at the same {', '.join(varying)}" if varying else ""
    legend = f"× is a multiple of the row with {pinned}{at}; other figures stand as measured"
    return replace(table, columns=columns, rows=rows, legend=(*table.legend, legend))


def _decides(where: Filter, axis: str, taken: Iterable[Record], records: Iterable[Record]) -> bool:
    values = {getattr(record.cell, axis) for record in records}
    return any(not where.matches(_moved(record.cell, axis, value)) for record in taken for value in values)


def _moved(cell: Cell, axis: str, value: Any) -> Cell:
    return replace(cell, **{axis: value})


def _multiples(row: Row, base: Row | None, figures: Iterable[str]) -> dict[str, float | None]:
    return {f"{name}{SUFFIX}": _multiple(row.get(name), None if base is None else base.get(name)) for name in figures}


def _multiple(value: Any, base: Any) -> float | None:
    if not isinstance(value, (int, float)) or not isinstance(base, (int, float)) or not base:
        return None
    return value / base if isfinite(value) and isfinite(base) else None


def _is(row: Row, base: Row | None) -> bool:
    return base is not None and (row["suite"], row["cell"]) == (base["suite"], base["cell"])


def _replaced(row: Row, columns: Iterable[str]) -> Row:
    multiples = {name: row.get(f"{name}{SUFFIX}") for name in columns}
    return {**row, **{name: Ratio(value) for name, value in multiples.items() if value is not None}}
