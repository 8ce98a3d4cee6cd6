"""Two sides measured now: what can be counted by one run of each, times against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from odebench.compare.belonging import require_own_code
from odebench.compare.duel import TIMES, Bout, Limits, Match, Watcher, fight
from odebench.compare.evidence import Test, disturbed, floor_of, stage_level
from odebench.compare.loaded import look_at
from odebench.compare.policy import NOISY, Policy
from odebench.compare.runs import Part, plugins_of, run_both
from odebench.compare.sameness import same_code
from odebench.compare.stored import SAME_CODE, compare_records
from odebench.compare.trees import Tree, open_tree
from odebench.compare.undecided import what_would_tell
from odebench.compare.verdicts import Comparison, Finding, Noise, Verdict, worst_first
from odebench.errors import UsageError
from odebench.execute.planning import prepare_plan
from odebench.record import Record

ALPHA = 0.05  # of one false alarm among all cells and metrics of a comparison


@dataclass(frozen=True)
class Side:
    """What is compared: code, as `open_tree` takes it, and the one solver it is to run instead of the suite's."""

    code: str = "."
    solver: str | None = None


@dataclass(frozen=True)
class Question:
    """One live comparison. `request` is as `plan.prepare` takes it, without solvers."""

    request: Mapping[str, Any]
    base: Side
    new: Side
    policy: Policy
    where: str | None = None
    limits: Limits = field(default_factory=Limits)


def compare_live(question: Question, watcher: Watcher | None = None) -> Comparison:
    """The verdicts.

    Raises:
        UsageError: a side is not there, or cannot run the suite.
        NothingSelected: the filter leaves no cell.
        OdebenchError: a side's processes cannot be started.
    """
    margins = _margins(question.policy)
    with ExitStack() as ending:
        base, new = _parts(question, ending)
        same = False
        if not _two_solvers_of_one_tree(question, base, new):
            (base, new), same = _looked_at(base, new)
        before, after = run_both(base, new, question.where)
        if question.base.solver is not None:
            before = _under_one_name(before, after)
        labels = (_label(question.base, base.tree), _label(question.new, new.tree))
        counted = compare_records(before, after, question.policy, *labels)
        if same and question.base.solver is None:
            # What repeats was compared all the same: data may differ where code does not. Times could only mislead.
            told = f"{SAME_CODE}, so that no times were measured"
            return replace(counted, findings=_exact(counted), notes=(told, *counted.notes))
        bouts = _bouts(base, before, after, question.base.solver is not None, margins)
        rounds = fight(bouts, base.tree, new.tree, question.limits, watcher) if bouts else 0
        return _together(counted, bouts, rounds, question.policy)


def _parts(question: Question, ending: ExitStack) -> tuple[Part, Part]:
    trees: dict[str, Tree] = {}
    parts = []
    for side in (question.base, question.new):
        if side.code not in trees:
            trees[side.code] = ending.enter_context(open_tree(side.code))
        only = {"only_solvers": [side.solver]} if side.solver is not None else {}
        overrides = {**question.request.get("overrides", {}), **only}
        parts.append(Part(trees[side.code], prepare_plan({**question.request, "overrides": overrides}).suites))
    return parts[0], parts[1]


def _two_solvers_of_one_tree(question: Question, base: Part, new: Part) -> bool:
    one = base.tree is new.tree or (base.tree.root, base.tree.python) == (new.tree.root, new.tree.python)
    return one and question.base.solver is not None


def _looked_at(base: Part, new: Part) -> tuple[tuple[Part, Part], bool]:
    """The sides after each was seen to load its own code, and whether that is the same on both.

    Processes of them that load something else later on will be noticed.
    """
    plugins = dict.fromkeys(each for part in (base, new) for suite in part.suites for each in suite.plugins)
    sides = look_at((base.tree, new.tree), list(plugins))
    require_own_code(*sides)
    one, two = (
        replace(part, tree=replace(part.tree, sources=side.sources))
        for part, side in zip((base, new), sides, strict=True)
    )
    return (one, two), same_code(*sides)


def _exact(counted: Comparison) -> tuple[Finding, ...]:
    """All findings but those of times: an ordinary run was not made for them."""
    return tuple(each for each in counted.findings if each.metric not in NOISY)


