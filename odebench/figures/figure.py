"""The one shape of every figure, so that each kind is computed once and drawn by any library."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Axis:
    """What is told along one side of a panel."""

    title: str  # with its unit, as it stands at the axis: `peak memory (bytes)`
    log: bool = False
    limits: tuple[float, float] | None = None  # None: as far as the points reach


@dataclass(frozen=True)
class Law:
    """y ~ x^exponent, fitted by least squares in the logarithms, and what that is in words."""

    exponent: float
    low: float  # 95 % interval of the exponent
    high: float
    words: str  # constant, linear in steps, …


@dataclass(frozen=True)
class Series:
    """One line or cloud of a panel; x and y are of one length, and so is `cells` where it is not empty.

    `key` is what gives the colour and the mark, see `looks`: series of one key look alike in every panel and figure.
    """

    name: str
    key: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    cells: tuple[str, ...] = ()  # the cell of each point, by `Cell.key`; empty where points are no cells
    line: bool = True
    marks: bool = True
    dashed: bool = False  # whatever the look of the key
    faint: bool = False  # drawn, but not what the reader came for
    law: Law | None = None
    of: str = ""  # the cell that all points belong to, by `Cell.key`, where they belong to one


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    equal: bool = False  # one unit is as long on both axes, as in a phase plane


@dataclass(frozen=True)
class Figure:
    """Panels that belong together, and what a reader has to know of them. Texts are plain, and come from suites too."""

    kind: str
    title: str
    caption: str
    panels: tuple[Panel, ...] = ()  # empty where there is nothing to draw; the notes then say why
    notes: tuple[str, ...] = field(default=())  # what is not in it and why: cells without the figure, values at 0
