"""Rows as cards, for terminals too narrow for a table: the names of a row, and below them its figures with titles."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.cells import cell_len

from odebench.report.layout import BEST, MARK, Line, Span, reason_of
from odebench.report.looks import BAR, STYLES, shown, title_of
from odebench.report.table import ALL_AXES, Mark, Row, Table, mark_of
from odebench.report.text import UNLIMITED, fold, plain

INDENT = 2


class Pair(NamedTuple):
    """One figure with its title, and whether it stands out."""

    text: str
    best: bool


@dataclass(frozen=True)
class Cards:
    """Stands in for a `Layout`, and leaves nothing out."""

    names: tuple[str, ...]  # columns of the first line of a card
    figures: tuple[str, ...]
    width: int | None = None
    left_out: tuple[str, ...] = ()
    short: Mapping[tuple[str, str], str] = field(default_factory=dict)
    best: Collection[Mark] = ()

    @classmethod
    def of(cls, table: Table, width: int | None) -> Cards:
        """Cards for the rows of `table`. Bars are left to tables."""
        names = tuple(column for column in table.columns if column in ALL_AXES)
        figures = tuple(column for column in table.columns if column not in names and not column.endswith(BAR))
        return cls(names, figures, width, best=table.best)

    def header(self) -> list[Line]:
        """Nothing: every figure has its title."""
        return []

    def row(self, row: Row) -> list[Line]:
        """One card."""
        style = STYLES.get(str(row["status"]), "red")
        width = self.width or UNLIMITED
        names = fold(" · ".join(shown(column, row[column]) for column in self.names), width, INDENT)
        lines = [Line(line, style or "bold") for line in names if line]
        pairs = [
            Pair(f"{title_of(column)} {text}", mark_of(row, column) in self.best)
            for column in self.figures
            if (text := shown(column, row[column]))
        ]
        lines += _packed(pairs, width, style)
        if "reason" not in self.figures and (reason := reason_of(row)):
            lines += [Line(" " * INDENT + text, style) for text in fold(plain(reason), width - INDENT, 0)]
        return lines


def _packed(pairs: list[Pair], width: int, style: str) -> Iterator[Line]:
    """As many to a line as fit. A longer one is folded."""
    text, spans = " " * INDENT, list[Span]()
    for index, (told, best) in enumerate(pairs):
        piece = told + MARK * best + "," * (index < len(pairs) - 1)
        if text.strip() and cell_len(text) + cell_len(piece) > width:
            yield Line(text.rstrip(), style, tuple(spans))
            text, spans = " " * INDENT, []
        if cell_len(piece) > width - INDENT:
            yield from (Line(" " * INDENT + line, style) for line in fold(piece, width - INDENT, INDENT))
            continue
        if best:
            spans.append(Span(len(text), len(text) + len(told) + len(MARK), BEST))
        text += f"{piece} "
    if text.strip():
        yield Line(text.rstrip(), style, tuple(spans))
