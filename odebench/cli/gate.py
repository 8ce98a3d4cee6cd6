"""The commands of the regression gate: `compare` and `baseline`."""

from __future__ import annotations

from typing import Annotated

import typer

from odebench.cli import complete
from odebench.cli.options import Devices, Form, NoColor, NoProgress, Plugins, Quiet, Rules, Strict, Where
from odebench.errors import UsageError
from odebench.report.screen import Format, Screen

Everything = Annotated[bool, typer.Option("--all", help="Also what is the same or better, or closes no gate.")]
Margin = Annotated[
    str | None, typer.Option(metavar="PERCENT", help="Of times whose rule has none: what is let pass. [default: 3%]")
]
Into = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write there instead of stdout.")]

baseline = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)


def compare(
    base: Annotated[
        str | None,
        typer.Argument(metavar="BASE", help="A results folder, or a CSV of one.", autocompletion=complete.results),
    ] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", help="What is compared with it.", autocompletion=complete.results)
    ] = None,
    fail_on: Rules = None,
    margin: Margin = None,
    strict: Strict = False,
    where: Where = None,
    everything: Everything = False,
    form: Form = Format.table,
    output: Into = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="SUITE", help="Measure now, on these cells; repeatable.", autocompletion=complete.suites),
    ] = None,
    base_code: Annotated[
        str | None, typer.Option("--base", metavar="REV", help="A git revision, a folder of code or an environment.")
    ] = None,
    new_code: Annotated[
        str | None, typer.Option("--new", metavar="REV", help="The same, to be judged. [default: the working tree]")
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge this solver: rk4 or my.py:NAME.", autocompletion=complete.solvers),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="By this one.", autocompletion=complete.solvers)
    ] = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="For times: 90s, 10m, 1h.")] = "10m",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random order.")] = 0,
    plugin: Plugins = None,
    device: Devices = None,
    no_progress: NoProgress = False,
    no_color: NoColor = False,
    quiet: Quiet = False,
) -> None:
    """A verdict for each cell and metric: better, same, worse, or cannot tell. Exit 1 on a regression.

    Of two results, what repeats exactly is judged: evaluations, steps, bytes, errors, status. With --suite both sides
    are measured now, and their times too: in turn, in fresh processes, until the verdict is clear.

    \b
    examples:
      odebench compare results/old results/new
      odebench compare base.csv results/new --fail-on "nfe_backward, peak_memory_bytes > 2%, status"
      odebench compare base.csv new.csv --format markdown -o verdicts.md
      odebench compare --suite my.yaml --base main
      odebench compare --suite quickstart --solver tsit5 --against dopri5 --budget 5m
    """
    from odebench.cli import gating

    screen = Screen(False if no_color else None, quiet, not no_progress)
    shown = gating.Shown(form, output, everything, strict)
    rules = gating.Rules(fail_on, margin)
    if suite:
        from odebench.cli import dueling

        if base is not None:
            raise UsageError(f"--suite measures now, and {base} is stored; compare results, or name --base and --new")
        duel = dueling.Duel(
            suite, base_code, new_code, solver, against, plugin or (), device or (), where, budget, seed
        )
        raise typer.Exit(dueling.compare_live(duel, rules, screen, shown))
    if any(each is not None for each in (base_code, new_code, solver, against)):
        raise UsageError("--base, --new, --solver and --against are measured now: name the cells with --suite")
    if base is None or new is None:
        raise UsageError("name two results to compare: odebench compare BASE NEW, or a --suite to measure now")
    raise typer.Exit(gating.compare_stored(base, new, rules, where, screen, shown))


def selftest(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="SUITE...", help="[default: selftest, which ships]", autocompletion=complete.suites),
    ] = None,
    levels: Annotated[str, typer.Option(metavar="PERCENT,…", help="Slowdowns; 0 is for false alarms.")] = "0,2,5,10,20",
    comparisons: Annotated[int, typer.Option(min=1, metavar="N", help="How many.")] = 5,
    budget: Annotated[str, typer.Option(metavar="TIME", help="For each of them: 90s, 10m.")] = "10m",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random order.")] = 0,
    form: Form = Format.table,
    no_color: NoColor = False,
    quiet: Quiet = False,
) -> None:
    """False-alarm rate and power of the gate on this machine, by planted regressions: slowdowns, evaluations, leaks.

    \b
    examples:
      odebench selftest
      odebench selftest my.yaml --levels 0,5 --comparisons 10 --format markdown
    """
    from odebench.cli import dueling

    asked = dueling.Trial(suites or ("selftest",), levels, comparisons, budget, seed)
    raise typer.Exit(dueling.run_selftest(asked, Screen(False if no_color else None, quiet), form))


@baseline.callback()
def baseline_() -> None:
    """Keep the baseline of a gate: a small CSV for git, of what repeats from run to run."""


@baseline.command(short_help="Rewrite the cells that changed.")
def update(
    base: Annotated[
        str,
        typer.Argument(
            metavar="BASE", help="The CSV to bring up to date; made if not there.", autocompletion=complete.results
        ),
    ],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="A results folder, or a CSV of one.", autocompletion=complete.results)
    ],
    prune: Annotated[bool, typer.Option("--prune", help="Drop cells that NEW lacks.")] = False,
    quiet: Quiet = False,
) -> None:
    """Rewrite in a baseline just the cells that changed, and say which.

    \b
    examples:
      odebench baseline update base.csv results/quickstart-2026-01-31T120000Z
    """
    from odebench.cli import gating

    gating.update_baseline(base, new, prune, Screen(quiet=quiet))
