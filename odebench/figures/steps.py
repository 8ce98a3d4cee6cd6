"""Where along t the steps are small."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from odebench.figures.captions import SEVERAL, conditions, joined, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import key_of, merged, one_of_each
from odebench.figures.names import Names
from odebench.record import Record

MOST = 200  # points of one line; a mesh may have a hundred thousand nodes
_TITLE = "Step sizes along t"


def steps(records: Sequence[Record], cost: str = "") -> Figure:
    """One panel for each place and stepping, one line for each solver; of adaptive steps only."""
    drawn, notes = sifted(records, _without_steps)
    chosen = one_of_each(drawn, lambda each: len(each.mesh))
    names, panels = Names.of(chosen), []
    for title, group in names.planes(chosen):
        # The forward steps hang on the gradient only where it takes part in choosing them.
        lines = merged(([each] for each in group), lambda one, other: one[0].mesh == other[0].mesh)
        series = (_sizes(line[0], names.line(line[0].cell, gradients)) for line, gradients in lines)
        panels.append(Panel(title, Axis("t"), Axis("step size", log=True), tuple(series)))
    caption = joined(
        f"{_TITLE}: accepted steps of the forward pass, each at its start. Gradients for which a solver's steps are "
        f"the same share a line. Of more than {MOST} steps the smallest and the largest of each stretch are drawn.",
        SEVERAL.format("number of steps") if len(chosen) < len(drawn) else "",
        conditions(names, chosen, records),
    )
    return Figure("steps", _TITLE, caption, tuple(panels), notes)


def thinned(points: Sequence[tuple[float, float]], most: int = MOST) -> list[tuple[float, float]]:
    """At most `most` of them, in their order: of equal stretches the lowest and the highest, and the last of all."""
    if len(points) <= most:
        return list(points)
    stretches = (most - 1) // 2
    kept = {len(points) - 1}
    for i in range(stretches):
        stretch = range(i * len(points) // stretches, (i + 1) * len(points) // stretches)
        kept |= {min(stretch, key=lambda j: points[j][1]), max(stretch, key=lambda j: points[j][1])}
    return [points[index] for index in sorted(kept)]


def _without_steps(record: Record) -> str | None:
    if record.cell.stepping.name == "fixed":
        return "of fixed steps, which are all of one size"
    if len(record.mesh) > 1:
        return None
    return "with no steps on record" if record.status == "ok" else record.status.replace("_", " ")


def _sizes(record: Record, name: str) -> Series:
    points = thinned([(t, abs(t1 - t)) for t, t1 in pairwise(record.mesh) if t1 != t])
    x, y = tuple(t for t, _ in points), tuple(size for _, size in points)
    return Series(name, key_of(record.cell), x, y, marks=False, of=record.cell.key)
