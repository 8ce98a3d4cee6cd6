"""A `Figure` as a figure of matplotlib. Names are drawn as they are: no `$` in them starts a formula."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log10
from typing import TYPE_CHECKING, Any

from odebench.errors import UsageError
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.growth import spelled
from odebench.figures.looks import FORWARD, Look
from odebench.plot import style
from odebench.plot.legend import Entry, place_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_MARKED = 25  # the longest line all of whose points are marked
_SPARSE = 6  # about so many marks on a line whose points are no cells, so that it is known without its colour
_DECADES = 6  # of a logarithmic axis whose minor ticks are drawn


def draw(figure: Figure, looks: Mapping[str, Look], width: str) -> Canvas:
    """`figure`, which has panels, in one of `style.WIDTHS`; `looks` has every key of its series.

    To be called, and the result to be saved, where `style.STYLE` is set.

    Raises:
        UsageError: it would be taller than a page.
    """
    from matplotlib.figure import Figure as Canvas

    columns = columns_of(figure, width)
    rows = ceil(len(figure.panels) / columns)
    size = style.WIDTHS[width], rows * style.HEIGHTS[width, columns]
    canvas = Canvas(figsize=size, layout="constrained")
    canvas.get_layout_engine().set(w_pad=0.03, h_pad=0.03)  # type: ignore[union-attr, call-arg]
    places = list(canvas.subplots(rows, columns, squeeze=False).flat)
    alike = len({(panel.x.title, panel.y.title) for panel in figure.panels}) == 1
    for index, panel in enumerate(figure.panels):
        # What stands at every panel of a small multiple need stand at its outer sides only.
        left = not alike or index % columns == 0
        bottom = not alike or index + columns >= len(figure.panels)
        _panel(places[index], panel, looks, columns, left, bottom)
    for axes in places[len(figure.panels) :]:
        axes.remove()
    place_legend(canvas, _entries(figure, looks), beside=columns == 1 and width == "two")
    if canvas.get_figheight() > style.TALLEST:
        lines = len(_entries(figure, looks))
        raise UsageError(
            f"{len(figure.panels)} panels with {lines} lines do not fit a page: they take {canvas.get_figheight():.0f} "
            f"inches, and there are {style.TALLEST:.0f}; choose some with -k, by problem, stepping or solver"
        )
    return canvas


def columns_of(figure: Figure, width: str) -> int:
    """Panels abreast: as many as fit, those of one place side by side, and no row that is nearly empty."""
    most, panels = style.COLUMNS[width], len(figure.panels)
    sides = len({panel.y.title for panel in figure.panels})
    if sides > 1:
        return min(sides, most)
    return min(most, 2 if panels == 4 else panels)


def _panel(axes: Axes, panel: Panel, looks: Mapping[str, Look], columns: int, left: bool, bottom: bool) -> None:
    for series in panel.series:
        axes.plot(series.x, series.y, **_drawn(series, looks[series.key]))
    for side, axis in (("x", panel.x), ("y", panel.y)):
        _scale(axes, side, axis)
    if panel.equal:
        axes.set_aspect("equal", adjustable="datalim")
    if bottom:
        axes.set_xlabel(style.literal(panel.x.title))
    if left:
        axes.set_ylabel(style.literal(panel.y.title))
    axes.set_title(style.literal(style.folded(panel.title, style.WIDTHS["two"] / max(columns, 2) * 0.9)))


def _scale(axes: Axes, side: str, axis: Axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    if axis.limits is not None:
        axes.set(**{f"{side}lim": axis.limits})
    if not axis.log:
        return
    axes.set(**{f"{side}scale": "log"})
    low, high = getattr(axes, f"get_{side}lim")()
    ticks = getattr(axes, f"{side}axis")
    if log10(high / low) > 1.5:
        ticks.set_major_locator(LogLocator(numticks=6))
        ticks.set_minor_formatter(NullFormatter())
    if log10(high / low) > _DECADES:
        ticks.set_minor_locator(LogLocator(numticks=1))


def _drawn(series: Series, look: Look) -> dict[str, Any]:
    """The keywords of `plot`."""
    mark = style.MARKS[look.mark]
    marked = series.marks or series.key != FORWARD
    every = 1 if series.marks and len(series.x) <= _MARKED else max(1, len(series.x) // _SPARSE)
    return {
        "color": look.colour,
        "linestyle": (style.DASHES["dash" if series.dashed else look.dash]) if series.line else "none",
        "linewidth": 2.2 if series.key == FORWARD else 1.0,
        "marker": mark if marked else "none",
        "markersize": style.SIZES.get(mark, style.SIZE),
        "markevery": every,
        "fillstyle": style.FILLS[look.fill],
        "markerfacecoloralt": "white",
        "alpha": style.FAINT if series.faint else None,
        "zorder": 1 if series.faint else 2,
    }


def _entries(figure: Figure, looks: Mapping[str, Look]) -> list[Entry]:
    """One for each line that looks or is called otherwise; the law beside the name where there is one panel only."""
    found: dict[tuple[str, str], Series] = {}
    for series in (each for panel in figure.panels for each in panel.series):
        known = found.get((series.key, series.name))
        if known is None or (known.faint and not series.faint):
            found[series.key, series.name] = series
    told = len(figure.panels) == 1
    return [
        (f"{each.name}: {spelled(each.law)}" if told and each.law else each.name, _drawn(each, looks[each.key]))
        for each in found.values()
    ]
