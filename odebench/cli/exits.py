"""How a command ends: errors as messages on stderr, and the exit codes that scripts rely on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from odebench.cli import interrupts
from odebench.cli.interrupts import INTERRUPTED
from odebench.errors import OdebenchError, SuiteError
from odebench.report.screen import Screen

FAULT = 70
BROKEN_PIPE = 141  # 128 + SIGPIPE, what a shell shows of any program whose reader has gone

CODES: dict[int, str] = {
    0: "all well",
    1: "a regression was found, or a solver failed check",
    2: "wrong usage, or an invalid suite or results file; nothing was run",
    3: "the run ended, and some cells are not ok (refused ones do not count)",
    4: "a gated metric cannot be told; only with --strict",
    5: "the filter selected nothing",
    FAULT: "a fault of odebench itself",
    INTERRUPTED: "interrupted; what was finished is saved",
}


class Commands(TyperGroup):
    """Turns errors into messages and exit codes, so that they are the same however the app is called."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command.

        Raises:
            Exit: with the code of INTERFACE for whatever went wrong.
        """
        interrupts.end_in_order()
        try:
            with _endings():
                return super().invoke(ctx)
        finally:
            interrupts.done()

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the words; `--help` and `--version` print and end here.

        Raises:
            Exit: as of `invoke`.
        """
        with _endings():
            return super().make_context(*args, **options)


@contextmanager
def _endings() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Whoever read our output has gone. Python would complain once more when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except OdebenchError as error:
        if error.exit_code == FAULT:
            fault(error)
        complain(error)
        raise typer.Exit(error.exit_code) from None
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except Exception as error:
        fault(error)


def complain(error: OdebenchError) -> None:
    """Print an error that odebench can explain; findings of a suite are located lines and stand as they are."""
    from odebench.report.text import plain

    if isinstance(error, SuiteError):
        lines = [plain(finding) for finding in error.findings]
    else:
        lines = [f"odebench: {plain(line)}" for line in str(error).splitlines() or [type(error).__name__]]
    Screen().tell("".join(f"{line}\n" for line in lines))


def fault(error: Exception) -> NoReturn:
    """Print an error that odebench cannot explain, briefly unless the environment asks for all of it.

    Raises:
        Exit: with 70.
    """
    from odebench.report.text import plain

    if os.environ.get("ODEBENCH_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError):  # a full disk, say
        Screen().tell(f"odebench: the system does not let odebench go on: {plain(error)}\n")
        raise typer.Exit(FAULT) from error
    Screen().tell(f"odebench: fault of odebench itself: {type(error).__name__}: {plain(error)}\n")
    if not os.environ.get("ODEBENCH_TRACEBACK"):
        Screen().tell("set ODEBENCH_TRACEBACK=1 to see where, and please report it\n")
    raise typer.Exit(FAULT) from error
