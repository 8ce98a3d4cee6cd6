"""Records for github-action-benchmark, which draws charts of them: its tool `customSmallerIsBetter`.

Its action takes a JSON array of {name, unit, value, range?, extra?}, finds what an earlier commit measured by the name,
and reads "± 12" of a range as a number. Names, units and ranges also stand between backticks in comments it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from odebench.record import Record
from odebench.report.formats import json_text
from odebench.report.measured import Measured, measured_of
from odebench.report.text import plain

# A sign that would end the code span or the table cell of a comment stands as in an address.
_COMMENT = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "%`|<>"})


def to_github_action_benchmark(records: Iterable[Record], metrics: Sequence[str] | None = None) -> str:
    """An entry per cell and metric, of cells that are ok and figures that are finite; `metrics` None is all of them."""
    return json_text([_entry(each) for each in measured_of(records, metrics)])


def _entry(figure: Measured) -> dict[str, Any]:
    record = figure.record
    entry = {
        "name": _safe(f"{record.cell.suite}: {record.cell.key}: {figure.metric}"),
        "unit": _safe(figure.unit),
        "value": figure.value,
    }
    told = [f"odebench {record.version}"] if record.version else []
    told += [f"machine {record.machine}"] if record.machine else []
    if figure.low is not None and figure.high is not None:
        entry["range"] = f"± {max(figure.high - figure.value, figure.value - figure.low):.3g}"
        told.append(f"95 % interval of the median {figure.low:.4g} to {figure.high:.4g} {figure.unit}")
    if told:
        entry["extra"] = "\n".join(map(plain, told))  # of a tooltip, which shows plain text
    return entry


def _safe(text: str) -> str:
    return plain(text).translate(_COMMENT)
