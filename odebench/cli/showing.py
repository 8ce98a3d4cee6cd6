"""What `show` does."""

from __future__ import annotations

from typing import Annotated

import typer

from odebench.cli import complete
from odebench.cli.options import Columns, Form, NoColor, Quiet, Sort, Where
from odebench.errors import NothingSelected
from odebench.report.screen import Format, Screen


def _axes(incomplete: str) -> list[str]:
    from odebench.record import AXES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{axis}" for axis in ("suite", *AXES) if axis.startswith(last)]


def show(
    results: Annotated[
        str,
        typer.Argument(metavar="RESULTS", help="A results folder, or a CSV of one.", autocompletion=complete.results),
    ],
    form: Form = Format.table,
    columns: Columns = None,
    sort: Sort = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="AXES",
            help="Head groups of rows by these axes; none for no groups. [default: suite,problem]",
            autocompletion=_axes,
        ),
    ] = None,
    relative_to: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="Show figures as multiples of those of these rows, such as gradient=direct.",
            autocompletion=complete.where,
        ),
    ] = None,
    bars: Annotated[bool, typer.Option("--bars", help="A bar beside time and memory.")] = False,
    across: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS",
            help="One row for all values of an axis, such as stepping or seed: figures as sparklines.",
            autocompletion=_axes,
        ),
    ] = None,
    where: Where = None,
    no_color: NoColor = False,
    quiet: Quiet = False,
) -> None:
    """The table again, from a results folder or its CSV. `*` marks the best of the rows that can be compared.

    What a terminal has no room for stands in a second block below. CSV and JSON have figures as they were measured;
    with --relative-to the multiples are columns beside them.

    \b
    examples:
      odebench show results/quickstart-2026-01-31T120000Z
      odebench show results.csv --sort -memory -k gradient=direct
      odebench show results.csv --group-by solver --bars
      odebench show results.csv --relative-to "solver=dopri5 and gradient=direct"
      odebench show results.csv --across stepping --columns solver,gradient,memory,wall
      odebench show results.csv --columns solver,gradient,wall,memory --format markdown
    """
    from odebench.api import filter_of
    from odebench.cli.advising import tell_advice
    from odebench.report.output import report
    from odebench.report.view import View
    from odebench.store import read_results

    chosen = filter_of(where)
    view = View(columns, sort, group_by, across, filter_of(relative_to), bars)
    everything = read_results(results)
    records = [record for record in everything if chosen is None or chosen.matches(record.cell)]
    if not records:
        raise NothingSelected(f"-k {where!r} selects none of the cells in {results}")
    screen = Screen(False if no_color else None, quiet)
    # The base need not be among the rows that are shown.
    report(records, screen, form, view, everything)
    tell_advice(records, screen, results)
