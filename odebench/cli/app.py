"""The command line. Every body is short; whatever is slow to import is imported in the body that needs it."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import typer

from odebench.cli import complete, doctoring, gate, interrupts, own, plotting, reporting, showing
from odebench.cli.exits import CODES, Commands
from odebench.cli.options import (
    AsJson,
    Devices,
    Form,
    NoColor,
    NoProgress,
    Plugins,
    Quiet,
    Rules,
    Strict,
    Suites,
    Where,
)
from odebench.errors import UsageError
from odebench.report.screen import Format, Screen

EXIT_CODES = "\b\nexit codes:\n" + "\n".join(f"  {code:<3}  {meaning}" for code, meaning in CODES.items())


class Kind(StrEnum):
    """What `list` takes."""

    problems = "problems"
    solvers = "solvers"
    gradients = "gradients"
    stepping = "stepping"
    metrics = "metrics"
    workloads = "workloads"
    regularisers = "regularisers"
    suites = "suites"


app = typer.Typer(
    cls=Commands,
    # rich would take longer to import than all the rest of `--help`.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def main() -> NoReturn:
    """The console script."""
    # Python has None for a stream that was closed before it started.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot show must not end a run.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        app(prog_name="odebench")
    finally:
        interrupts.done()
    raise AssertionError("typer exits by itself")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        from odebench.machine import version as own

        typer.echo(f"odebench {own()}\nPython {sys.version.split()[0]}")
        try:
            typer.echo(f"torch {version('torch')}")
        except PackageNotFoundError:
            typer.echo("torch is not installed")
        raise typer.Exit


@app.callback()
def odebench(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions and exit.")
    ] = False,
) -> None:
    """Benchmark Neural-ODE solvers and gradient methods: exactness, memory, work and time.

    \b
    examples:
      odebench run quickstart              run a suite that ships with odebench
      odebench run my.yaml -k solver=alf   run part of one of your own
      odebench show results/quickstart-…   see the table again
      odebench list solvers                what a suite can name
      odebench explain mali                what one of these is
    """


@app.command(short_help="Run suites: measure, save, show.")
def run(
    suites: Suites = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FOLDER", help="New or empty. [default: results/SUITE-TIME]")
    ] = None,
    form: Form = Format.table,
    where: Where = None,
    plugin: Plugins = None,
    solver: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Add a solver to every suite: rk4, 'alf(eta=0.9)' or my.py:NAME.",
            autocompletion=complete.solvers,
        ),
    ] = None,
    device: Devices = None,
    repeats: Annotated[int | None, typer.Option(min=1, metavar="N", help="Timed repeats.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="For one cell.")] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="CPU cells at a time; they disturb one another.")] = 1,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Run what an earlier run has not; suites may be left out.",
            autocompletion=complete.results,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the cells, run nothing.")] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RESULTS",
            help="Compare with these results, and exit 1 on a regression.",
            autocompletion=complete.results,
        ),
    ] = None,
    fail_on: Rules = None,
    strict: Strict = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
    no_color: NoColor = False,
) -> None:
    """Run every cell of the suites; the table goes to stdout, results to a folder.

    \b
    examples:
      odebench run quickstart
      odebench run a.yaml b.yaml -o results/both --format csv > both.csv
      odebench run a.yaml --solver my.py:my_solver --repeats 30
      odebench run --resume results/a-2026-01-31T120000Z
      odebench run a.yaml --baseline base.csv --fail-on "status, exact, errors > 1%"
    """
    from odebench.api import request_of
    from odebench.cli import gating, running

    if not suites and resume is None:
        raise UsageError("name a suite to run, or --resume FOLDER; `odebench list suites` shows those that ship")
    if form is Format.junit and baseline is None:
        raise UsageError("--format junit shows verdicts; name what to compare with: --baseline RESULTS")
    screen = Screen(False if no_color else None, quiet, not no_progress)
    request = request_of(suites or [], plugin or [], solver or [], device or [], repeats, timeout)
    order = running.Order(request, output, resume, where, jobs)
    # Before anything is measured, so that a wrong rule or baseline costs no run.
    gated = gating.open_gate(order, baseline, fail_on, strict)
    code = running.rehearse(order, screen, form) if dry_run else running.perform(order, screen, form, gated)
    raise typer.Exit(code)


@app.command(short_help="Check suites without running them.")
def validate(
    suites: Suites = None,
    plugin: Plugins = None,
    device: Devices = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Check suites without running them: how many cells, and which are refused and why.

    \b
    examples:
      odebench validate quickstart my.yaml
    """
    from odebench.api import request_of
    from odebench.cli import running

    if not suites:
        raise UsageError("name a suite to validate; `odebench list suites` shows those that ship")
    running.validate(request_of(suites, plugin or [], devices=device or []), Screen(False if no_color else None, quiet))


@app.command(name="list", short_help="What can be named in a suite.")
def list_(kind: Annotated[Kind, typer.Argument(help="Of what.")], json: AsJson = False, plugin: Plugins = None) -> None:
    """What can be named in a suite.

    \b
    examples:
      odebench list solvers
      odebench list problems --json
    """
    from odebench.cli.pages import page

    screen = Screen()
    screen.data(page("catalogue" if json else "list", plugin or [], of=kind.value, width=screen.width))


@app.command(name="explain", short_help="What a name means, of whatever kind.")
def explain_(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Such as rk4, 'alf(eta=0.9)', alf.eta, overhead, refused. [default: all there are]",
            autocompletion=complete.names,
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """What a name means: a solver, gradient, problem, its options, a library, a column, a status, a key of suites, …

    Without a name: all that can be explained. Of methods it tells what they cost and where they come from.

    \b
    examples:
      odebench explain
      odebench explain "alf(eta=0.9)"
      odebench explain gradient:adjoint
      odebench explain measure.match_error
      odebench explain timed_out
    """
    from odebench.cli.pages import page

    screen = Screen()
    screen.data(page("explain", plugin or [], name=name, width=min(screen.width or 80, 100)))


app.command(short_help="The table of an earlier run.")(showing.show)
app.command(short_help="Verdicts on two results; the gate of a CI.")(gate.compare)
app.command(short_help="False alarms and power of the gate here.")(gate.selftest)
app.add_typer(gate.baseline, name="baseline", short_help="Keep the baseline of a gate.")
app.command(short_help="What a solver claims, put to the test.")(own.check)
app.add_typer(own.init, name="init", short_help="A commented starter.")
app.command(short_help="One figure for a paper, with its caption.")(plotting.plot)
app.command(short_help="One page with the table and every figure.")(reporting.report)
app.command(short_help="What would spoil a measurement here.")(doctoring.doctor)


@app.command(short_help="The JSON schema of suite files.")
def schema(plugin: Plugins = None) -> None:
    """The JSON schema of a suite file, for editors.

    \b
    examples:
      odebench schema > suite.schema.json
    """
    from odebench.cli.pages import page

    Screen().data(page("schema", plugin or []))
