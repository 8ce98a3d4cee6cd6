"""What `plot` does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from odebench.cli.options import Quiet, Results, Where
from odebench.errors import NothingSelected, UsageError
from odebench.report.screen import Screen


class Width(StrEnum):
    """Columns of a page of two that a figure takes."""

    one = "one"
    two = "two"


def _kinds(incomplete: str) -> list[tuple[str, str]]:
    from odebench.figures.kinds import KINDS

    return [(kind.name, kind.summary) for kind in KINDS.values() if kind.name.startswith(incomplete)]


def plot(
    results: Results,
    kind: Annotated[str, typer.Option(metavar="KIND", help="What the figure shows; see below.", autocompletion=_kinds)],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="fig.pdf, .svg or .png; an older one is replaced.")
    ],
    cost: Annotated[
        str | None, typer.Option(metavar="COST", help="What an error is set against: nfe, work, time, memory.")
    ] = None,
    width: Annotated[Width, typer.Option(help="Columns of a two-column page: 3.4 or 7 inches.")] = Width.two,
    where: Where = None,
    quiet: Quiet = False,
) -> None:
    """One static figure for a paper, and its caption in a text file beside it.

    \b
    kinds:
      work-precision      error of the solution against --cost nfe, time or memory
      gradient-precision  error of the gradient against --cost work, nfe, time or memory
      memory              peak memory against steps, with the law fitted to it
      time                wall time against steps, with the law fitted to it
      reverse             forward and reversed paths over one another
      reverse-error       distance between forward and reversed path along t
      steps               sizes of adaptive steps along t
      pareto              Pareto front of gradient error, time and memory

    \b
    examples:
      odebench plot results/work_precision-… --kind work-precision -o fig.pdf
      odebench plot results.csv --kind gradient-precision --cost memory -o fig.svg
      odebench plot results/… --kind reverse -k problem=lorenz --width one -o fig.png
    """
    from odebench.api import filter_of
    from odebench.figures.kinds import kind as kind_of
    from odebench.figures.looks import looks_of
    from odebench.plot.write import format_of, write
    from odebench.store import read_results

    wanted, path, chosen = kind_of(kind), Path(output), filter_of(where)
    format_of(path)
    everything = [record for each in results for record in read_results(each)]
    records = [record for record in everything if chosen is None or chosen.matches(record.cell)]
    if not records:
        raise NothingSelected(f"-k {where!r} selects none of the cells in {', '.join(results)}")
    figure = wanted.figure(records, cost)
    if not figure.panels:
        raise UsageError("\n".join([f"nothing to draw for --kind {wanted.name}", *figure.notes]))
    # Of all results, so that a filter changes no colour.
    caption = write(figure, looks_of(everything), path, width.value)
    Screen(quiet=quiet).note(f"{path}, its caption in {caption}")
