"""Bars beside figures, to be compared at a glance."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

from odebench.report.looks import BAR
from odebench.report.table import Row, Table

BARRED = ("wall_seconds", "peak_memory_bytes")
LENGTH = 8  # cells of a bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def with_bars(table: Table) -> Table:
    """A bar behind time and memory, as long as its share of the largest in the group."""
    barred = [column for column in table.columns if column in BARRED]
    rows: list[Row] = []
    for _, group in table.groups():
        most = {column: max(map(_length, (row[column] for row in group)), default=0.0) for column in barred}
        bars = [{f"{column}{BAR}": bar(_length(row[column]), most[column]) for column in barred} for row in group]
        rows += [{**row, **drawn} for row, drawn in zip(group, bars, strict=True)]
    columns = [each for name in table.columns for each in ((name, f"{name}{BAR}") if name in barred else (name,))]
    legend = "bars: share of the largest" + (" in its group" if table.group_by else "")
    return replace(table, columns=tuple(columns), rows=tuple(rows), legend=(*table.legend, legend)) if barred else table


def bar(value: float, most: float) -> str | None:
    """`██▌`; None for nothing. What is there at all has an eighth of a cell."""
    if value <= 0:
        return None
    eighths = max(1, round(8 * LENGTH * value / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _length(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else 0.0
