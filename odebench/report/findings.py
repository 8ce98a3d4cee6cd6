"""The figures of a finding as people read them: the same in a terminal, in Markdown and in JUnit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from odebench.compare.verdicts import Comparison, Finding, Verdict
from odebench.record import AXES
from odebench.report import units
from odebench.report.looks import shown
from odebench.report.table import Table
from odebench.report.text import plain

# One character each, so that a verdict is told without colour and in ASCII.
MARKS = {
    Verdict.WORSE: "!",
    Verdict.MISSING: "-",
    Verdict.UNCLEAR: "?",
    Verdict.BETTER: "+",
    Verdict.NEW: "*",
    Verdict.SAME: "=",
}
# As the summary counts them.
COUNTED = (Verdict.WORSE, Verdict.MISSING, Verdict.UNCLEAR, Verdict.SAME, Verdict.BETTER, Verdict.NEW)
COLUMNS = ("metric", "base", "new", "change", "interval", "margin", "note")


def mark(finding: Finding) -> str:
    """The sign of its verdict; in parentheses where no gate minds it."""
    return MARKS[finding.verdict] if finding.gated else f"({MARKS[finding.verdict]})"


def change(ratio: float | None) -> str:
    """`+5.3 %`, `-75.0 %`; from a doubling on `×2.41`. Empty where nothing was measured."""
    if ratio is None:
        return ""
    return f"{_percent(ratio)} %" if _small(ratio) else f"×{units.digits(ratio)}"


def interval(low: float | None, high: float | None) -> str:
    """`+3.1 to +7.2 %`, or `×1.8 to ×2.4`; one-sided ones have one end."""
    if low is None or high is None:
        return f"over {change(low)}" if low is not None else f"under {change(high)}" if high is not None else ""
    if _small(low) and _small(high):
        return f"{_percent(low)} to {_percent(high)} %"
    return f"×{units.digits(low)} to ×{units.digits(high)}"


def margin(share: float | None) -> str:
    """`3 %`; `none` where any change counts."""
    return "none" if share is None else f"{100 * share:.3g} %"


def sides(finding: Finding) -> tuple[str, str]:
    """Base and new, with as many digits as it takes to see that they differ."""
    base, new = finding.base, finding.new
    texts = shown(finding.metric, base), shown(finding.metric, new)
    alike = texts[0] == texts[1] and base != new
    # Where an interval is told, digits beyond the third are noise.
    if not alike or finding.low is not None or not isinstance(base, (int, float)) or not isinstance(new, (int, float)):
        return texts
    unit = " B" if finding.metric.endswith("_bytes") else " s" if finding.metric.endswith("_seconds") else ""
    for digits in (6, 9, 12):
        texts = f"{base:.{digits}g}{unit}", f"{new:.{digits}g}{unit}"
        if texts[0] != texts[1]:
            return texts
    return f"{base!r}{unit}", f"{new!r}{unit}"


def sentence(finding: Finding) -> str:
    """Everything about it on one line: `wall_seconds: 12.3 ms to 13.0 ms, +5.3 % (+3.1 to +7.2 %), margin 3 %`."""
    base, new = (text or "nothing" for text in sides(finding))
    told = f"{plain(finding.metric)}: {base} to {new}"
    if finding.ratio is not None:
        told += f", {change(finding.ratio)}"
    reach = interval(finding.low, finding.high)
    told += f" ({reach})" if reach else ""
    told += f", margin {margin(finding.margin)}" if finding.margin is not None else ""
    return f"{told}; {plain(finding.note)}" if finding.note else told


def outcome(comparison: Comparison, strict: bool = False) -> str:
    """What the exit code says, as a word: PASS, FAIL, or where `strict` INCONCLUSIVE."""
    return {0: "PASS", 1: "FAIL", 4: "INCONCLUSIVE"}[comparison.exit_code(strict)]


def ending(comparison: Comparison, strict: bool = False) -> str:
    """The word, and that it is not all that one may have hoped for."""
    word = outcome(comparison, strict)
    untold = comparison.count(Verdict.UNCLEAR, gated=True)
    return f"{word}, as far as can be told" if word == "PASS" and untold else word


def counts(comparison: Comparison) -> str:
    """`3 worse, 5 cannot tell, 118 same (not gated: 2 better)`; only verdicts that occur."""
    gated, others = (
        ", ".join(f"{found} {each}" for each in COUNTED if (found := comparison.count(each, gated=kind)))
        for kind in (True, False)
    )
    return f"{gated or 'nothing gated'} (not gated: {others})" if others else gated or "nothing to compare"


def axes_of(cell: str) -> dict[str, str] | None:
    """The axes of a cell from its canonical spelling; None where the text is no such spelling."""
    parts, depth = [""], 0
    for character in cell:
        depth += (character in "([") - (character in ")]")
        if character == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return dict(zip(AXES, parts, strict=True)) if len(parts) == len(AXES) else None


def number_notes(findings: Iterable[Finding]) -> dict[str, int]:
    """Note -> the number that stands for it in a table; the same note has the same number."""
    notes = dict.fromkeys(plain(each.note) for each in findings if each.note)
    return {note: number for number, note in enumerate(notes, 1)}


def table_of(findings: Sequence[Finding], notes: Mapping[str, int]) -> Table:
    """One row per finding, in their order; what is the same in every row is told above the table."""
    axes = [axes_of(each.cell) for each in findings]
    known = [each for each in axes if each is not None]
    places = known if len(known) == len(axes) else [{"cell": each.cell} for each in findings]
    rows = [_row(each, place, notes) for each, place in zip(findings, places, strict=True)]
    names = ("suite", *(places[0] if places else ()))
    varying = [name for name in names if len({row[name] for row in rows}) > 1]
    constant = [(name, rows[0][name]) for name in names if name not in varying]
    figures = [name for name in COLUMNS if any(row[name] for row in rows)]
    if len({row["margin"] for row in rows}) == 1:
        figures.remove("margin")
        constant.append(("margin", rows[0]["margin"]))
    return Table(("mark", *varying, *figures), tuple(rows), tuple(constant))


def _row(finding: Finding, place: Mapping[str, str], notes: Mapping[str, int]) -> dict[str, Any]:
    base, new = sides(finding)
    return {
        "status": str(finding.verdict) if finding.gated else "told",  # for the style
        "mark": mark(finding),
        "suite": finding.suite,
        **place,
        "metric": finding.metric,
        "base": base,
        "new": new,
        "change": change(finding.ratio),
        "interval": interval(finding.low, finding.high),
        "margin": margin(finding.margin),
        "note": f"[{notes[plain(finding.note)]}]" if finding.note else "",
    }


def _small(ratio: float) -> bool:
    return 0 <= ratio < 2


def _percent(ratio: float) -> str:
    percent = 100 * (ratio - 1)
    return "0" if percent == 0 else f"{percent:+.1f}" if abs(percent) >= 0.95 else f"{percent:+.2g}"
