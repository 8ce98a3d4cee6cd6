"""What the tables of docs/figures.md are made of: records, Markdown, and how numbers stand in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import odebench
from odebench.record import Record
from odebench.spec import Spec

ROOT = Path(__file__).resolve().parent.parent


class Section(NamedTuple):
    """One section of the page. `make` gets the records of the shipped suite, refusals among them."""

    name: str
    title: str
    suite: str
    words: str
    make: Callable[[Sequence[Record]], str]


@cache
def records_of(suite: str) -> Sequence[Record]:
    """The records of a shipped suite; what is not in results/figures/SUITE yet is measured now.

    Raises:
        UsageError: what is there was measured for the suite as it was, and some of it is no longer asked for.
    """
    return odebench.run(suite, resume=ROOT / "results" / "figures" / suite)


def measured(records: Iterable[Record]) -> list[Record]:
    """Those that were not refused."""
    return [record for record in records if record.status != "refused"]


def when(records: Iterable[Record]) -> str:
    """On which days the records were measured, and by what."""
    records = measured(records)
    days = sorted({record.started[:10] for record in records})
    by = sorted({f"{record.version} at {record.commit or 'no commit'}" for record in records})
    return f"measured {' to '.join(dict.fromkeys((days[0], days[-1])))} by odebench {' and '.join(by)}"


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; `header` has the names of the columns between bars."""
    names = [name.strip() for name in header.split("|")]
    lines = [names, ["---"] * len(names), *([str(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sci(value: float | int | None) -> str:
    """Two digits."""
    return "" if value is None else f"{value:.1e}"


def shown(record: Record, metric: str) -> str:
    """An error to two digits, or how the cell ended."""
    return sci(record.metrics.get(metric)) if record.status == "ok" else record.status


def option(spec: Spec, name: str) -> object:
    """One option of what a suite names."""
    return dict(spec.options).get(name)


def steps_of(record: Record) -> int:
    """N of a cell at fixed steps."""
    steps = option(record.cell.stepping, "steps")
    assert isinstance(steps, int)
    return steps


def in_order(values: Iterable[object]) -> list[str]:
    """Each once, as it is spelled, in the order of the first."""
    return list(dict.fromkeys(map(str, values)))
