"""What `report` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odebench.cli.options import Quiet, Results, Where
from odebench.errors import NothingSelected, UsageError
from odebench.report.screen import Screen


def report(
    results: Results,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="An older one is replaced.")
    ] = "report.html",
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """One page to look at results: a table to sort and filter, every figure, what failed and why.

    It is one file that needs no network: it opens from disk, and can be sent by mail or kept as an artefact of a CI.

    \b
    examples:
      odebench report results/quickstart-2026-01-31T120000Z
      odebench report results/laptop results/server -o both.html
      odebench report results.csv -k "solver=alf and device!=cuda" -o alf.html
    """
    from odebench.api import filter_of
    from odebench.page.sources import read_sources
    from odebench.page.write import write

    path, chosen = Path(output), filter_of(where)
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file, such as {path / 'report.html'}")
    sources = read_sources(results, lambda record: chosen is None or chosen.matches(record.cell))
    cells = sum(len(source.records) for source in sources)
    if not cells:
        raise NothingSelected(f"-k {where!r} selects none of the cells in {', '.join(results)}")
    size = write(path, sources)
    Screen(quiet=quiet).note(f"{path}: {cells} cells, {size / 1e6:.1f} MB")
