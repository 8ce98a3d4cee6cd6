"""How models learn: loss, quality and evaluations of f along the steps of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from odebench.figures.captions import SEVERAL, conditions, joined, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import key_of, one_of_each
from odebench.figures.names import Names
from odebench.record import Record

MOST = 200  # points of one line
_TITLE = "Training"
_STEP = Axis("training step")
_EVALUATIONS = Axis("evaluations of f in a step")

Point = tuple[float, float]


def training(records: Sequence[Record], cost: str = "") -> Figure:
    """For each place: loss, quality on held-out data, and evaluations of f in a step, forward and backward."""
    drawn, notes = sifted(records, _without_curves)
    chosen = one_of_each(drawn, lambda each: each.metrics.get("loss", float("inf")))
    names, panels = Names.of(chosen), []
    for title, group in names.planes(chosen):
        panels += [
            Panel(f"{title}: {told}", _STEP, axis, _lines(group, names, points))
            for told, axis, points in (
                ("loss", Axis("loss", log=_positive(group)), _losses),
                ("quality", Axis(_quality(group)), _qualities),
                ("forward", _EVALUATIONS, _forward),
                ("backward", _EVALUATIONS, _backward),
            )
        ]
    caption = joined(
        f"{_TITLE}: the loss of each minibatch, each point the mean of a stretch of steps; quality on held-out data "
        "where it was evaluated, by the model as it is used; evaluations of f in the forward and in the backward pass "
        "of a step. A regulariser's own part of the loss is not in it.",
        SEVERAL.format("loss at the end") if len(chosen) < len(drawn) else "",
        conditions(names, chosen, records),
    )
    return Figure("training", _TITLE, caption, tuple(panel for panel in panels if panel.series), notes)


def _without_curves(record: Record) -> str | None:
    if record.samples.get("trained_loss"):
        return None  # also of a run that diverged: its curve says when
    return "with no curve of training on record" if record.status == "ok" else record.status.replace("_", " ")


def _lines(group: Sequence[Record], names: Names, points: Callable[[Record], list[Point]]) -> tuple[Series, ...]:
    found = []
    for record in group:
        told = [(x, y) for x, y in points(record) if isfinite(y)]
        if told:
            x, y = zip(*told, strict=True)
            name, key = names.line(record.cell), key_of(record.cell)
            found.append(Series(name, key, x, y, marks=len(told) < 15, of=record.cell.key))
    return tuple(found)


def _losses(record: Record) -> list[Point]:
    return smoothed(record.samples["trained_step"], record.samples["trained_loss"])


def _forward(record: Record) -> list[Point]:
    return smoothed(record.samples["trained_step"], record.samples["trained_nfe_forward"])


def _backward(record: Record) -> list[Point]:
    counts = record.samples["trained_nfe_backward"]
    return smoothed(record.samples["trained_step"], counts) if any(counts) else []


def _qualities(record: Record) -> list[Point]:
    return list(zip(record.samples.get("evaluated_step", ()), record.samples.get("evaluated_quality", ()), strict=True))


def smoothed(steps: Sequence[float], values: Sequence[float], most: int = MOST) -> list[Point]:
    """At most `most` points, each the mean of a stretch of equally many."""
    width = max(1, -(-len(values) // most))
    stretches = (slice(start, start + width) for start in range(0, len(values), width))
    return [(_mean(steps[each]), _mean(values[each])) for each in stretches]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _positive(group: Sequence[Record]) -> bool:
    return all(loss > 0 for record in group for loss in record.samples["trained_loss"] if isfinite(loss))


def _quality(group: Sequence[Record]) -> str:
    told = list(dict.fromkeys(str(record.settings.get("quality", "quality")) for record in group))
    return told[0] if len(told) == 1 else "quality"
