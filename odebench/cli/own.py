"""The commands for what is one's own: `check` and `init`."""

from __future__ import annotations

from typing import Annotated

import typer

from odebench.cli import complete
from odebench.cli.options import AsJson, Form, NoColor, Plugins, Quiet
from odebench.errors import UsageError
from odebench.report.screen import Format, Screen

init = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN", help="my.py, my.py:NAME, or a name such as alf.", autocompletion=complete.claims
        ),
    ],
    plugin: Plugins = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="For one check.")] = 60.0,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="order, reversal, 'gradient aca', …; repeatable. [default: all]"),
    ] = None,
    json: AsJson = False,
    form: Form = Format.table,
    no_color: NoColor = False,
    quiet: Quiet = False,
) -> None:
    """Put what a solver or a gradient claims to the test, before any timing. Exit 1 if a claim fails.

    \b
    examples:
      odebench check my_solver.py
      odebench check my_solver.py:MyScheme --json
      odebench check "coupled(base=rk4)"
      odebench check adjoint
    """
    from odebench.cli import checking

    form = Format.json if json else form
    if form not in (Format.table, Format.json, Format.markdown):
        raise UsageError(f"--format {form} is of what was measured; check has table, json and markdown")
    asked = checking.Asked(name, tuple(plugin or ()), timeout, tuple(only or ()))
    raise typer.Exit(checking.perform(asked, Screen(False if no_color else None, quiet), form))


@init.callback()
def init_() -> None:
    """Write a commented starter that runs as it is."""


@init.command(short_help="A solver of one's own.")
def solver(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case, such as my_scheme.")],
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="[default: NAME.py]")] = None,
) -> None:
    """Write a commented scheme of under 40 lines that passes `check`; nothing is overwritten.

    \b
    examples:
      odebench init solver my_scheme
      odebench check my_scheme.py
    """
    from odebench.cli.starting import init_solver

    path = init_solver(name, output)
    Screen().note(f"{path} is written; try: odebench check {path}")


@init.command(short_help="A suite of one's own.")
def suite(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="[default: my_suite]")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="[default: NAME.yaml]")] = None,
) -> None:
    """Write a commented suite that runs as it is in under a minute, and its schema for editors; nothing is overwritten.

    \b
    examples:
      odebench init suite
      odebench run my_suite.yaml
    """
    from odebench.cli.pages import page
    from odebench.cli.starting import init_suite

    path, schema = init_suite(name, output, page("schema", []))
    Screen().note(f"{path} is written, with {schema} for editors; try: odebench run {path}")
