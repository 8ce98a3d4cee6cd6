"""What the command line chooses: columns and axes by name, and the order of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from odebench.errors import UsageError, did_you_mean
from odebench.record import ALIASES, COLUMNS
from odebench.report.table import ALL_AXES, Table

UNGROUPED = "none"


def parse_columns(text: str, known: Sequence[str] = COLUMNS) -> list[str]:
    """`wall,memory,solver` -> names of columns, each once.

    Raises:
        UsageError: a name is neither a column nor a short name of one, or there is none at all.
    """
    columns = [column for name in _names(text) for column in _resolve(name, known)]
    if not columns:
        raise UsageError("--columns names no column; give for instance --columns solver,gradient,wall,memory")
    return list(dict.fromkeys(columns))


def parse_sort(text: str, known: Sequence[str] = COLUMNS) -> tuple[str, bool]:
    """`-wall` -> ("wall_seconds", True).

    Raises:
        UsageError: there is no such column.
    """
    return _resolve(text.strip().removeprefix("-"), known)[0], text.strip().startswith("-")


def parse_axes(text: str, option: str = "--group-by") -> tuple[str, ...]:
    """`problem,solver` -> those axes; `none` -> no axis. `option` is where the text is from.

    Raises:
        UsageError: a name is no axis, or there is none at all.
    """
    names = _names(text)
    if names == [UNGROUPED]:
        return ()
    for name in names:
        if name not in ALL_AXES:
            hint = did_you_mean(name, ALL_AXES) or f"; the axes are {', '.join(ALL_AXES)}"
            raise UsageError(f"{option}: no axis is called {name!r}{hint}")
    if not names:
        raise UsageError(f"{option} names no axis; give for instance {option} solver")
    return tuple(dict.fromkeys(names))


def sorted_table(table: Table, column: str, descending: bool, keep_groups: bool = False) -> Table:
    """Rows in order of one column; those without a value come last either way.

    Groups are dissolved into columns, or with `keep_groups` stay in their order, with the rows of each sorted.
    """
    known = [row for row in table.rows if not _missing(row.get(column))]
    missing = [row for row in table.rows if _missing(row.get(column))]
    numbers = all(isinstance(row[column], (int, float)) for row in known)
    known.sort(key=lambda row: row[column] if numbers else str(row[column]), reverse=descending)
    rows = (*known, *missing)
    if keep_groups:
        order = {values: index for index, (values, _) in enumerate(table.groups())}
        grouped = replace(table, rows=rows).groups()
        grouped.sort(key=lambda group: order[group[0]])
        return replace(table, rows=tuple(row for _, group in grouped for row in group))
    columns = (*table.group_by, *(name for name in table.columns if name not in table.group_by))
    return replace(table, columns=columns, rows=rows, group_by=())


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _resolve(name: str, known: Sequence[str]) -> tuple[str, ...]:
    if name in known:
        return (name,)
    if name in ALIASES:
        return ALIASES[name]
    hint = did_you_mean(name, (*known, *ALIASES)) or f"; the columns are {', '.join(known)}"
    raise UsageError(f"no column is called {name!r}{hint}")


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
