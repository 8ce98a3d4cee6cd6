"""One block of a table as lines of a given width. Names are folded, figures are left out whole; nothing is ever cut.

Own code instead of `rich.table`, because rows must be printable one by one while a run goes on, and because a
`rich.table` that is too narrow cuts its cells with an ellipsis.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from rich.cells import cell_len

from odebench.report.looks import BAR, NUMBERS, STYLES, is_figure, look_of, shown
from odebench.report.shortening import short_names, told_short
from odebench.report.table import Mark, Row, Table, mark_of
from odebench.report.text import UNLIMITED, fold, plain

GAP = 2
MARK = "*"  # behind a figure that is the best; it stands in the gap, so that digits stay below digits
BEST = "bold green"
NAME_WIDTH = 16  # the widest name that is not folded where a figure would be left out for it
REASON_WIDTH = 24  # a reason narrower than this goes below its row instead


class Span(NamedTuple):
    """Characters of a line with a style of their own."""

    start: int
    stop: int
    style: str


class Line(NamedTuple):
    """One line to print, the rich style of all of it, and what of it stands out."""

    text: str
    style: str = ""
    spans: tuple[Span, ...] = ()


class Place(Protocol):
    """Where rows go."""

    @property
    def width(self) -> int | None: ...

    @property
    def short(self) -> Mapping[tuple[str, str], str]: ...

    def header(self) -> list[Line]: ...

    def row(self, row: Row) -> list[Line]: ...


@dataclass(frozen=True)
class Layout:
    """Which columns stand where. `width` is None where lines may be as long as they like."""

    columns: tuple[str, ...]
    widths: tuple[int, ...]
    width: int | None = None
    left_out: tuple[str, ...] = ()
    short: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (column, name) -> what stands for it
    best: Collection[Mark] = ()

    @property
    def total(self) -> int:
        """Cells of a full row."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)

    def header(self) -> list[Line]:
        """The titles, bottom-aligned, and a rule."""
        titles = [list(look_of(column).title) if is_figure(column) else [column] for column in self.columns]
        depth = max(map(len, titles))
        padded = [[""] * (depth - len(title)) + title for title in titles]
        lines = [Line(self._line(row).text, "bold") for row in zip(*padded, strict=True)]
        return [*lines, Line("─" * self.total, "dim")]

    def row(self, row: Row) -> list[Line]:
        """One row, folded, with the reason of a row that is not ok where its figures would be, or below them."""
        style = STYLES.get(str(row["status"]), "red")
        cells = [_cell(row, column, self.short) for column in self.columns]
        drawn = list(zip(self.columns, cells, self.widths, strict=True))
        names = [[cell] if is_figure(name) else fold(cell, width, 1, "(") for name, cell, width in drawn]
        reason = "" if "reason" in self.columns else reason_of(row)
        bare = all(not cell for name, cell, _ in drawn if is_figure(name))
        if reason and bare and self._room >= REASON_WIDTH:
            return [Line(line, style) for line in self._beside(names, reason)]
        first, *rest = _stack(names)
        best = {column for column in self.columns if mark_of(row, column) in self.best} if self.best else set()
        lines = [self._line(first, style, best), *(self._line(cells, style) for cells in rest)]
        if reason:
            lines += [Line(f"    {text}", style) for text in fold(reason, (self.width or UNLIMITED) - 4, 0)]
        return lines

    @property
    def _labels(self) -> int:
        """How many columns stand before the first figure."""
        return next((i for i, name in enumerate(self.columns) if is_figure(name)), len(self.columns))

    @property
    def _room(self) -> int:
        """Cells from the first figure to the right end; 0 where a label stands among the figures."""
        if not all(map(is_figure, self.columns[self._labels :])):
            return 0
        return (self.width or UNLIMITED) - sum(width + GAP for width in self.widths[: self._labels])

    def _beside(self, names: list[list[str]], reason: str) -> Iterator[str]:
        for cells in _stack([*names[: self._labels], fold(reason, self._room, 0)]):
            padded = [_pad(cell, width) for cell, width in zip(cells[:-1], self.widths, strict=False)]
            yield (" " * GAP).join((*padded, cells[-1])).rstrip()

    def _line(self, cells: Sequence[str], style: str = "", best: Collection[str] = ()) -> Line:
        text, spans = "", []
        for column, cell, width in zip(self.columns, cells, self.widths, strict=True):
            text += _pad(cell, width, column in NUMBERS or (is_figure(column) and not column.endswith(BAR)))
            if column in best:
                text += MARK
                spans.append(Span(len(text) - len(cell) - len(MARK), len(text), BEST))
            text += " " * (GAP - len(MARK) * (column in best))
        return Line(text.rstrip(), style, tuple(spans))


