"""What `compare --suite …` and `selftest` do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odebench.api import filter_of, request_of, spelling_of
from odebench.errors import UsageError
from odebench.report.screen import Format, Screen
from odebench.report.units import seconds

if TYPE_CHECKING:
    from odebench.cli.gating import Rules, Shown
    from odebench.compare.duel import Bout, Limits

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
ERASE = "\r\x1b[2K"


@dataclass(frozen=True)
class Duel:
    """A live comparison, as it was asked for."""

    suites: Sequence[str]
    base: str | None = None
    new: str | None = None
    solver: str | None = None
    against: str | None = None
    plugins: Sequence[str] = ()
    devices: Sequence[str] = ()
    where: str | None = None
    budget: str = "10m"
    seed: int = 0

    def limits(self) -> Limits:
        """Of time and chance.

        Raises:
            UsageError: the budget cannot be read.
        """
        from odebench.compare.duel import Limits

        return Limits(budget=duration(self.budget), seed=self.seed)


def compare_live(asked: Duel, rules: Rules, screen: Screen, shown: Shown) -> int:
    """Measure both sides, and print; the exit code.

    Raises:
        UsageError: it is not clear what the sides are, or one of them is not there.
    """
    from odebench.cli.gating import present
    from odebench.compare.live import Question, Side
    from odebench.compare.live import compare_live as measure
    from odebench.report.output import MEASURED

    if shown.form in MEASURED:
        raise UsageError(f"--format {shown.form} is of stored results; compare two results folders for it")
    if (asked.solver is None) != (asked.against is None):
        raise UsageError("--solver and --against go together: the new solver, and the one it is compared with")
    if asked.solver is None and asked.base is None:
        raise UsageError(
            "name what to compare with: --base REV (a revision, a folder or an environment), or --solver A --against B"
        )
    code = asked.new or "."
    base = Side(asked.base or code, _solver(asked.against))
    question = Question(
        _request(asked), base, Side(code, _solver(asked.solver)), rules.policy(), asked.where, asked.limits()
    )
    filter_of(asked.where)  # a filter that cannot be read is found before anything is unpacked
    watcher = Watch(screen)
    try:
        comparison = measure(question, watcher)
    finally:
        watcher.clear()
    return present(comparison, (), screen, shown)


@dataclass(frozen=True)
class Trial:
    """A self-test, as it was asked for."""

    suites: Sequence[str] = ("selftest",)
    levels: str = "0,2,5,10,20"
    comparisons: int = 5
    budget: str = "10m"
    seed: int = 0


def run_selftest(asked: Trial, screen: Screen, form: Format) -> int:
    """Put the gate to the test, and print the table; 0."""
    from odebench.compare.duel import Limits
    from odebench.compare.selftest import selftest
    from odebench.report.selftest import lines_of_outcome, render

    try:
        levels = [float(each) for each in asked.levels.split(",")]
    except ValueError as error:
        raise UsageError(f"--levels are slowdowns in percent such as 0,5,10; got {asked.levels!r}") from error
    limits = Limits(budget=duration(asked.budget), seed=asked.seed)
    outcome = selftest(request_of(asked.suites), levels, asked.comparisons, limits, screen.note)
    if form is Format.table:
        screen.lines(lines_of_outcome(outcome, screen.width))
    else:
        screen.data(render(outcome, form))
    return 0


@dataclass
class Watch:
    """Shows how a duel goes: one line on a terminal, nothing elsewhere."""

    screen: Screen
    began: float = field(default_factory=time.monotonic)

    def round_done(self, rounds: int, bouts: Sequence[Bout], spent: float, budget: float) -> None:
        """After each round."""
        if self.screen.live_line:
            left = sum(each.open for each in bouts)
            suspect = sum(each.open and each.test.stage == 2 for each in bouts)
            told = f"round {rounds}: {left} of {len(bouts)} open"
            told += f", {suspect} slower and measured again" if suspect else ""
            self.screen.tell(f"{ERASE}{told}; {seconds(spent)} of {seconds(budget)}")

    def clear(self) -> None:
        """Leave no line behind."""
        if self.screen.live_line:
            self.screen.tell(ERASE)


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m` or `1.5h`.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not found or not float(found[1]):
        raise UsageError(f"--budget takes a time such as 90s, 10m or 1.5h; got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _request(asked: Duel) -> dict[str, Any]:
    """A solver `FILE.py:NAME` brings its file along."""
    named = [each for each in (asked.solver, asked.against) if each is not None]
    request = request_of(asked.suites, asked.plugins, named, asked.devices)
    request["overrides"].pop("solvers", None)
    return request


def _solver(text: str | None) -> str | None:
    if text is None:
        return None
    _, colon, name = text.rpartition(".py:")
    return spelling_of(name if colon else text)
