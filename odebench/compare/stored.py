"""Two sets of records -> a comparison. What is exact is told at once; of stored times hardly anything can be told.

Two runs of the same code, one after the other, differ in their times by whatever else the machine had to do, and no
number of repeats in a run makes up for it. So a stored time is at best worse by more than any run has been seen to
stray, and else a case for a comparison in pairs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, isfinite, isnan

from odebench.compare.policy import CONTEXT, EXACT, NOISY, STATUS, Margin, Policy
from odebench.compare.sides import Results, require_meeting
from odebench.compare.verdicts import Comparison, Finding, Verdict, worst_first
from odebench.record import METRICS, Record
from odebench.store import Key

# How far two stored times of the same code may be apart. Measured: quickstart with `direct`, `aca` and `reversible`
# (10 cells), 32 runs each with 6 and with 10 repeats, in turn, on two cores of a shared machine, one of them kept busy
# by a pinned endless loop and the other by a loop that came and went; all 4960 pairs of runs of one cell per metric.
# Largest ratio with 6 and with 10 repeats: overhead 3.7 and 5.2, overhead_forward 5.5 and 5.6, wall_seconds 4.0 and
# 2.9, forward_seconds 4.1 and 4.7, backward_seconds 5.8 and 3.9, first_call_seconds 6.3 and 3.8.
# Overheads are paired inside a run, and half of them differ by less than a twentieth; but where the loop next door
# happens to sit on all the solves of a cell and not on its bare loops, the median goes along. So there is one floor.
STORED_FACTOR = 10.0

SAME_CODE = "the same code on both sides"

# Below it a median is worth nothing: with one repeat, overhead_forward differed by a factor of up to 124.
FEWEST_REPEATS = 6

_MEMORY = EXACT[-3:]
_GAUGE = "peak_memory_bytes is "  # how a note begins that tells of a gauge other than torch's


def compare_results(base: Results, new: Results, policy: Policy) -> Comparison:
    """All cells of both sides, exact figures and errors by `policy`, times as far as stored times go.

    Noisy metrics that no rule names are only told where they are beyond all noise.

    Raises:
        ResultsError: no cell is on both sides.
    """
    require_meeting(base, new)
    words = words_that_tell(base, new)
    before, after = base.cells, new.cells
    findings = [
        finding
        for key in dict.fromkeys([*before, *after])
        for finding in compare_cell(before.get(key), after.get(key), policy, words)
    ]
    notes = tuple(_notes(base.records, new.records, findings, policy))
    return Comparison(base.name, new.name, worst_first(findings), policy=str(policy), notes=notes)


def compare_records(
    base: Sequence[Record], new: Sequence[Record], policy: Policy, base_name: str, new_name: str
) -> Comparison:
    """The same of records at hand."""
    return compare_results(Results(base_name, tuple(base)), Results(new_name, tuple(new)), policy)


def with_provenance(comparison: Comparison, base: Results, new: Results) -> Comparison:
    """`comparison` with a note where every cell that has a plug-in behind it has the same sources of it on both sides.

    Nobody else tells whoever measured an installed package twice.
    """
    after = new.cells
    both = [(record, after[key]) for key, record in base.cells.items() if key in after]
    digests = [(one.plugin_digest, two.plugin_digest) for one, two in both if one.plugin_digest or two.plugin_digest]
    if not digests or any(one != two for one, two in digests):
        return comparison
    note = f"{SAME_CODE}: the sources of all plug-ins are equal"
    return replace(comparison, notes=(note, *comparison.notes))


def confirmed(first: Comparison, second: Comparison) -> Comparison:
    """`first`, where times are worse only if they are so in `second` too, which measured them again.

    The figures are those of the second then: the first were picked for being large.
    """
    again = {(each.suite, each.cell, each.metric): each for each in second.findings}
    findings = [_again(each, again.get((each.suite, each.cell, each.metric))) for each in first.findings]
    return replace(first, findings=worst_first(findings))


def slower(comparison: Comparison) -> set[Key]:
    """The cells whose times are worse."""
    worse = [each for each in comparison.findings if each.verdict is Verdict.WORSE and each.metric in NOISY]
    return {(each.suite, each.cell) for each in worse}


def _again(first: Finding, second: Finding | None) -> Finding:
    if first.verdict is not Verdict.WORSE or first.metric not in NOISY:
        return first
    if second is not None and second.verdict is Verdict.WORSE:
        return second
    told = "and could not be measured again" if second is None or second.ratio is None else f"{second.ratio:.3g} again"
    note = f"the ratio was {first.ratio or inf:.3g} at first, {told}"
    return replace(first, verdict=Verdict.UNCLEAR, note=note)


def compare_cell(base: Record | None, new: Record | None, policy: Policy, words: str) -> Iterator[Finding]:
    """The findings of one cell, one of which is of its status; `words` are the command that would tell of times."""
    yield _status(base, new, policy.gates(STATUS))
    if base is None or new is None:
        return
    plugins = [name for name in policy.rules if name not in METRICS and name != STATUS]
    for metric in (*(name for name in METRICS if name not in CONTEXT), *plugins):
        finding = _metric(metric, base, new, policy, words)
        if finding is not None:
            yield finding


def words_that_tell(base: Results, new: Results) -> str:
    """The command that compares the two sides in pairs; what results do not tell stands in it in capitals."""
    suites = [str(new.suite)] if new.suite else list(dict.fromkeys(record.cell.suite for record in new.records))
    commits = [_commit(side.records) for side in (base, new)]
    if commits[0] == commits[1]:
        commits = ["", ""]  # the same code, or none that git knows: only the user knows what differs
    named = [word for suite in suites for word in ("--suite", suite)]
    sides = ["--base", commits[0] or "REV", "--new", commits[1] or "."]
    return shlex.join(["odebench", "compare", *named, *sides])


def _commit(records: Sequence[Record]) -> str:
    """The one commit all of them are of; empty if there is none that could be had again."""
    commits = {record.commit for record in records}
    (commit,) = commits if len(commits) == 1 else ("",)
    return commit if re.fullmatch("[0-9a-f]{7,40}", commit) else ""  # not one of a dirty tree


def _status(base: Record | None, new: Record | None, gated: bool) -> Finding:
    told = base or new
    assert told is not None
    before, after = (None if each is None else each.status for each in (base, new))
    verdict, note = Verdict.SAME, ""
    if new is None:
        verdict, note = Verdict.MISSING, "the base has this cell, and the new results have not"
    elif base is None:
        verdict = Verdict.NEW
    elif before != after:
        note = new.reason or base.reason
        if after == "ok":
            verdict = Verdict.BETTER
        elif before in ("ok", "refused"):
            verdict = Verdict.WORSE
    return Finding(told.cell.suite, told.cell.key, STATUS, verdict, before, after, gated=gated, note=note)


def _metric(metric: str, base: Record, new: Record, policy: Policy, words: str) -> Finding | None:
    before, after = base.metrics.get(metric), new.metrics.get(metric)
    gated = policy.gates(metric)
    margin = policy.margin(metric)
    verdict, note, low, high = Verdict.UNCLEAR, "", None, None
    if before is None or after is None:
        if before is after or not gated or base.status != new.status:
            return None
        note = f"not measured in the {'base' if before is None else 'new results'}"
    elif metric in NOISY:
        trouble = _untimed(metric, base, new, words)
        if trouble:
            note = trouble
        else:
            verdict, note = _noisy(before, after, margin, words)
            low, high = after / before / STORED_FACTOR, after / before * STORED_FACTOR
    elif metric in _MEMORY and _gauges_differ(base, new):
        note = "the two sides were weighed by different gauges"
    else:
        verdict = policy.judge(metric, before, after, new.cell.dtype)
        note = "" if margin.relative else f"an increase of up to {margin} is let pass"
    if metric in NOISY and verdict is Verdict.UNCLEAR and not gated:
        return None
    return Finding(
        new.cell.suite, new.cell.key, metric, verdict, before, after, _ratio(before, after), low, high,
        margin=margin.fraction, gated=gated, note=note,
    )  # fmt: skip


def _untimed(metric: str, base: Record, new: Record, words: str) -> str:
    """Why two stored times say nothing of one another, and what does; empty where they do."""
    before, after = base.metrics[metric], new.metrics[metric]
    if not base.machine or base.machine != new.machine:
        return f"measured on different machines; `{words}` tells"
    repeats = [record.metrics.get("repeats", 0) for record in (base, new)]
    if metric != "first_call_seconds" and min(repeats) < FEWEST_REPEATS:
        return f"fewer than {FEWEST_REPEATS} repeats tell nothing; `{words}` tells"
    if not (isfinite(before) and isfinite(after) and before > 0 and after > 0):
        return "too short to be timed; a larger batch or more steps would tell"
    return ""


def _noisy(before: float, after: float, margin: Margin, words: str) -> tuple[Verdict, str]:
    allowed = (margin.of(before) + before) / before
    if max(after / before, before / after) <= max(STORED_FACTOR, allowed):
        return Verdict.UNCLEAR, (
            f"times of two runs may differ by a factor of {STORED_FACTOR:g} by themselves; `{words}` tells"
        )
    return (Verdict.WORSE if after > before else Verdict.BETTER), ""


def _gauges_differ(base: Record, new: Record) -> bool:
    gauges = [_gauge(record) for record in (base, new)]
    return None not in gauges and gauges[0] != gauges[1]


def _gauge(record: Record) -> str | None:
    """What a record notes of how memory was weighed; None of a row of a CSV, which has no notes."""
    if not record.settings:
        return None
    return next((note for note in record.notes if note.startswith(_GAUGE)), "")


def _ratio(before: float | None, after: float | None) -> float | None:
    if before is None or after is None or isnan(before) or isnan(after):
        return None
    if before == after:
        return 1.0
    if before == 0 or not isfinite(after):
        return inf if after > before else None
    return after / before if isfinite(before) else 0.0


def _notes(base: Sequence[Record], new: Sequence[Record], findings: Sequence[Finding], policy: Policy) -> Iterator[str]:
    facts = [[_facts(record) for record in records] for records in (base, new)]
    for what in _facts(new[0]):
        sides = [sorted({each[what] for each in side} - {""}) for side in facts]
        if all(sides) and sides[0] != sides[1]:
            yield f"another {what}: base {', '.join(sides[0])}; new {', '.join(sides[1])}"
    told = {each.metric for each in findings}
    idle = [name for name in policy.singles if name not in told]
    if idle:
        yield f"nothing is compared of {', '.join(idle)}: neither side has any"


def _facts(record: Record) -> dict[str, str]:
    """What may explain a change and is no part of a cell; empty where a record does not say."""
    return {
        "machine": record.machine,
        "version of odebench": record.version,
        "version of torch": str(record.settings.get("torch", "")),
        "number of threads": str(record.settings.get("threads", "")),
    }
