"""What a self-test of the gate found: one row for each planted fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

from odebench.compare.selftest import Outcome, Tally
from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError
from odebench.report import units
from odebench.report.layout import Line
from odebench.report.screen import Format
from odebench.report.text import UNLIMITED, fold

HEADER = ("planted", "verdicts", "worse", "cannot tell", "same", "better", "as found", "one comparison")
FORMAT = 1  # of the JSON


def lines_of_outcome(outcome: Outcome, width: int | None) -> list[Line]:
    """A table for people, and what it means."""
    rows = [HEADER, *(_row(each) for each in (*outcome.exact, *outcome.times))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for index, row in enumerate(rows):
        cells = [
            text.ljust(size) if place == 0 else text.rjust(size)
            for place, (text, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(Line("  ".join(cells).rstrip(), "bold" if index == 0 else ""))
    told = [Line(text) for each in _sentences(outcome) for text in fold(each, width or UNLIMITED, 2)]
    return [*lines, Line(""), *told]


def render(outcome: Outcome, form: Format) -> str:
    """As Markdown or JSON.

    Raises:
        UsageError: another format was asked for.
    """
    if form is Format.json:
        rows = [_data(each) for each in (*outcome.exact, *outcome.times)]
        data: dict[str, Any] = {"format": FORMAT, "cells": outcome.cells, "comparisons": outcome.comparisons}
        data |= {"rounds": list(outcome.rounds), "seconds": outcome.seconds, "spread": outcome.spread, "rows": rows}
        return json.dumps(data, indent=1) + "\n"
    if form is not Format.markdown:
        raise UsageError(f"a self-test is shown as table, json or markdown; got {form}")
    lines = [HEADER, ("---", *["--:"] * (len(HEADER) - 1)), *(_row(each) for each in (*outcome.exact, *outcome.times))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *_sentences(outcome)]) + "\n"


def _row(tally: Tally) -> tuple[str, ...]:
    counts = [tally.verdicts[each] for each in (Verdict.UNCLEAR, Verdict.SAME, Verdict.BETTER)]
    effect = "" if tally.effect is None else f"{100 * (tally.effect - 1):+.1f} %"
    took = units.seconds(median(tally.seconds)) if tally.seconds else ""
    worse = f"{tally.verdicts[Verdict.WORSE]} ({100 * tally.share:.3g} %)"
    return (tally.fault, str(tally.total), worse, *map(str, counts), effect, took)


def _data(tally: Tally) -> dict[str, Any]:
    verdicts = {str(each): tally.verdicts[each] for each in Verdict if tally.verdicts[each]}
    return {
        "planted": tally.fault, "verdicts": verdicts, "total": tally.total, "effect": tally.effect,
        "seconds": tally.seconds,
    }  # fmt: skip


def _sentences(outcome: Outcome) -> Sequence[str]:
    told = [
        "worse where nothing is planted is a false alarm; elsewhere its share is the power, and cannot tell counts "
        "against it",
        f"{outcome.comparisons} comparisons of {outcome.cells} cells, {units.seconds(outcome.seconds)} in all; rounds "
        f"of fresh processes in each: {', '.join(map(str, outcome.rounds)) or 'none'}",
    ]
    if outcome.spread is not None:
        told.append(f"two processes of the same code differ by {100 * outcome.spread:.2g} % (standard deviation)")
    return told
