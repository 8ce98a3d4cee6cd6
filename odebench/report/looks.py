"""How columns look to people: their titles, and figures and names as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from odebench.record import AXES, COLUMNS, METRICS
from odebench.report import units
from odebench.report.text import plain


class Ratio(float):
    """A figure as a multiple of another one; shown as `×1.31`."""


class Look(NamedTuple):
    """How a figure is shown."""

    title: tuple[str, ...]
    form: Callable[[float], str]
    width: int  # what its figures take, as a rule; a longer one widens its own row
    rank: int = 99  # the lower, the sooner it finds room


LOOKS = {
    "nfe_forward": Look(("nfe", "fwd"), units.count, 4, 5),
    "nfe_backward": Look(("nfe", "bwd"), units.count, 4, 6),
    "vjp_backward": Look(("vjp",), units.count, 4, 10),
    "wall_seconds": Look(("wall", "time"), units.seconds, 7, 1),
    "wall_ratio": Look(("wall", "ratio"), units.digits, 5, 3),
    "overhead": Look(("over-", "head"), units.digits, 5, 8),
    "peak_memory_bytes": Look(("peak", "memory"), units.size, 8, 2),
    "solution_error": Look(("solution", "error"), units.error, 7, 7),
    "reverse_error": Look(("reverse", "error"), units.error, 7, 4),
    "gradient_error": Look(("gradient", "error"), units.error, 7, 3),
    "gradient_error_discrete": Look(("discrete", "gradient", "error"), units.error, 7, 9),
    # Of training runs.
    "loss": Look(("loss",), units.digits, 7, 2),
    "quality": Look(("quality",), units.digits, 7, 0),
    "nfe_predict": Look(("nfe", "predict"), units.count, 7, 3),
    "train_seconds": Look(("training", "time"), units.seconds, 8, 6),
    "gradient_error_start": Look(("gradient", "error", "at start"), units.error, 8, 8),
    "regulariser_ratio": Look(("with over", "without", "regulariser"), units.digits, 11, 7),
    # Of a comparison, where they come as text.
    "change": Look(("change",), units.digits, 7, 1),
    "new": Look(("new",), units.digits, 7, 2),
    "base": Look(("base",), units.digits, 7, 3),
    "interval": Look(("interval",), units.digits, 7, 4),
}
NAMED = AXES[:4]  # names with options
NUMBERS = ("batch", "seed")  # names that are numbers
WORDS = ("mark", "metric", "note")  # of a comparison
NAMES = (frozenset(COLUMNS) - frozenset(METRICS)) | frozenset(WORDS)  # all else is figures, also those of plugins
BAR = " bar"  # ends the name of a column that draws the figure before it; no metric has a blank in its name
# Of the status of a cell, then of the verdict of a finding; any other is red.
STYLES = {"ok": "", "planned": "", "refused": "dim"} | {
    "cannot tell": "", "better": "cyan", "new": "cyan", "same": "dim", "told": "dim",
}  # fmt: skip


def look_of(column: str) -> Look:
    """The look of any column of the contract, also of one that is not shown by default."""
    if column in LOOKS:
        return LOOKS[column]
    if column.endswith(BAR):
        return Look(("",), str, 8, look_of(column.removesuffix(BAR)).rank)
    words = column.split("_")
    if words[-1] == "seconds" or "seconds" in words:
        return Look(tuple(word for word in words if word != "seconds"), units.seconds, 7)
    if words[-1] == "bytes":
        return Look(tuple(words[:-1]), units.size, 8)
    form = units.error if "error" in words else units.digits if "overhead" in words or "ratio" in words else units.count
    return Look(tuple(words), form, 4)


def title_of(column: str) -> str:
    """The title on one line."""
    return " ".join(look_of(column).title).replace("- ", "")


def shown(column: str, value: Any) -> str:
    """One cell of a table for people."""
    if value is None:
        return ""
    if isinstance(value, Ratio):
        return f"×{units.digits(value)}"
    return look_of(column).form(value) if isinstance(value, (int, float)) else plain(value)


def is_figure(column: str) -> bool:
    """Whether it holds figures, and not names."""
    return column not in NAMES
