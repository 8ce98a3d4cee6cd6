"""A table as lines of text of a given width. Names are folded, figures are left out whole; nothing is ever cut.

Own code instead of `rich.table`, because rows must be printable one by one while a run goes on, and because a
`rich.table` that is too narrow cuts its cells with an ellipsis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich.cells import cell_len

from odebench.record import AXES, COLUMNS, METRICS
from odebench.report import units
from odebench.report.table import Row, Table
from odebench.report.text import UNLIMITED, fold, plain

GAP = 2
NAME_WIDTH = 16  # the widest name that is not folded where a figure would be left out for it
REASON_WIDTH = 24  # a reason narrower than this goes below its row instead


class Line(NamedTuple):
    """One line to print, and the rich style of all of it."""

    text: str
    style: str = ""


class Look(NamedTuple):
    """How a figure is shown."""

    title: tuple[str, ...]
    form: Callable[[float], str]
    width: int  # what its figures take, as a rule; a longer one widens its own row
    rank: int = 99  # the lower, the later it is left out


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
# Of the status of a cell, then of the verdict of a finding; any other is red.
STYLES = {"ok": "", "planned": "", "refused": "dim"} | {
    "cannot tell": "", "better": "cyan", "new": "cyan", "same": "dim", "told": "dim",
}  # fmt: skip


def look_of(column: str) -> Look:
    """The look of any column of the contract, also of one that is not shown by default."""
    if column in LOOKS:
        return LOOKS[column]
    words = column.split("_")
    if words[-1] == "seconds" or "seconds" in words:
        return Look(tuple(word for word in words if word != "seconds"), units.seconds, 7)
    if words[-1] == "bytes":
        return Look(tuple(words[:-1]), units.size, 8)
    form = units.error if "error" in words else units.digits if "overhead" in words or "ratio" in words else units.count
    return Look(tuple(words), form, 4)


def shown(column: str, value: Any) -> str:
    """One cell of a table for people."""
    if value is None:
        return ""
    return look_of(column).form(value) if isinstance(value, (int, float)) else plain(value)


@dataclass(frozen=True)
class Layout:
    """Which columns stand where. `width` is None where lines may be as long as they like."""

    columns: tuple[str, ...]
    widths: tuple[int, ...]
    width: int | None = None
    left_out: tuple[str, ...] = ()
    short: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (column, name) -> what stands for it

    @property
    def total(self) -> int:
        """Cells of a full row."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)

    def header(self) -> list[Line]:
        """The titles, bottom-aligned, and a rule."""
        titles = [list(look_of(column).title) if _is_figure(column) else [column] for column in self.columns]
        depth = max(map(len, titles))
        padded = [[""] * (depth - len(title)) + title for title in titles]
        lines = [Line(self._line(row), "bold") for row in zip(*padded, strict=True)]
        return [*lines, Line("─" * self.total, "dim")]

    def row(self, row: Row) -> list[Line]:
        """One row, folded, with the reason of a row that is not ok where its figures would be, or below them."""
        style = STYLES.get(str(row["status"]), "red")
        cells = [_cell(row, column, self.short) for column in self.columns]
        drawn = list(zip(self.columns, cells, self.widths, strict=True))
        names = [[cell] if _is_figure(name) else fold(cell, width, 1, "(") for name, cell, width in drawn]
        told = row["status"] in ("ok", "planned") or "reason" in self.columns or "reason" not in row
        reason = "" if told else plain(f"{row['status']}: {row['reason']}")
        bare = all(not cell for name, cell, _ in drawn if _is_figure(name))
        if reason and bare and self._room >= REASON_WIDTH:
            return [Line(line, style) for line in self._beside(names, reason)]
        lines = [Line(self._line(cells), style) for cells in _stack(names)]
        if reason:
            lines += [Line(f"    {text}", style) for text in fold(reason, (self.width or UNLIMITED) - 4, 0)]
        return lines

    @property
    def _labels(self) -> int:
        """How many columns stand before the first figure."""
        return next((i for i, name in enumerate(self.columns) if _is_figure(name)), len(self.columns))

    @property
    def _room(self) -> int:
        """Cells from the first figure to the right end; 0 where a label stands among the figures."""
        if not all(map(_is_figure, self.columns[self._labels :])):
            return 0
        return (self.width or UNLIMITED) - sum(width + GAP for width in self.widths[: self._labels])

    def _beside(self, names: list[list[str]], reason: str) -> Iterator[str]:
        for cells in _stack([*names[: self._labels], fold(reason, self._room, 0)]):
            padded = [_pad(cell, width) for cell, width in zip(cells[:-1], self.widths, strict=False)]
            yield (" " * GAP).join((*padded, cells[-1])).rstrip()

    def _line(self, cells: Sequence[str]) -> str:
        right = [_is_figure(name) or name in NUMBERS for name in self.columns]
        padded = (_pad(cell, width, r) for cell, width, r in zip(cells, self.widths, right, strict=True))
        return (" " * GAP).join(padded).rstrip()


