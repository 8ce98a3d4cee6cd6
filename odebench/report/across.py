"""All values of an axis in one row: each figure as a sparkline, one bar for each value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log
from statistics import median_low
from typing import Any

from odebench.errors import UsageError
from odebench.measure.statistics import mean_interval
from odebench.report.looks import is_figure, shown
from odebench.report.table import ALL_AXES, Row, Table

_LEVELS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"  # where a value of the axis has no figure
_DECADE = 10.0  # from this ratio of the largest to the smallest on, the levels are of logarithms


@dataclass(frozen=True)
class Scale:
    """The levels of one column, the same for all rows of a group so that they can be compared."""

    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[Any]) -> Scale:
        """Of the figures among `values`; zeros have the lowest level."""
        found = [value for value in values if _is_number(value) and value > 0]
        return cls(min(found, default=0.0), max(found, default=0.0))

    def level(self, value: Any) -> str:
        """One character."""
        if not _is_number(value):
            return _NOTHING
        if value <= 0 or self.most <= 0:
            return _LEVELS[0]
        share = value / self.most
        if self.most >= _DECADE * self.least:
            share = log(value / self.least) / log(self.most / self.least)
        return _LEVELS[min(int(share * len(_LEVELS)), len(_LEVELS) - 1)]


def across(table: Table, axis: str) -> Table:
    """One row for all values of `axis`: each figure as bars, and that of the last value.

    Of seeds it is the middle figure; of seeds of training runs the mean, with its 95 % interval.

    Raises:
        UsageError: all rows have the same value.
    """
    values = list(dict.fromkeys(row[axis] for row in table.rows))
    if len(values) < 2:
        raise UsageError(f"--across {axis}: all rows have {axis} {values[0]}; name an axis that varies")
    figures = [column for column in table.columns if is_figure(column)]
    rows: list[Row] = []
    for _, group in table.groups():
        scales = {column: Scale.of(row[column] for row in group) for column in figures}
        rows += [_row(alike, axis, values, scales) for alike in _alike(group, axis)]
    which = "the middle one" if axis == "seed" else "that of the last"
    if axis == "seed" and _trained(table.rows[0]):
        which = "the mean ± half its 95 % interval, by Student's t over the seeds"
    legend = f"bars from left to right: {axis} {', '.join(map(str, values))}; the figure is {which}"
    columns = tuple(column for column in table.columns if column != axis)
    return replace(table, columns=columns, rows=tuple(rows), legend=(*table.legend, legend))


def _alike(rows: Sequence[Row], axis: str) -> list[list[Row]]:
    """Rows that differ in nothing but `axis`."""
    others = [each for each in ALL_AXES if each != axis]
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[each] for each in others), []).append(row)
    return list(found.values())


def _row(rows: Sequence[Row], axis: str, values: Sequence[Any], scales: dict[str, Scale]) -> Row:
    found = {row[axis]: row for row in rows}
    one = _last if axis != "seed" else _mean if _trained(rows[0]) else _middle
    drawn = {
        column: _spark(column, [found.get(value, {}).get(column) for value in values], scale, one)
        for column, scale in scales.items()
    }
    # With no figure at all, the reason of one that is not ok stands for all.
    told = next((row for row in rows if row["status"] == "ok"), rows[0])
    return {**told, **drawn}


def _spark(column: str, figures: Sequence[Any], scale: Scale, one: Callable[[str, list[Any]], str]) -> str | None:
    numbers = [each for each in figures if _is_number(each)]
    return f"{''.join(map(scale.level, figures))} {one(column, numbers)}" if numbers else None


def _last(column: str, numbers: list[Any]) -> str:
    return shown(column, numbers[-1])


def _middle(column: str, numbers: list[Any]) -> str:
    return shown(column, median_low(numbers))


def _mean(column: str, numbers: list[Any]) -> str:
    found = mean_interval(numbers)
    return shown(column, numbers[0]) if found is None else f"{shown(column, found[0])} ±{shown(column, found[1])}"


def _trained(row: Row) -> bool:
    return row.get("train_steps") is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)