def _label(side: Side, tree: Tree) -> str:
    return tree.label if side.solver is None else side.solver


def _under_one_name(before: Sequence[Record], after: Sequence[Record]) -> list[Record]:
    """The base's records as if its solver were the new one, so that cells meet."""
    names = {record.cell.solver for record in after}
    if len(names) != 1:
        raise UsageError(f"one solver is to be compared with one; got {', '.join(map(str, names)) or 'none'}")
    (name,) = names
    return [replace(each, cell=replace(each.cell, solver=name)) for each in before]


def _bouts(
    base: Part, before: Sequence[Record], after: Sequence[Record], named: bool, margins: Mapping[str, float]
) -> list[Bout]:
    """One for each cell that both sides could measure and each metric of time; `named`: the base has its own solver."""
    there = {(each.cell.suite, each.cell.key): each for each in before if each.status == "ok"}
    matches = []
    for record in after:
        cell = record.cell
        if record.status != "ok" or (cell.suite, cell.key) not in there:
            continue
        own = base.suites[0].solvers[0] if named else cell.solver
        measure = next(suite.measure for suite in base.suites if suite.name == cell.suite)
        plugins = plugins_of(base.suites, cell.suite)
        matches.append(Match(replace(cell, solver=own), cell, plugins, measure.to_data()))
    level = stage_level(max(len(matches) * len(margins), 1), ALPHA)
    return [Bout(match, name, Test(margin, level)) for match in matches for name, margin in margins.items()]


def _margins(policy: Policy) -> dict[str, float]:
    """Metric of time -> the fraction that is let pass, for those that the policy gates.

    Raises:
        UsageError: a rule has an amount of seconds, which no other machine and no other day would understand.
    """
    found = {name: policy.margin(name) for name in TIMES if policy.gates(name)}
    for name, margin in found.items():
        if not margin.relative:
            raise UsageError(f"{name} > {margin}: times are compared as ratios; give the margin in percent")
    return {name: margin.amount for name, margin in found.items()}


def _together(counted: Comparison, bouts: Sequence[Bout], rounds: int, policy: Policy) -> Comparison:
    spoiled = {id(each) for each in bouts if disturbed(each.control, each.test)}
    timed = [_finding(each, id(each) in spoiled) for each in bouts]
    notes = [*counted.notes]
    if bouts:
        pairs = sum(len(each.ratios) for each in bouts)
        notes.append(f"times: {rounds} rounds of three fresh processes (base, base again, new), {pairs} paired samples")
    samples = {
        f"{each.match.new.suite}: {each.match.new.key}: {each.metric}": {
            "seconds" if each.metric.endswith("_seconds") else "values": each.values,
            "log_ratios": each.ratios, "log_ratios_of_base_again": each.control,
        }
        for each in bouts
    }  # fmt: skip
    noise = tuple(found for each in bouts if (found := _noise(each)) is not None)
    findings = worst_first([*_exact(counted), *timed])
    return Comparison(counted.base, counted.new, findings, noise, str(policy), tuple(notes), samples)


def _finding(bout: Bout, spoiled: bool) -> Finding:
    cell, test = bout.match.new, bout.test
    verdict, note = test.verdict or Verdict.UNCLEAR, ""
    if bout.trouble:
        verdict, note = Verdict.UNCLEAR, bout.trouble
    elif spoiled:
        verdict = Verdict.UNCLEAR
        note = "the base measured twice differs from itself by more than the margin; free the machine and compare again"
    elif verdict is Verdict.UNCLEAR:
        note = what_would_tell(test)
    interval = test.interval
    return Finding(
        cell.suite, cell.key, bout.metric, verdict,
        base=_typical([*bout.values["base"], *bout.values["again"]]), new=_typical(bout.values["new"]),
        ratio=test.estimate, low=interval.low if interval else None, high=interval.high if interval else None,
        margin=test.margin, note=note, samples=len(bout.ratios),
    )  # fmt: skip


def _noise(bout: Bout) -> Noise | None:
    floor = floor_of(bout.control, bout.test)
    if floor is None:
        return None
    cell = bout.match.new
    return Noise(cell.suite, cell.key, bout.metric, floor.ratio, floor.low, floor.high, floor.spread, floor.detectable)


def _typical(values: Sequence[float]) -> float | None:
    return median(values) if values else None