def fit(table: Table, width: int | None, measured: bool = True) -> Layout:
    """Choose columns and widths for `table` in `width` cells, or in as many as it takes.

    Where that is too little, names stand without their options as far as they are clear (the caption tells them in
    full), then names are folded, then figures are left out. `measured` is False while the rows have no figures yet:
    their usual widths are then kept free.
    """
    natural = {column: _natural(table, column, measured, {}) for column in table.columns}
    if width is None or sum(natural.values()) + GAP * (len(natural) - 1) <= width:
        return Layout(table.columns, tuple(natural.values()), width)
    short = _short(table)
    natural = {column: _natural(table, column, measured, short) for column in table.columns}
    narrow = {c: n if _is_figure(c) else _narrow(table, c, n, short) for c, n in natural.items()}
    keep = [column for column in table.columns if not _is_figure(column) or table.chosen]  # never left out
    for column in sorted((c for c in table.columns if c not in keep), key=lambda c: look_of(c).rank):
        if sum(narrow[name] + GAP for name in (*keep, column)) - GAP <= width:
            keep.append(column)
    columns = tuple(column for column in table.columns if column in keep)
    left = width - sum(narrow[column] + GAP for column in columns) + GAP
    widths = []
    for column in columns:
        more = max(0, min(natural[column] - narrow[column], left))
        left -= more
        widths.append(narrow[column] + more)
    return Layout(columns, tuple(widths), width, tuple(c for c in table.columns if c not in columns), short)


def _short(table: Table) -> dict[tuple[str, str], str]:
    """Names that are clear without their options, because no other configuration of the name is in their column."""
    short: dict[tuple[str, str], str] = {}
    for column in (axis for axis in NAMED if axis in table.columns):
        full = dict.fromkeys(shown(column, row[column]) for row in table.rows)
        bare = Counter(name.partition("(")[0] for name in full)
        short |= {(column, name): name.partition("(")[0] for name in full if "(" in name}
        short = {key: name for key, name in short.items() if key[0] != column or bare[name] == 1}
    return short


def lines_of(table: Table, layout: Layout) -> Iterator[Line]:
    """The whole table: caption, header, groups of rows."""
    yield from caption(table, layout)
    yield from layout.header()
    for values, rows in table.groups():
        if table.group_by:
            yield from heading(values, layout.width)
        for row in rows:
            yield from layout.row(row)


def caption(table: Table, layout: Layout) -> list[Line]:
    """What holds for every row, and what short names are short for."""
    constant = ", ".join(f"{axis} {plain(value)}" for axis, value in table.constant)
    told = [constant] if constant else []
    told += [f"{name} is {full}" for (_, full), name in layout.short.items()]
    lines = [Line(text, "dim") for each in told for text in fold(each, layout.width or UNLIMITED, 2)]
    return [*lines, Line("")] if lines else []


def heading(values: Iterable[Any], width: int | None = None) -> list[Line]:
    """What stands above a group of rows."""
    folded = fold(" · ".join(map(plain, values)), width or UNLIMITED, 2)
    return [Line(""), *(Line(text, "bold cyan") for text in folded)]


def _cell(row: Row, column: str, short: Mapping[tuple[str, str], str]) -> str:
    text = shown(column, row[column])
    return short.get((column, text), text)


def _natural(table: Table, column: str, measured: bool, short: Mapping[tuple[str, str], str]) -> int:
    cells = max((cell_len(_cell(row, column, short)) for row in table.rows), default=0)
    if not _is_figure(column):
        return max(cells, len(column))
    look = look_of(column)
    return max(cells, *map(len, look.title), 0 if measured else look.width)


def _narrow(table: Table, column: str, natural: int, short: Mapping[tuple[str, str], str]) -> int:
    """The least width that folds names where they fold neatly."""
    limit = min(natural, NAME_WIDTH)
    lines = (line for row in table.rows for line in fold(_cell(row, column, short), limit, 1, "("))
    return max(len(column), max(map(cell_len, lines), default=0))


def _is_figure(column: str) -> bool:
    return column not in NAMES


def _stack(cells: list[list[str]]) -> Iterator[tuple[str, ...]]:
    depth = max(map(len, cells))
    return zip(*([*lines, *[""] * (depth - len(lines))] for lines in cells), strict=True)


def _pad(text: str, width: int, right: bool = False) -> str:
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space
