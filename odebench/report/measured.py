"""The figures of records that charts are drawn of: finite ones, of cells that are ok, one at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from odebench.compare.policy import CONTEXT
from odebench.measure.metrics import MEANINGS
from odebench.record import Record


@dataclass(frozen=True)
class Measured:
    """One figure, with the ends of its interval where one was measured. `unit` is empty for metrics of plugins."""

    record: Record
    metric: str
    unit: str
    value: float | int
    low: float | int | None = None
    high: float | int | None = None


def measured_of(records: Iterable[Record], metrics: Sequence[str] | None = None) -> Iterator[Measured]:
    """In the order of the records; `metrics` None is all of them, less those that are neither better nor worse."""
    for record in records:
        if record.status != "ok":
            continue
        for name, value in record.metrics.items():
            if name not in CONTEXT and (metrics is None or name in metrics) and _finite(value):
                yield Measured(record, name, unit_of(name), value, *_ends(record, name))


def unit_of(metric: str) -> str:
    """`s`, `bytes`, or what is counted."""
    if metric.endswith("_seconds"):
        return "s"
    return "bytes" if metric.endswith("_bytes") else MEANINGS.get(metric, ("", ""))[0]


def _ends(record: Record, name: str) -> tuple[float | int, float | int] | tuple[None, None]:
    low, high = record.metrics.get(f"{name}_low"), record.metrics.get(f"{name}_high")
    if low is None or high is None or not (_finite(low) and _finite(high)):
        return None, None
    return low, high


def _finite(value: float | int) -> bool:
    """Also that a float can hold it: a count may have any number of digits, and readers of JSON have floats."""
    return abs(value) <= sys.float_info.max
