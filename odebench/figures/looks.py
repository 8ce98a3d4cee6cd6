"""How each line looks, by its key: colour, mark, dash. Its words are plotly's, and other libraries map them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from odebench.figures.grouping import family_of, key_of
from odebench.record import Record

# M. Okabe, K. Ito, Color universal design, 2008: told apart with every common kind of colour vision. Yellow comes last,
# it is weak on white; black is what a dark page has to turn over.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKS = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "pentagon", "star", "hexagon", "triangle-left",
    "triangle-right",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
FILLS = ("full", "open", "dot", "open-dot")  # of a mark
FORWARD = "forward"  # the key of what the others are compared with


@dataclass(frozen=True)
class Look:
    """A colour as #RRGGBB, and one name each of `MARKS`, `DASHES` and `FILLS`."""

    colour: str
    mark: str
    dash: str
    fill: str


def looks_of(records: Iterable[Record]) -> dict[str, Look]:
    """Key of a series -> how it looks, for all records of a results folder, drawn or not.

    What there is more of, solvers or gradients, gets the colours and the shapes of marks; the other gets dashes and
    fillings. So no two lines differ by their colour alone, and a filter on what is drawn changes no look.
    """
    cells = list({key_of(record.cell): record.cell for record in records}.values())
    solvers, gradients = ({getattr(cell, axis): None for cell in cells} for axis in ("solver", "gradient"))
    first, second = ("solver", "gradient") if len(solvers) >= len(gradients) else ("gradient", "solver")
    hues = {value: index for index, value in enumerate(dict.fromkeys(getattr(cell, first) for cell in cells))}
    families: dict[object, dict[object, None]] = {}
    for cell in cells:
        families.setdefault((cell.solver, cell.gradient), {})[family_of(cell.stepping)] = None
    # Of a pair with several kinds of stepping all but the first kind count as others.
    variants: dict[object, int] = {}
    looks = {FORWARD: Look("#999999", "circle", "solid", "full")}
    for cell in cells:
        rank = list(families[cell.solver, cell.gradient]).index(family_of(cell.stepping))
        variant = variants.setdefault((getattr(cell, second), rank), len(variants))
        looks[key_of(cell)] = _look(hues[getattr(cell, first)], variant)
    return looks


def _look(hue: int, variant: int) -> Look:
    """Distinct for 8 colours and 40 variants; where there are more fillings than `FILLS`, the mark moves on."""
    return Look(
        COLOURS[hue % len(COLOURS)],
        MARKS[(hue + variant // len(FILLS)) % len(MARKS)],
        DASHES[variant % len(DASHES)],
        FILLS[variant % len(FILLS)],
    )