def fit(table: Table, width: int | None, measured: bool = True) -> Layout:
    """Choose columns and widths for `table` in `width` cells, or in as many as it takes.

    Where that is too little, names stand without their options as far as they are clear (the caption tells them in
    full), then names are folded, then figures are left out. `measured` is False while the rows have no figures yet:
    their usual widths are then kept free.
    """
    natural = {column: _natural(table, column, measured, {}) for column in table.columns}
    room = None if width is None else width - bool(table.best) * len(MARK)
    if room is None or sum(natural.values()) + GAP * (len(natural) - 1) <= room:
        return Layout(table.columns, tuple(natural.values()), width, best=table.best)
    short = short_names(table)
    natural = {column: _natural(table, column, measured, short) for column in table.columns}
    narrow = {c: n if is_figure(c) else _narrow(table, c, n, short) for c, n in natural.items()}
    columns = _chosen(table, narrow, room)
    left = room - sum(narrow[column] + GAP for column in columns) + GAP
    widths = []
    for column in columns:
        more = max(0, min(natural[column] - narrow[column], left))
        left -= more
        widths.append(narrow[column] + more)
    left_out = tuple(column for column in table.columns if column not in columns)
    return Layout(columns, tuple(widths), width, left_out, short, table.best)


def _chosen(table: Table, widths: Mapping[str, int], room: int) -> tuple[str, ...]:
    """All names, and as many figures as there is room for: the first of those that somebody chose, else by rank."""
    keep = [column for column in table.columns if not is_figure(column)]
    figures = [column for column in table.columns if is_figure(column)]
    for column in figures if table.chosen else sorted(figures, key=lambda c: look_of(c).rank):
        if sum(widths[name] + GAP for name in (*keep, column)) - GAP <= room:
            keep.append(column)
    return tuple(column for column in table.columns if column in keep)


def lines_of(table: Table, place: Place) -> Iterator[Line]:
    """The whole block: caption, header, groups of rows."""
    yield from caption(table, place)
    yield from body(table, place)


def body(table: Table, place: Place) -> Iterator[Line]:
    """Header, and groups of rows."""
    yield from place.header()
    for values, rows in table.groups():
        if table.group_by:
            yield from heading(values, place.width)
        for row in rows:
            yield from place.row(row)


def caption(table: Table, place: Place) -> list[Line]:
    """What holds for every row, what short names are short for, and what signs mean."""
    constant = ", ".join(f"{axis} {plain(value)}" for axis, value in table.constant)
    told = [constant] if constant else []
    told += [*told_short(place.short), *table.legend, *table.notes]
    lines = [Line(text, "dim") for each in told for text in fold(each, place.width or UNLIMITED, 2)]
    return [*lines, Line("")] if lines else []


def heading(values: Iterable[Any], width: int | None = None) -> list[Line]:
    """What stands above a group of rows."""
    folded = fold(" · ".join(map(plain, values)), width or UNLIMITED, 2)
    return [Line(""), *(Line(text, "bold cyan") for text in folded)]


def reason_of(row: Row) -> str:
    """`diverged: the gradient is not finite`; empty for rows that are ok or yet to be."""
    told = row["status"] in ("ok", "planned") or "reason" not in row
    return "" if told else plain(f"{row['status']}: {row['reason']}")


def _cell(row: Row, column: str, short: Mapping[tuple[str, str], str]) -> str:
    text = shown(column, row[column])
    return short.get((column, text), text)


def _natural(table: Table, column: str, measured: bool, short: Mapping[tuple[str, str], str]) -> int:
    cells = max((cell_len(_cell(row, column, short)) for row in table.rows), default=0)
    if not is_figure(column):
        return max(cells, len(column))
    look = look_of(column)
    return max(cells, *map(len, look.title), 0 if measured else look.width)


def _narrow(table: Table, column: str, natural: int, short: Mapping[tuple[str, str], str]) -> int:
    """The least width that folds names where they fold neatly."""
    limit = min(natural, NAME_WIDTH)
    lines = (line for row in table.rows for line in fold(_cell(row, column, short), limit, 1, "("))
    return max(len(column), max(map(cell_len, lines), default=0))


def _stack(cells: list[list[str]]) -> Iterator[tuple[str, ...]]:
    depth = max(map(len, cells))
    return zip(*([*lines, *[""] * (depth - len(lines))] for lines in cells), strict=True)


def _pad(text: str, width: int, right: bool = False) -> str:
    space = " " * max(0, width - cell_len(text))
    return space + text if right else text + space
