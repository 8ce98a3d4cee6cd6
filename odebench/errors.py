"""Every error odebench raises on purpose. Each message says what, what it got, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches


class OdebenchError(Exception):
    """Anything odebench can explain; `exit_code` is what the command line ends with."""

    exit_code = 70


class UsageError(OdebenchError):
    """The call itself is wrong: an unknown name, a bad filter, a folder that is not empty."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is in no registry."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"no {kind} is called {name!r}{did_you_mean(name, names)}")
        self.kind, self.name, self.known = kind, name, names


class OptionError(UsageError):
    """An option that a solver, gradient, problem or stepping does not take, or a value it refuses.

    `path` leads from the options mapping to the value at fault, so that a suite can point at it.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


class SuiteError(UsageError):
    """A suite that cannot be run; `findings` are located lines, all of them at once."""

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))


class ResultsError(UsageError):
    """A results folder or CSV that cannot be read."""


class NothingSelected(OdebenchError):
    """The filter left no cell."""

    exit_code = 5


class Refusal(OdebenchError):
    """A combination that cannot be computed, found out only where it was asked for."""

    exit_code = 2


class SolveError(OdebenchError, AssertionError):
    """A solve that cannot go on: the step size underflowed, or the step limit was reached.

    An AssertionError too, since torchdiffeq raises one there, and programs catch it to try something else.
    """


class Divergence(SolveError):
    """The solution, an error estimate or a gradient is not finite; `metrics` holds what was measured all the same."""

    def __init__(self, message: str, metrics: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.metrics = dict(metrics or {})


class OutOfReach(OdebenchError):
    """No setting that may be tried meets the error that was asked for."""


class DataError(UsageError):
    """A data file of the user's that is missing, truncated or corrupted; nothing of it was read."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of a message: `; did you mean 'dopri5'?`, or nothing when no name is near."""
    near = get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
