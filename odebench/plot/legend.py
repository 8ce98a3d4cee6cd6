"""The legend of a figure: outside of its panels, below or beside them, in as many columns as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odebench.plot import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.legend import Legend

Entry = tuple[str, dict[str, Any]]  # (name, keywords of a line)
_BESIDE = 0.45  # of the width, for a legend beside a single panel
_MARGIN = 0.1  # inches around it


def place_legend(canvas: Canvas, entries: Sequence[Entry], beside: bool) -> None:
    """Beside a single panel, or below all of them; the figure grows by its height there."""
    if len(entries) < 2 and not (entries and ":" in entries[0][0]):
        return
    width, height = canvas.get_size_inches()
    if beside:
        legend = _legend(canvas, entries, 1, width * _BESIDE, "outside right center")
        canvas.set_size_inches(width, max(height, _extent(canvas, legend)[1] + _MARGIN))
        return
    for columns in range(min(len(entries), 6), 0, -1):
        legend = _legend(canvas, entries, columns, width - _MARGIN, "outside lower center")
        across, tall = _extent(canvas, legend)
        if across <= width - _MARGIN or columns == 1:
            canvas.set_size_inches(width, height + tall + _MARGIN)
            return
        legend.remove()


def _legend(canvas: Canvas, entries: Sequence[Entry], columns: int, width: float, where: str) -> Legend:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **{**look, "alpha": None, "markevery": 1}) for _, look in entries]
    place: Any = where  # one of matplotlib's own words, which its types list one by one
    legend: Legend = canvas.legend(handles, ["x"] * len(entries), loc=place, ncols=columns)
    # Set afterwards: a label that begins with an underscore would be left out.
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(style.literal(style.folded(name, width - 0.4)))
    return legend


def _extent(canvas: Canvas, legend: Legend) -> tuple[float, float]:
    """(width, height) in inches, as it will be drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer: Any = FigureCanvasAgg(canvas)
    found = legend.get_window_extent(renderer.get_renderer())
    return found.width / canvas.dpi, found.height / canvas.dpi
