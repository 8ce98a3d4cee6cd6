"""Times of stored results that cannot be told: all of one reason on one line, since there is nothing to see in each."""

from __future__ import annotations

from collections.abc import Sequence

from odebench.compare.policy import NOISY
from odebench.compare.verdicts import Finding, Verdict
from odebench.report.findings import change, mark


def fold_undecided(findings: Sequence[Finding]) -> tuple[list[Finding], list[str]]:
    """(the findings that are worth a row each, in their order; one line for each reason of the others).

    Pairs of processes are no stored results: what they leave open has an estimate and an interval of its own.
    """
    by_reason: dict[tuple[str, str], list[Finding]] = {}
    for each in findings:
        if _is_undecided(each):
            by_reason.setdefault((mark(each), each.note), []).append(each)
    lines = [f"{sign} {_line(found)}" for (sign, _), found in by_reason.items()]
    return [each for each in findings if not _is_undecided(each)], lines


def _is_undecided(finding: Finding) -> bool:
    return finding.verdict is Verdict.UNCLEAR and finding.metric in NOISY and finding.samples is None


def _line(found: Sequence[Finding]) -> str:
    """`24 times cannot be told (wall_seconds), new over base -3.0 % to ×2.41: measured on different machines; …`."""
    ratios = sorted(each.ratio for each in found if each.ratio is not None and each.ratio == each.ratio)
    ends = dict.fromkeys((change(ratios[0]), change(ratios[-1]))) if ratios else ()
    names = ", ".join(dict.fromkeys(each.metric for each in found))
    told = f"{len(found)} time{'s' * (len(found) != 1)} cannot be told ({names})"
    told += f", new over base {' to '.join(ends)}" if ends else ""
    return f"{told}: {found[0].note}" if found[0].note else told
