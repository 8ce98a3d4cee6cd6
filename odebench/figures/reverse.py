"""Forward and reversed paths over one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from odebench.figures.captions import SEVERAL, cells, conditions, joined, pairs, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import key_of, one_of_each
from odebench.figures.looks import FORWARD
from odebench.figures.names import Names
from odebench.record import Record

Point = tuple[float, float]

_TITLE = "Forward and reversed paths"
_MARGIN = 0.25  # of the forward path's size, on each side: what a reversed path may stray and still be in the frame
_SLENDER = 4.0  # a phase plane so many times as long as wide has a scale for each axis


def reverse(records: Sequence[Record], cost: str = "") -> Figure:
    """One panel for each place: the plane of the first two components, or the only one over time."""
    drawn, notes = sifted(records, without_curves)
    chosen = one_of_each(drawn, drift)
    names, panels = Names.of(chosen), []
    for title, group in names.planes(chosen):
        plane = _Plane.of(title, group)
        panels.append(plane.panel(names))
        notes += plane.strays(names)
    caption = joined(
        f"{_TITLE}: the solution as the forward pass went through it (grey, solid) and as the backward pass went back "
        "over it (coloured, dashed), for the first of the batch: its first two components, or its only one over time. "
        "Where only one of the two is seen, the other lies under it.",
        unfinished(chosen),
        SEVERAL.format("reverse_error") if len(chosen) < len(drawn) else "",
        conditions(names, chosen, records),
    )
    return Figure("reverse", _TITLE, caption, tuple(panels), notes)


def without_curves(record: Record) -> str | None:
    """Why a record has no way back to draw. What failed is drawn as far as it came: these figures are for it."""
    if record.curves.get("reversed_t"):
        return None
    return "with no way back of their own on record" if record.status == "ok" else record.status.replace("_", " ")


def drift(record: Record) -> float:
    """The error of the whole way back; what did not get there has the largest."""
    return float(record.metrics.get("reverse_error", inf))


def unfinished(records: Sequence[Record]) -> str:
    """Which of the ways back did not end well."""
    failed = [each for each in records if each.status != "ok"]
    return f"Of {cells(len(failed))} that did not end ok what is finite is drawn: {pairs(failed)}." if failed else ""


@dataclass(frozen=True)
class _Plane:
    """What one panel shows: the records, and the frame around their forward paths."""

    title: str
    place: list[Record]
    flat: bool  # there are two components
    forwards: tuple[tuple[Point, ...], ...]
    low: Point
    high: Point

    @classmethod
    def of(cls, title: str, place: list[Record]) -> _Plane:
        flat = all("forward_2" in each.curves for each in place)
        # Different gradients of one solver have the same forward path.
        forwards = tuple(dict.fromkeys(tuple(_path(each, "forward", flat)) for each in place))
        xs, ys = zip(*(point for path in forwards for point in path), strict=True)
        (left, right), (bottom, top) = _widened(xs), _widened(ys)
        return cls(title, place, flat, forwards, (left, bottom), (right, top))

    def panel(self, names: Names) -> Panel:
        """Forward paths first, so that the others lie over them."""
        series = [_line("forward", FORWARD, path) for path in self.forwards]
        for each in self.place:
            series.append(_line(names.line(each.cell), key_of(each.cell), self._way_back(each)[0], each.cell.key))
        (left, bottom), (right, top) = self.low, self.high
        framed = any(self._way_back(each)[1] is not None for each in self.place)
        x = Axis("y₁" if self.flat else "t", limits=(left, right) if framed else None)
        y = Axis("y₂" if self.flat else "y₁", limits=(bottom, top) if framed else None)
        sizes = right - left, top - bottom
        return Panel(self.title, x, y, tuple(series), self.flat and max(sizes) < _SLENDER * min(sizes))

    def strays(self, names: Names) -> tuple[str, ...]:
        """A note on each path that leaves the frame."""
        ends = [(each, self._way_back(each)[1]) for each in self.place]
        return tuple(
            f"{self.title}: the reversed path of {names.line(each.cell)} leaves the frame at t = {t:.3g}."
            for each, t in ends
            if t is not None
        )

    def _way_back(self, record: Record) -> tuple[list[Point], float | None]:
        """(the reversed path, up to where it leaves the frame, when it does)."""
        path = _path(record, "reversed", self.flat)
        for index, point in enumerate(path):
            if not all(low <= at <= high for low, at, high in zip(self.low, point, self.high, strict=True)):
                last = [self._edge(path[index - 1], point)] if index else []
                return path[:index] + last, record.curves["reversed_t"][index]
        return path, None

    def _edge(self, inside: Point, outside: Point) -> Point:
        """Where the line from a point in the frame to one outside crosses its edge."""
        share = 1.0
        for low, at, to, high in zip(self.low, inside, outside, self.high, strict=True):
            if not low <= to <= high:
                share = min(share, ((low if to < low else high) - at) / (to - at))
        return inside[0] + share * (outside[0] - inside[0]), inside[1] + share * (outside[1] - inside[1])


def _path(record: Record, way: str, flat: bool) -> list[Point]:
    x, y = (f"{way}_1", f"{way}_2") if flat else (f"{way}_t", f"{way}_1")
    return list(zip(record.curves[x], record.curves[y], strict=True))


def _line(name: str, key: str, path: Sequence[Point], cell: str = "") -> Series:
    x, y = zip(*path, strict=True)
    return Series(name, key, x, y, marks=False, dashed=key != FORWARD, of=cell)


def _widened(values: Sequence[float]) -> Point:
    size = max(values) - min(values) or max(1.0, abs(values[0]))
    return min(values) - _MARGIN * size, max(values) + _MARGIN * size
