"""The one style of static figures: sizes, type, and what the words of `figures.looks` are in matplotlib."""

from __future__ import annotations

from typing import Any

from odebench.report.text import fold

WIDTHS = {"one": 3.4, "two": 7.0}  # inches: one column of a two-column page, and both
TALLEST = 9.0  # inches of a page that a figure may take, its caption below it
COLUMNS = {"one": 1, "two": 3}  # the most panels abreast
HEIGHTS = {("one", 1): 2.4, ("two", 1): 2.8, ("two", 2): 2.6, ("two", 3): 2.0}  # inches of a row of so many panels
DPI = 300

MARKS = {
    "circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "triangle-down": "v", "pentagon": "p",
    "star": "*", "hexagon": "h", "triangle-left": "<", "triangle-right": ">",
}  # fmt: skip
DASHES: dict[str, Any] = {
    "solid": "-", "dash": (0, (4, 1.6)), "dot": (0, (1, 1.4)), "dashdot": (0, (4, 1.4, 1, 1.4)),
    "longdash": (0, (8, 2)),
}  # fmt: skip
FILLS = {"full": "full", "open": "none", "dot": "left", "open-dot": "bottom"}
SIZES = {"D": 3.2, "*": 5.5, "s": 3.4}  # of marks in points, so that all look equally large
SIZE = 4.0
FAINT = 0.25  # opacity

# On top of matplotlib's own defaults, whatever the user's matplotlibrc says: a figure is the same on every machine.
STYLE: dict[str, Any] = {
    # Fonts that come with matplotlib: Times-like, for papers; a character that they lack is taken from DejaVu.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.titlepad": 4,
    "axes.labelpad": 2,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markeredgewidth": 0.8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "figure.dpi": 100,
    "savefig.dpi": DPI,
    # Type 42 is TrueType: editable, and what publishers ask for in place of Type 3.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    # Identifiers in an SVG are random otherwise.
    "svg.hashsalt": "odebench",
}

_LETTER = 0.46  # width of a letter over its size, on average


def folded(text: str, inches: float, size: float = 8) -> str:
    """Text in lines that are about so wide."""
    return "\n".join(fold(text, max(8, int(inches * 72 / (size * _LETTER))), 1, "("))


def literal(text: str) -> str:
    """Text for matplotlib that holds no formula."""
    return text.replace("$", r"\$")
