"""What a dry run says about time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odebench.errors import ResultsError
from odebench.report import units
from odebench.report.screen import Screen

if TYPE_CHECKING:
    from odebench.execute.forecast import Forecast
    from odebench.plan import Planned
    from odebench.record import Record
    from odebench.suite.loading import Suite

_WAIT = "trying out a few solves …"


def tell_time(cells: Sequence[Planned], suites: Sequence[Suite], jobs: int, resume: str | None, screen: Screen) -> None:
    """Estimate how long `cells` will take, and say so on stderr; nothing where nobody reads it.

    `resume` is the folder of an earlier run, whose cells tell of those to come.
    """
    from odebench.execute.forecast import forecast

    if screen.quiet or not any(each.refusal is None for each in cells):
        return
    live = screen.live_line
    if live:
        screen.tell(_WAIT)
    try:
        found = forecast(cells, suites, jobs, _earlier(resume))
    finally:
        if live:
            screen.tell("\r\x1b[2K")
    screen.note(sentence(found) if found is not None else "how long it takes cannot be told beforehand")


def sentence(found: Forecast) -> str:
    """`about 0:40 (0:28 to 1:00), from 12 solves tried here`, and what is not in it."""
    told = f"about {units.duration(found.middle)} ({units.duration(found.low)} to {units.duration(found.high)})"
    if found.tried:
        some = f"{found.tried} of {found.kinds}" if found.tried < found.kinds else str(found.tried)
        told += f", from {some} kind{'s' * (found.kinds != 1)} of solve tried here"
    if found.late:
        told += f", {found.late} of them broken off"
    extra = list(found.left_out)
    if found.truths:
        extra.append(f"{found.truths} true answer{'s' * (found.truths != 1)} that must be worked out first")
    return f"{told}; not counted: {' and '.join(extra)}" if extra else told


def _earlier(resume: str | None) -> list[Record]:
    from odebench.store import read_results

    try:
        return [] if resume is None else read_results(resume)
    except ResultsError:  # a run may end before its first cell
        return []
