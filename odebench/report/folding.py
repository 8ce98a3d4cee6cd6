"""A whole table in a given width: in blocks below one another, or where it is very narrow as cards. Nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from odebench.report import layout
from odebench.report.cards import Cards
from odebench.report.layout import Layout, Line
from odebench.report.looks import is_figure
from odebench.report.table import Table

MOST_BLOCKS = 3  # a table of more is easier to read as cards
FEWEST = 3  # figures of a table that grows; with less room it grows by cards
FURTHER = "further figures of the same rows"


def folded(table: Table, width: int | None) -> Iterator[Line]:
    """The table as lines of at most `width` cells, or as long as they like: all its columns, and all its rows."""
    blocks = blocks_of(table, width)
    if blocks is None:
        yield from layout.lines_of(table, Cards.of(table, width))
        return
    yield from layout.caption(table, blocks[0])
    for index, place in enumerate(blocks):
        if index == 0:
            yield from layout.body(table, place)
        else:
            yield from (Line(""), Line(FURTHER, "dim"), Line(""))
            yield from layout.body(_with_figures(table, place), place)


def blocks_of(table: Table, width: int | None) -> list[Layout] | None:
    """Layouts that have every figure of the table between them, names in each; None where those would be too many."""
    found, rest = [layout.fit(table, width)], table
    while found[-1].left_out:
        if not any(map(is_figure, found[-1].columns)) or len(found) == MOST_BLOCKS:
            return None
        names = [column for column in table.columns if not is_figure(column)]
        rest = replace(rest, columns=tuple(c for c in rest.columns if c in names or c in found[-1].left_out))
        found.append(layout.fit(rest, width))
    return found if width is None or all(place.total <= width for place in found) else None


def growing(table: Table, width: int | None) -> Layout | Cards:
    """Where the rows of a table go that are printed one by one: one block, or cards."""
    place = layout.fit(table, width, measured=False)
    few = sum(map(is_figure, place.columns)) < FEWEST
    return Cards.of(table, width) if place.left_out and few else place


def _with_figures(table: Table, place: Layout) -> Table:
    """Without rows, such as refused ones, that a block has nothing to tell of."""
    figures = [column for column in place.columns if is_figure(column)]
    rows = (row for row in table.rows if any(row[column] is not None for column in figures))
    if "reason" in place.columns:
        return replace(table, rows=tuple(rows))
    # Why a row is not ok is told in the first block.
    return replace(table, rows=tuple({name: row[name] for name in row if name != "reason"} for row in rows))
