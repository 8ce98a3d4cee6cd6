"""The gate put to the test on this machine: regressions of known size are planted, and its verdicts are counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import exp
from statistics import median
from typing import Any

from odebench.compare.duel import Bout, Limits, Match, fight
from odebench.compare.evidence import Test, spread, stage_level
from odebench.compare.live import ALPHA
from odebench.compare.policy import Policy
from odebench.compare.runs import Part, plugins_of, run_both
from odebench.compare.stored import compare_records
from odebench.compare.trees import Tree, open_tree
from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError
from odebench.execute.planning import prepare_plan
from odebench.record import Record
from odebench.spec import Spec
from odebench.suite.loading import Suite

PLUGIN = "odebench.measure.planted"
LEVELS = (0.0, 2.0, 5.0, 10.0, 20.0)  # percent
MARGIN = 0.03
_LEAK = 0.01  # of the least peak among the cells

Say = Callable[[str], None]


@dataclass
class Tally:
    """Verdicts on one planted fault."""

    fault: str
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    effects: list[float] = field(default_factory=list)  # ratios found, one of each verdict
    seconds: list[float] = field(default_factory=list)  # what a comparison took

    @property
    def total(self) -> int:
        """All verdicts."""
        return self.verdicts.total()

    @property
    def share(self) -> float:
        """Of `worse`: false alarms where nothing was planted, else power, against which "cannot tell" counts."""
        return self.verdicts[Verdict.WORSE] / self.total if self.total else 0.0

    @property
    def effect(self) -> float | None:
        """The median ratio that was found."""
        return median(self.effects) if self.effects else None


@dataclass(frozen=True)
class Outcome:
    """What a self-test found. `rounds` are those of each comparison."""

    exact: tuple[Tally, ...]
    times: tuple[Tally, ...]
    cells: int
    comparisons: int
    rounds: tuple[int, ...]
    seconds: float
    spread: float | None  # standard deviation of the A/A log-ratios, the wild ones aside


def selftest(
    request: Mapping[str, Any],
    levels: Sequence[float] = LEVELS,
    comparisons: int = 5,
    limits: Limits | None = None,
    say: Say = lambda _: None,
) -> Outcome:
    """Plant, compare, count.

    Args:
        request: the suite, as `plan.prepare` takes it; its native cells that can be measured are used.
        levels: slowdowns in percent; 0 is for false alarms. All of them are judged in each comparison.
        comparisons: how often, each with processes of its own.
        limits: of each comparison.

    An interrupt ends it with the comparisons that are whole.

    Raises:
        UsageError: the suite has no cell that can be used, or a level is negative.
    """
    limits, started = limits or Limits(), time.monotonic()
    if not levels or min(levels) < 0:
        raise UsageError(f"--levels are slowdowns in percent, none of them negative; got {list(levels)}")
    suites = prepare_plan({**request, "plugins": [*request.get("plugins", ()), PLUGIN]}).suites
    with open_tree(".") as tree:
        plain = tuple(_planted(suite, {}) for suite in suites)
        exact, records = _exact(tree, suites, plain, say)
        usable = [each for each in records if each.status == "ok"]
        times = [Tally(f"{level:g} % slower" if level else "nothing") for level in levels]
        rounds, controls = [], []
        with suppress(KeyboardInterrupt):  # what is whole is told
            for number in range(comparisons):
                bouts = _bouts(usable, levels, plain)
                say(f"comparison {number + 1} of {comparisons}: {len(bouts)} verdicts on times")
                began = time.monotonic()
                rounds.append(fight(bouts, tree, tree, replace(limits, seed=limits.seed + number)))
                for tally, group in zip(times, _by_level(bouts, len(levels)), strict=True):
                    _count(tally, group, time.monotonic() - began)
                controls += [value for bout in bouts for value in bout.control]
                say("; ".join(f"{each.fault}: {each.verdicts[Verdict.WORSE]} of {each.total} worse" for each in times))
    took = time.monotonic() - started
    noise = spread(controls) if controls else None
    return Outcome(exact, tuple(times), len(usable), len(rounds), tuple(rounds), took, noise)


def _planted(suite: Suite, fault: Mapping[str, Any]) -> Suite:
    """The suite with each solver of odebench's own behind `planted`; rules about solvers no longer apply."""
    solvers = tuple(_spec(solver, fault) for solver in suite.solvers if "." not in solver.name)
    rules = tuple(rule for rule in suite.exclude if "solver" not in dict(rule.wanted))
    if not solvers:
        raise UsageError(f"suite {suite.name} has no solver of odebench's own, in which something could be planted")
    return replace(suite, solvers=solvers, exclude=rules, plugins=tuple(dict.fromkeys([*suite.plugins, PLUGIN])))


def _spec(solver: Spec, fault: Mapping[str, Any]) -> Spec:
    return Spec.of("planted", {"base": solver, **fault})


def _exact(
    tree: Tree, suites: Sequence[Suite], plain: tuple[Suite, ...], say: Say
) -> tuple[tuple[Tally, ...], list[Record]]:
    """Verdicts on what can be counted, each from one run of either side; and the records of the base."""
    tallies: list[Tally] = []
    records: list[Record] = []
    peak = 100
    for name, metric in (("evaluations", "nfe_forward"), ("leak", "peak_memory_bytes")):
        amount = 1 if name == "evaluations" else max(1, int(_LEAK * peak))
        fault = {name: amount}
        told = "one evaluation of f more in each solve" if name == "evaluations" else f"{amount} bytes more (1 %)"
        say(f"exact metrics: {told}")
        began = time.monotonic()
        records, after = run_both(Part(tree, plain), Part(tree, tuple(_planted(each, fault) for each in suites)), None)
        peak = min((int(each.metrics["peak_memory_bytes"]) for each in records if each.status == "ok"), default=100)
        again = [_base_again(each) for each in after]
        findings = compare_records(records, again, Policy.parse(metric), "base", told).findings
        tally = Tally(told, seconds=[time.monotonic() - began])
        tally.verdicts.update(each.verdict for each in findings if each.metric == metric)
        tallies.append(tally)
    return tuple(tallies), records


def _base_again(record: Record) -> Record:
    """Under the name of the cell without the fault."""
    base = dict(record.cell.solver.options)["base"]
    return replace(record, cell=replace(record.cell, solver=_spec(base, {})))


def _bouts(records: Iterable[Record], levels: Sequence[float], suites: Sequence[Suite]) -> list[Bout]:
    matches = []
    for record in records:
        cell = record.cell
        base = dict(cell.solver.options)["base"]
        measure = next(suite.measure for suite in suites if suite.name == cell.suite).to_data()
        for level in levels:
            slow = replace(cell, solver=_spec(base, {"slow": level / 100}))
            matches.append(Match(cell, slow, plugins_of(suites, cell.suite), measure))
    level = stage_level(max(len(matches), 1), ALPHA)
    return [Bout(match, "wall_seconds", Test(MARGIN, level)) for match in matches]


def _by_level(bouts: Sequence[Bout], levels: int) -> list[list[Bout]]:
    return [list(bouts[index::levels]) for index in range(levels)]


def _count(tally: Tally, bouts: Iterable[Bout], seconds: float) -> None:
    for bout in bouts:
        tally.verdicts[bout.test.verdict or Verdict.UNCLEAR] += 1
        if bout.ratios:
            tally.effects.append(exp(median(bout.ratios)))
    tally.seconds.append(seconds)
