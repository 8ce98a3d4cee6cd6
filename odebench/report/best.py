"""Which figures are the best: among rows that can be compared, and with those that cannot be told from the best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from odebench.compare.policy import ERRORS, ROUNDING
from odebench.report.layout import MARK
from odebench.report.looks import shown
from odebench.report.table import ALL_AXES, Mark, Row, Table, mark_of

# What somebody chooses a solver and a gradient for; less of it is better. Not the counts, which are only the way to
# `work` and time; not `overhead`, which is over a row's own loop; not `reverse_error` and `gradient_error_discrete`,
# which are 0 by construction for methods that keep what they compare with.
AIMS = (
    "work", "forward_seconds", "backward_seconds", "wall_seconds", "train_seconds", "seconds_to_target",
    "peak_memory_bytes", "graph_bytes", "solution_error", "gradient_error", "loss",
)  # fmt: skip
FREE = ("solver", "gradient")  # the axes that one chooses on; rows that differ in another do not compete


def with_best(table: Table) -> Table:
    """The table with its best figures marked, and the sentence that says what they are."""
    axes = [axis for axis in ALL_AXES if axis not in FREE or axis in table.group_by]
    best = frozenset(_best(table, axes))
    free = [axis for axis in FREE if axis not in axes and len({row[axis] for row in table.rows}) > 1]
    legend = f"{MARK} best of the rows that differ only in {' and '.join(free)}, and what cannot be told from it"
    return replace(table, best=best, legend=(*table.legend, legend)) if best else table


def _best(table: Table, axes: Sequence[str]) -> Iterator[Mark]:
    rivals: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.rows:
        if row["status"] == "ok":
            rivals.setdefault(tuple(row[axis] for axis in axes), []).append(row)
    for rows in rivals.values():
        for column in (column for column in table.columns if column in AIMS):
            measured = [row for row in rows if row.get(column) is not None and isfinite(row[column])]
            winners = list(_winners(measured, column))
            # What most of them share makes none of them stand out.
            if 2 * len(winners) <= len(measured):
                yield from (mark_of(row, column) for row in winners)


def _winners(rows: Sequence[Row], column: str) -> Iterator[Row]:
    best = min(rows, key=lambda row: row[column], default=None)
    return (row for row in rows if best is not None and _alike(row, best, column))


def _alike(row: Row, best: Row, column: str) -> bool:
    """Whether the figure of `row` cannot be told from the best one."""
    if column in ERRORS and row[column] <= ROUNDING.get(row["dtype"], 0.0):
        return True
    low, high = row.get(f"{column}_low"), best.get(f"{column}_high")
    if low is not None and high is not None:
        return bool(low <= high)
    return shown(column, row[column]) == shown(column, best[column])
