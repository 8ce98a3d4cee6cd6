"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from odebench.cli import complete
from odebench.report.screen import Format

Suites = Annotated[
    list[str] | None,
    typer.Argument(metavar="SUITE...", help="Files, or names of shipped suites.", autocompletion=complete.suites),
]
Results = Annotated[
    list[str],
    typer.Argument(metavar="RESULTS...", help="Results folders, or their CSVs.", autocompletion=complete.results),
]
Where = Annotated[
    str | None,
    typer.Option(
        "-k",
        metavar="FILTER",
        help='For instance "solver=alf and device!=cuda".',
        autocompletion=complete.where,
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="PATH_OR_MODULE", help="Python that registers more solvers, problems, …; repeatable."
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device", metavar="DEVICE", help="cpu, cuda, cuda:1, auto; repeatable.", autocompletion=complete.devices
    ),
]
Form = Annotated[Format, typer.Option("--format", help="Of what goes to stdout.")]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A,B,C",
        help="Of results.csv, or wall, memory, nfe, errors, …",
        autocompletion=complete.columns,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort", metavar="COLUMN", help="Sort the rows; -COLUMN is descending.", autocompletion=complete.sort
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only data and errors.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No live line on stderr.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Rules = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        metavar="RULES",
        help='What closes the gate. [default: "status, exact, errors > 1%, wall_seconds > 3%"]',
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 4 where a gated metric cannot be told.")]
