"""Records in the format somebody asked for, on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.errors import UsageError
from odebench.record import Record
from odebench.report.choosing import parse_columns
from odebench.report.screen import Format, Screen
from odebench.report.table import Table
from odebench.report.view import View, table_of
from odebench.rows import columns_of

MEASURED = (Format.github_action_benchmark, Format.bencher)  # formats of what was measured, and of no table
DEFAULT = View()


def report(
    records: Sequence[Record],
    screen: Screen,
    form: Format = Format.table,
    view: View = DEFAULT,
    among: Sequence[Record] = (),
) -> None:
    """Print `records`; what they are shown relative to is looked for `among` these.

    CSV and JSON hold every column of the contract in base units, table and Markdown those a reader wants first. For
    the formats of `MEASURED`, `view.columns` chooses the metrics.

    Raises:
        UsageError: `view` names no column or axis, or the format is not of records.
    """
    if form in MEASURED:
        chosen = parse_columns(view.columns, columns_of(records)) if view.columns else None
        screen.data(exported(records, form, chosen))
    else:
        write(table_of(records, view, form, among), screen, form)


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


def write(made: Table, screen: Screen, form: Format) -> None:
    """One table in one format.

    Raises:
        UsageError: the format is of no table.
    """
    from odebench.report import folding, formats

    require_table(form, measured=False)
    if form is Format.table:
        screen.lines(folding.folded(made, screen.width))
    else:
        screen.data({"csv": formats.to_csv, "json": formats.to_json, "markdown": formats.to_markdown}[form](made))
