"""The error of the way back along t."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.figures.captions import SEVERAL, conditions, joined, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import key_of, one_of_each
from odebench.figures.names import Names
from odebench.figures.reverse import drift, unfinished, without_curves
from odebench.record import Record

_TITLE = "Error of the reversed path along t"


def reverse_error(records: Sequence[Record], cost: str = "") -> Figure:
    """One panel for each place: the distance between both paths, at the times that both went through."""
    drawn, notes = sifted(records, without_curves)
    chosen = one_of_each(drawn, drift)
    names = Names.of(chosen)
    axes = Axis("t"), Axis("relative distance from the forward path", log=True)
    panels = []
    for title, group in names.planes(chosen):
        lines = tuple(line for each in group if (line := _errors(each, names)).x)
        if lines:
            panels.append(Panel(title, *axes, lines))
    caption = joined(
        f"{_TITLE}: distance of the states that the backward pass used from those of the forward pass, in the 2-norm "
        "over batch and components, over the largest norm of the forward pass. A backward pass begins at the right, "
        "where the error is 0; points at 0 have no place on a logarithmic axis. The error is told at times that both "
        "passes went through: every step of a fixed mesh, else the saved times, which may be one point.",
        unfinished(chosen),
        SEVERAL.format("reverse_error") if len(chosen) < len(drawn) else "",
        conditions(names, chosen, records),
    )
    return Figure("reverse-error", _TITLE, caption, tuple(panels), notes)


def _errors(record: Record, names: Names) -> Series:
    both = zip(record.curves["error_t"], record.curves["error"], strict=True) if "error" in record.curves else ()
    points = sorted((t, error) for t, error in both if error > 0)
    x, y = tuple(t for t, _ in points), tuple(error for _, error in points)
    return Series(names.line(record.cell), key_of(record.cell), x, y, marks=len(points) < 3, of=record.cell.key)
