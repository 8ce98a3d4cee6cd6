"""Records in the format somebody asked for, on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.errors import UsageError
from odebench.record import Record
from odebench.report import table
from odebench.report.screen import Format, Screen
from odebench.rows import columns_of

MEASURED = (Format.github_action_benchmark, Format.bencher)  # formats of what was measured, and of no table


def report(
    records: Sequence[Record],
    screen: Screen,
    form: Format = Format.table,
    columns: str | None = None,
    sort: str | None = None,
) -> None:
    """Print `records`; `columns` and `sort` as the command line has them.

    CSV and JSON hold every column of the contract in base units, table and Markdown those a reader wants first. For
    the formats of `MEASURED`, `columns` chooses the metrics.

    Raises:
        UsageError: `columns` or `sort` names no column, or the format is not of records.
    """
    known = columns_of(records)
    chosen = table.parse_columns(columns, known) if columns else None
    order = table.parse_sort(sort, known) if sort else None
    if form in MEASURED:
        screen.data(exported(records, form, chosen))
        return
    if chosen is not None:
        made = table.chosen_table(records, chosen)
    elif form in (Format.csv, Format.json):
        made = table.chosen_table(records, known)
    else:
        made = table.reading_table(records)
    write(table.sorted_table(made, *order) if order else made, screen, form)


def exported(records: Sequence[Record], form: Format, metrics: Sequence[str] | None = None) -> str:
    """What was measured, for one of the tools of `MEASURED`; `metrics` None is all of it."""
    if form is Format.bencher:
        from odebench.report.bencher import to_bencher

        return to_bencher(records, metrics)
    from odebench.report.github_action_benchmark import to_github_action_benchmark

    return to_github_action_benchmark(records, metrics)


def require_table(form: Format, measured: bool = True) -> None:
    """Refuse a format that a run without a baseline cannot be told in, before anything is run.

    Raises:
        UsageError: it is of verdicts, or where nothing is `measured` of figures.
    """
    if form is Format.junit:
        raise UsageError(
            "--format junit is of verdicts, and here is nothing to compare with; "
            "use it with `odebench compare BASE NEW` or `odebench run SUITE --baseline RESULTS`"
        )
    if form in MEASURED and not measured:
        raise UsageError(
            f"--format {form} is of what was measured, and a dry run measures nothing; leave one of them out"
        )


def write(made: table.Table, screen: Screen, form: Format) -> None:
    """One table in one format.

    Raises:
        UsageError: the format is of no table.
    """
    from odebench.report import formats, layout

    require_table(form, measured=False)
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
