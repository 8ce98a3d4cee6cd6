"""What `run`, `run --dry-run` and `validate` do with a request."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odebench.api import filter_of
from odebench.cli.advising import tell_advice
from odebench.cli.forecasting import tell_time
from odebench.cli.interrupts import INTERRUPTED
from odebench.cli.progress import Progress
from odebench.errors import NothingSelected, ResultsError
from odebench.record import AXES, Record
from odebench.report.layout import Line
from odebench.report.output import report, write
from odebench.report.screen import Format, Screen
from odebench.report.table import arrange, chosen_table
from odebench.report.text import UNLIMITED, fold, plain
from odebench.report.versions import notes_of
from odebench.store import key_of

if TYPE_CHECKING:
    from odebench.cli.gating import Gate
    from odebench.plan import Plan, Planned
    from odebench.store import Key
    from odebench.suite.select import Filter

SAMPLE = 4  # squares named of those refused for one reason


@dataclass(frozen=True)
class Order:
    """One `odebench run`, as it was asked for."""

    request: Mapping[str, Any]
    output: str | None = None
    resume: str | None = None
    where: str | None = None
    jobs: int = 1


def perform(order: Order, screen: Screen, form: Format, gate: Gate | None = None) -> int:
    """Run, print, and compare where there is a gate; the exit code."""
    from odebench.execute.run import run_suites

    rows = form is Format.table and screen.live_rows
    progress = Progress(screen, rows)
    try:
        with progress:
            result = run_suites(
                order.request,
                output=_path(order.output),
                resume=_path(order.resume),
                where=filter_of(order.where),
                jobs=order.jobs,
                observer=progress,
            )
    except KeyboardInterrupt:
        if progress.folder is not None:
            screen.note(progress.summary())
            # Not a note: quiet or not, whoever waits for the rest needs this line.
            screen.complain(f"interrupted; to go on: {resume_line(order, progress.folder)}")
        return INTERRUPTED
    if progress.sheet is not None:
        tell_left_out(progress.sheet.place.left_out, result.folder, screen)
        for note in notes_of(result.records):
            screen.note(note)
    elif form is not Format.junit:  # it is of verdicts only
        report(result.records, screen, form)
    screen.note(progress.summary())
    tell_advice(result.records, screen, result.folder)
    return result.exit_code if gate is None else gate.close(result, screen, form)


def tell_left_out(columns: Sequence[str], folder: Path, screen: Screen) -> None:
    """Which figures the rows had no room for."""
    if columns and screen.width:
        told = f"no room for {', '.join(columns)}: {shlex.join(['odebench', 'show', str(folder)])} has it"
        for line in fold(told, screen.width, 2):
            screen.note(line, "dim")


def resume_line(order: Order, folder: Path) -> str:
    """The command that runs what is missing. Suites, plugins, overrides and filter are in the folder; jobs are not."""
    words = ["odebench", "run", "--resume", str(folder)]
    words += ["--jobs", str(order.jobs)] if order.jobs != 1 else []
    return shlex.join(words)


def rehearse(order: Order, screen: Screen, form: Format) -> int:
    """Print the cells that a run would take, and what it would refuse; touch nothing."""
    plan, done, where = plan_of(order)
    cells = [each for each in plan.cells if where is None or where.matches(each.cell)]
    if not cells:
        raise NothingSelected(f"-k {order.where!r} selects none of the {len(plan.cells)} cells")
    there = [each for each in cells if key_of(each.cell) in done]
    cells = [each for each in cells if key_of(each.cell) not in done]
    records = [Record(each.cell, "refused" if each.refusal else "planned", each.refusal or "") for each in cells]
    rows = chosen_table(records, ("suite", "cell", *AXES, "status", "reason"))
    reads = form in (Format.table, Format.markdown)
    write(arrange(rows.rows, ()) if reads else rows, screen, form)
    already = f"; {len(there)} done already" if there else ""
    screen.note(f"{census(cells)}{already}; {plan.excluded} excluded by the suite; nothing was run")
    if reads:  # programs do not wait for an estimate
        tell_time(cells, plan.suites, order.jobs, order.resume, screen)
    return 0


def validate(request: Mapping[str, Any], screen: Screen) -> None:
    """Print how many cells each suite has, and which of them are refused, by reason.

    Raises:
        SuiteError: a suite is invalid.
    """
    from odebench.execute.planning import prepare_plan

    plan = prepare_plan(request)
    lines = []
    for name in dict.fromkeys(suite.name for suite in plan.suites):  # a suite may be several documents
        cells = [each for each in plan.cells if each.cell.suite == name]
        lines.append(Line(f"{name}: {census(cells)}", "bold"))
        lines += list(refusals(cells, screen.width))
    if plan.excluded:
        lines.append(Line("1 square is excluded" if plan.excluded == 1 else f"{plan.excluded} squares are excluded"))
    screen.lines(lines)


def plan_of(order: Order) -> tuple[Plan, set[Key], Filter | None]:
    """(the whole plan, what an earlier run has done of it, the filter)."""
    from odebench.execute.folder import resumable
    from odebench.execute.originals import importable
    from odebench.execute.planning import make_request, prepare_plan
    from odebench.store import read_results

    where = filter_of(order.where)
    if order.resume is None:
        return prepare_plan(order.request), set(), where
    folder = Path(order.resume)
    named = bool(order.request["suites"])
    source = resumable(folder, named)
    with importable(folder):
        plan = prepare_plan(make_request(order.request, source.suite))
    try:
        done = {key_of(record.cell) for record in read_results(folder)}
    except ResultsError:
        # A run may end before its first cell.
        done = set()
    return plan, done, where if where is not None or named else source.filter()


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def census(cells: Iterable[Planned]) -> str:
    """`48 cells, 40 to measure, 8 refused`."""
    counts = Counter(each.refusal is None for each in cells)
    total = counts.total()
    return f"{total} cell{'s' * (total != 1)}, {counts[True]} to measure, {counts[False]} refused"


def refusals(cells: Iterable[Planned], width: int | None) -> Iterable[Line]:
    """One block for each reason: how often, why, and the first few squares."""
    # Reasons name the solver; those that differ in nothing else are one, told of the first.
    reasons: dict[str, tuple[str, list[str]]] = {}
    for each in cells:
        if each.refusal is not None:
            solver = str(each.cell.solver)
            _, squares = reasons.setdefault(each.refusal.removeprefix(solver), (each.refusal, []))
            squares.append(f"{solver} with {each.cell.gradient}")
    for reason, squares in reasons.values():
        named = list(dict.fromkeys(squares))
        more = f", and {len(named) - SAMPLE} more" if len(named) > SAMPLE else ""
        told = plain(f"{len(squares)} refused: {reason} ({', '.join(named[:SAMPLE])}{more})")
        for text in fold(told, (width or UNLIMITED) - 2, 2):
            yield Line(f"  {text}")
