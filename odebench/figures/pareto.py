"""Which cells nothing beats: the Pareto front of gradient error, time and memory."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.figures.captions import SEVERAL, conditions, joined, lacking, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import grouped, key_of, one_of_each, place_of
from odebench.figures.names import Names
from odebench.record import Record

GOALS = ("gradient_error", "wall_seconds", "peak_memory_bytes")  # less is better in each
_ERROR = Axis("relative error of the gradient", log=True)
_COSTS = {"wall_seconds": "time of both passes (s)", "peak_memory_bytes": "peak memory (bytes)"}
_TITLE = "Pareto front of gradient error, time and memory"


def pareto(records: Sequence[Record], cost: str = "") -> Figure:
    """For each place the error against time, and against memory; what is beaten is faint."""
    drawn, notes = sifted(records, lacking(*GOALS, positive=GOALS))
    chosen = one_of_each(drawn, lambda each: each.metrics["gradient_error"])
    names, panels, front = Names.of(chosen), [], 0
    for place in grouped(chosen, place_of):
        best = front_of([tuple(each.metrics[goal] for goal in GOALS) for each in place])
        front += sum(best)
        for goal, title in _COSTS.items():
            panels.append(
                Panel(names.panel(place[0]), _ERROR, Axis(title, log=True), _clouds(place, best, goal, names))
            )
    caption = joined(
        f"{_TITLE}. A marked cell is on the front: no other of its panel is as good in all three and better in one; "
        "all others are faint. The front is that of the three together, so that a marked cell may look beaten "
        "where one of them is not shown. Times are compared as they were measured, noise and all.",
        SEVERAL.format("gradient_error") if len(chosen) < len(drawn) else "",
        f"{front} cells are on a front." if front != 1 else "1 cell is on a front.",
        conditions(names, chosen, records, timed=True),
    )
    return Figure("pareto", _TITLE, caption, tuple(panels), notes)


def front_of(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other dominates: is as low in every coordinate, and lower in one.

    Each point is compared with the front of those before it in lexicographic order: what dominates it comes before it.
    """
    best = [False] * len(points)
    front: list[tuple[float, ...]] = []
    for index in sorted(range(len(points)), key=points.__getitem__):
        point = points[index]
        if not any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            best[index] = True
            front.append(point)
    return best


def _clouds(place: list[Record], best: list[bool], goal: str, names: Names) -> tuple[Series, ...]:
    """What is beaten first, so that the front is drawn over it."""
    clouds = []
    for marked in (False, True):
        members = [each for each, good in zip(place, best, strict=True) if good is marked]
        for group in grouped(members, lambda each: key_of(each.cell)):
            cell = group[0].cell
            clouds.append(
                Series(
                    names.line(cell),
                    key_of(cell),
                    tuple(float(each.metrics["gradient_error"]) for each in group),
                    tuple(float(each.metrics[goal]) for each in group),
                    tuple(each.cell.key for each in group),
                    line=False,
                    faint=not marked,
                )
            )
    return tuple(clouds)
