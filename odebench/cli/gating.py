"""What `compare`, `baseline update` and `run --baseline` do with results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.api import filter_of
from odebench.cli.running import Order, plan_of
from odebench.compare.policy import DEFAULT, PAIRED, Margin, Policy, read_margin
from odebench.compare.sides import Results, load, require_meeting, require_selection
from odebench.compare.stored import compare_results, confirmed, slower, with_provenance
from odebench.compare.verdicts import Comparison
from odebench.errors import UsageError
from odebench.record import Record
from odebench.report.screen import Format, Screen
from odebench.store import SUITE, key_of
from odebench.suite.select import Filter
from odebench.suite.spelling import Cursor

if TYPE_CHECKING:
    from odebench.execute.run import RunResult


@dataclass(frozen=True)
class Rules:
    """`--fail-on` and `--margin`, as they were given."""

    fail_on: str | None = None
    margin: str | None = None

    def policy(self, *sides: Results) -> Policy:
        """What they mean for these results. Nobody has asked for times of a baseline that holds none.

        Raises:
            UsageError: they mean nothing.
        """
        others = [name for side in sides for name in side.others]
        if self.fail_on is not None:
            return Policy.parse(self.fail_on, others, self._margin())
        policy = Policy.parse(DEFAULT, others, self._margin())
        timed = all(any("wall_seconds" in record.metrics for record in side.records) for side in sides)
        return policy if timed else policy.without_times()

    def _margin(self) -> Margin:
        if self.margin is None:
            return PAIRED
        cursor = Cursor(self.margin, "--margin")
        cursor.blanks()
        margin = read_margin(cursor)
        cursor.blanks()
        if cursor.peek() or not margin.relative:
            cursor.fail("a percentage such as 3%", 0)
        return margin


@dataclass(frozen=True)
class Shown:
    """How a comparison is to be told."""

    form: Format = Format.table
    output: str | None = None
    everything: bool = False
    strict: bool = False


def compare_stored(base: str, new: str, rules: Rules, where: str | None, screen: Screen, shown: Shown) -> int:
    """Compare two results, and print; the exit code."""
    chosen = filter_of(where)
    sides = load(base), load(new)
    policy = rules.policy(*sides)
    few = require_selection(*sides, chosen)
    return present(with_provenance(compare_results(*few, policy), *few), few[1].records, screen, shown)


def present(comparison: Comparison, records: Sequence[Record], screen: Screen, shown: Shown) -> int:
    """Print a comparison, or for the formats of records those of the new side; the exit code."""
    from odebench.report.output import MEASURED, exported
    from odebench.report.verdicts import lines_of_comparison, render

    if shown.form is Format.table and shown.output is None:
        screen.lines(lines_of_comparison(comparison, screen.width, shown.everything, shown.strict))
        return comparison.exit_code(shown.strict)
    text = exported(records, shown.form) if shown.form in MEASURED else render(comparison, shown.form, shown.strict)
    if shown.output is None:
        screen.data(text)
    else:
        _write(Path(shown.output), text)
    summarize(comparison, screen, shown.strict)
    return comparison.exit_code(shown.strict)


def summarize(comparison: Comparison, screen: Screen, strict: bool) -> None:
    """One line on stderr."""
    from odebench.report.findings import counts, ending

    screen.note(f"{counts(comparison)}: {ending(comparison, strict)}", "bold red" if comparison.failures else "bold")


@dataclass(frozen=True)
class Gate:
    """The baseline of one run, opened before it."""

    order: Order
    base: Results
    policy: Policy
    where: Filter | None
    strict: bool

    def close(self, result: RunResult, screen: Screen, form: Format) -> int:
        """Compare the run, measure again what is slower, and print; the exit code of the run."""
        suite = result.folder / SUITE
        new = Results(str(result.folder), result.records, suite).only(self.where)
        comparison = compare_results(self.base, new, self.policy)
        cells = slower(comparison)
        if cells:
            screen.note(f"slower than the baseline, so measured again: {len(cells)} cell{'s' * (len(cells) != 1)}")
            again = Results(new.name, tuple(self._measured_again(cells, suite)), suite)
            comparison = confirmed(comparison, compare_results(self.base, again, self.policy))
        self._print(comparison, screen, form)
        return 1 if comparison.failures else result.exit_code or comparison.exit_code(self.strict)

    def _measured_again(self, cells: set[tuple[str, str]], suite: Path) -> Iterable[Record]:
        from odebench.execute.planning import make_request
        from odebench.execute.run import run_suites

        only = Filter("slower than the baseline", lambda cell: key_of(cell) in cells)
        with tempfile.TemporaryDirectory(prefix="odebench-") as folder:
            request = make_request(self.order.request, suite)
            return run_suites(request, output=Path(folder), where=only).records

    def _print(self, comparison: Comparison, screen: Screen, form: Format) -> None:
        from odebench.report.layout import Line
        from odebench.report.verdicts import lines_of_comparison, render

        if form is Format.table:
            screen.lines([Line(""), *lines_of_comparison(comparison, screen.width, False, self.strict)])
            if screen.together:
                return
        elif form in (Format.markdown, Format.junit):
            screen.data(("\n" if form is Format.markdown else "") + render(comparison, form, self.strict))
        elif comparison.failures or not screen.quiet:
            # On stdout is the data of the run and nothing else.
            lines = lines_of_comparison(comparison, None, False, self.strict)
            screen.tell("".join(f"{line.text}\n" for line in lines))
            return
        summarize(comparison, screen, self.strict)


def open_gate(order: Order, baseline: str | None, fail_on: str | None, strict: bool) -> Gate | None:
    """The gate that a run has to pass, or None; whatever is wrong with it is found out here.

    Of the baseline count those cells that the run could have: of its suites and devices, and that its filter takes.

    Raises:
        UsageError: options or rules are wrong.
        ResultsError: the baseline cannot be read, or has no cell in common with the run.
    """
    if baseline is None:
        if fail_on is not None or strict:
            raise UsageError(
                "--fail-on and --strict are of a comparison; name what to compare with: --baseline RESULTS"
            )
        return None
    base = load(baseline)
    policy = Rules(fail_on).policy(base)
    plan, _, where = plan_of(order)
    overrides: dict[str, Any] = dict(order.request.get("overrides", {}))
    devices = {each.cell.device for each in plan.cells} if overrides.get("devices") else ()
    base = base.among([suite.name for suite in plan.suites], devices)
    planned = Results("this run", tuple(Record(each.cell, "planned") for each in plan.cells))
    few = require_selection(base, planned, where)
    require_meeting(*few)
    return Gate(order, few[0], policy, where, strict)


def update_baseline(base: str, new: str, prune: bool, screen: Screen) -> None:
    """Bring a baseline up to date, and tell what changed."""
    from odebench.compare.baseline import plan_update
    from odebench.report.text import plain

    update = plan_update(Path(base), load(new), prune)
    update.write()
    lines = [plain(f"{each.kind} {each.suite}: {each.cell}{_told(each.what)}") for each in update.changes]
    screen.data("".join(f"{line}\n" for line in lines if not update.created))
    cells = f"{update.cells} cell{'s' * (update.cells != 1)}"
    if update.created:
        screen.note(plain(f"{base}: made, with {cells}"))
    elif update.changes:
        screen.note(plain(f"{base}: {len(update.changes)} of {cells} updated"))
    else:
        screen.note(plain(f"{base}: nothing changed in its {cells}"))


def _told(what: Sequence[str]) -> str:
    return f": {', '.join(what)}" if what else ""


def _write(path: Path, text: str) -> None:
    from odebench.writing import deliver

    deliver(path, text, f"-o {path}")
