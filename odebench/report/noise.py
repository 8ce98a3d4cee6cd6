"""How finely a comparison could see, in sentences: its A/A arm, of each metric the median and the worst cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from odebench.compare.verdicts import Noise
from odebench.report.findings import axes_of

HEADING = "noise floor: the base against itself (A/A), measured as the rest was"


def noise_sentences(noise: Sequence[Noise]) -> list[str]:
    """One for each metric; names in them are as they came."""
    by_metric: dict[str, list[Noise]] = {}
    for each in noise:
        by_metric.setdefault(each.metric, []).append(each)
    cells = _short_cells(noise)
    return [_sentence(metric, found, cells) for metric, found in by_metric.items()]


def _sentence(metric: str, found: Sequence[Noise], cells: Mapping[tuple[str, str], str]) -> str:
    worst = max(found, key=lambda each: each.detectable)
    at = cells[worst.suite, worst.cell] if len(found) > 1 else ""
    return (
        f"{metric}: a pair of processes varies by {_shares([each.spread for each in found])}; "
        f"A/A is off by at most {_shares([_reach(each) for each in found])}; "
        f"smallest slowdown found 9 times in 10: {_shares([each.detectable for each in found], at)}"
    )


def _reach(noise: Noise) -> float:
    """The largest change that the interval of A/A leaves possible, as a fraction."""
    return max(noise.high, 1 / noise.low if noise.low > 0 else noise.high) - 1


def _shares(shares: Sequence[float], at: str = "") -> str:
    """The median and, where it differs, the worst, of the cell `at`."""
    middle, worst = (f"{100 * share:.1f} %" for share in (median(shares), max(shares)))
    return middle if middle == worst else f"{middle} (worst {worst}{at and f', {at}'})"


def _short_cells(noise: Sequence[Noise]) -> Mapping[tuple[str, str], str]:
    """Cells by the axes in which these differ."""
    cells = dict.fromkeys((each.suite, each.cell) for each in noise)
    axes = [{"suite": suite, **(axes_of(cell) or {"cell": cell})} for suite, cell in cells]
    names = dict.fromkeys(name for each in axes for name in each)
    varying = [name for name in names if len({each.get(name) for each in axes}) > 1]
    told = [", ".join(each[name] for name in varying if name in each) for each in axes]
    return dict(zip(cells, told, strict=True))
