"""Records in Bencher Metric Format: `{benchmark: {measure: {value, lower_value?, upper_value?}}}`.

A benchmark is a cell, a measure a metric; Bencher makes those that it has not seen before.
Values are in base units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from odebench.record import Record
from odebench.report.formats import json_text
from odebench.report.measured import measured_of
from odebench.report.text import plain

BENCHMARK, MEASURE = 1024, 64  # bytes of a name that Bencher takes


def to_bencher(records: Iterable[Record], metrics: Sequence[str] | None = None) -> str:
    """Of cells that are ok and figures that are finite; `metrics` None is all of them."""
    found: dict[str, dict[str, dict[str, float | int]]] = {}
    for each in measured_of(records, metrics):
        value = {"value": each.value}
        if each.low is not None and each.high is not None:
            value |= {"lower_value": each.low, "upper_value": each.high}
        name = _name(f"{each.record.cell.suite}: {each.record.cell.key}", BENCHMARK)
        found.setdefault(name, {})[_name(each.metric, MEASURE)] = value
    return json_text(found)


def _name(text: str, limit: int) -> str:
    """On one line; one that is too long ends in a digest of all of it, so that no two become one."""
    whole = plain(text).encode()
    if len(whole) <= limit:
        return whole.decode()
    digest = sha256(whole).hexdigest()[:12]
    return f"{whole[: limit - len(digest) - 1].decode(errors='ignore').rstrip()}~{digest}"
