"""How each line looks, by its key: colour, mark, dash. Its words are plotly's, and other libraries map them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from odebench.figures.grouping import family_of, key_of, regulariser_of
from odebench.record import Cell, Record
from odebench.spec import Spec

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

    What there is most of, solvers, gradients or regularisers, gets the colours and the shapes of marks; the others get
    dashes and fillings. So no two lines differ by their colour alone, and a filter on what is drawn changes no look.
    """
    cells = list({key_of(record.cell): record.cell for record in records}.values())
    axes = list(zip(*map(_parts, cells), strict=True))  # the solvers of all cells, their gradients, their regularisers
    order = sorted(range(len(axes)), key=lambda axis: -len(set(axes[axis])))
    hues: dict[object, int] = {}
    families: dict[object, dict[object, None]] = {}
    for cell in cells:
        families.setdefault(_parts(cell), {})[family_of(cell.stepping)] = None
    # Of what has several kinds of stepping all but the first kind count as others.
    variants: dict[object, int] = {}
    looks = {FORWARD: Look("#999999", "circle", "solid", "full")}
    for cell in cells:
        first, *others = (_parts(cell)[axis] for axis in order)
        rank = list(families[_parts(cell)]).index(family_of(cell.stepping))
        variant = variants.setdefault((*others, rank), len(variants))
        looks[key_of(cell)] = _look(hues.setdefault(first, len(hues)), variant)
    return looks


def _parts(cell: Cell) -> tuple[Spec, Spec, Spec | None]:
    return cell.solver, cell.gradient, regulariser_of(cell)


def _look(hue: int, variant: int) -> Look:
    """Distinct for 8 colours and 40 variants; where there are more fillings than `FILLS`, the mark moves on."""
    return Look(
        COLOURS[hue % len(COLOURS)],
        MARKS[(hue + variant // len(FILLS)) % len(MARKS)],
        DASHES[variant % len(DASHES)],
        FILLS[variant % len(FILLS)],
    )
