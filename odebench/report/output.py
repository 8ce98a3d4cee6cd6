"""Records in the format somebody asked for, on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.record import Record
from odebench.report import table
from odebench.report.screen import Format, Screen
from odebench.rows import columns_of


def report(
    records: Sequence[Record],
    screen: Screen,
    form: Format = Format.table,
    columns: str | None = None,
    sort: str | None = None,
) -> None:
    """Print `records`; `columns` and `sort` as the command line has them.

    CSV and JSON hold every column of the contract in base units, table and Markdown those a reader wants first.

    Raises:
        UsageError: `columns` or `sort` names no column.
    """
    known = columns_of(records)
    chosen = table.parse_columns(columns, known) if columns else None
    order = table.parse_sort(sort, known) if sort else None
    if chosen is not None:
        made = table.chosen_table(records, chosen)
    elif form in (Format.csv, Format.json):
        made = table.chosen_table(records, known)
    else:
        made = table.reading_table(records)
    write(table.sorted_table(made, *order) if order else made, screen, form)


def write(made: table.Table, screen: Screen, form: Format) -> None:
    """One table in one format."""
    from odebench.report import formats, layout

    if form is Format.table:
        place = layout.fit(made, screen.width)
        screen.lines(layout.lines_of(made, place))
        left_out(place.left_out, screen)
    else:
        screen.data({"csv": formats.to_csv, "json": formats.to_json, "markdown": formats.to_markdown}[form](made))


def left_out(columns: Sequence[str], screen: Screen) -> None:
    """Tell which figures the terminal had no room for."""
    from odebench.report.text import fold

    if columns and screen.width:
        told = f"no room for {', '.join(columns)}: a wider terminal, a pipe, or show with --columns has it"
        for line in fold(told, screen.width, 2):
            screen.note(line, "dim")
