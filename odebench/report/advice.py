"""Warnings that teach: what in these results is not what it seems, and what to do about it. One sentence each, once.

Each rule looks at all records and speaks of those it is about in one sentence, with one of them for an example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from odebench.record import Cell, Record
from odebench.report.advice_case import Case, Results
from odebench.report.advice_costs import floor, gauges, load, repeats
from odebench.report.advice_errors import adjoint, digits, rounding
from odebench.report.text import plain

MOST = 5  # sentences; what is less important gives way
# The most important first: what is wrong before what is unsure.
_RULES: tuple[Callable[[Results], Iterator[Case]], ...] = (digits, adjoint, rounding, load, gauges, floor, repeats)


@dataclass(frozen=True)
class Advice:
    """One sentence: what is so, with an example, and what to do."""

    topic: str  # the name of the rule
    text: str
    cells: int  # that it is about
    example: Cell


def advice(records: Iterable[Record], machine: Mapping[str, Any] | None = None) -> list[Advice]:
    """At most `MOST` sentences, the most important first; `machine` is what machine.json holds, where it is known."""
    results = Results(tuple(records), machine or {})
    return [_of(case) for rule in _RULES for case in rule(results)][:MOST]


def _of(case: Case) -> Advice:
    cell, count = case.example.cell, len(case.records)
    named = f"{cell.solver} with {cell.gradient} at {cell.stepping} on {cell.problem}"
    such = f"in {count} cells such as {named}" if count > 1 else f"in {named}"
    return Advice(case.topic, plain(case.text.replace("{such}", such)), count, cell)
