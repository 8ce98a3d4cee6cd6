"""What a comparison comes to: one finding per cell and metric, and what a CI makes of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """Of one metric of one cell; `NEW` and `MISSING` are of a whole cell, whose metric is `status`."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNCLEAR = "cannot tell"
    NEW = "new"
    MISSING = "missing"


# Worst first, as tables have them.
ORDER = (Verdict.WORSE, Verdict.MISSING, Verdict.UNCLEAR, Verdict.BETTER, Verdict.NEW, Verdict.SAME)


@dataclass(frozen=True)
class Finding:
    """One metric of one cell on both sides.

    `ratio` is new over base, with `low` and `high` its interval where there is one; the base unit of a ratio is 1.
    A status stands in `base` and `new` as text. `gated` findings decide the exit code, others are told.
    """

    suite: str
    cell: str
    metric: str
    verdict: Verdict
    base: float | int | str | None = None
    new: float | int | str | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None  # the relative change that is let pass; None: any change counts
    gated: bool = True
    note: str = ""  # one sentence: why, and where nothing can be told what would tell
    samples: int | None = None  # pairs of processes behind a verdict on times

    @property
    def fails(self) -> bool:
        """A gate closes on it."""
        return self.gated and self.verdict in (Verdict.WORSE, Verdict.MISSING)


@dataclass(frozen=True)
class Noise:
    """The A/A arm of one cell and metric: the base against itself, measured as the rest was. Ratios, not logarithms."""

    suite: str
    cell: str
    metric: str
    ratio: float
    low: float
    high: float
    spread: float  # standard deviation of one pair of processes, relative
    detectable: float  # the smallest slowdown, relative, that as many pairs would have called worse nine times in ten


@dataclass(frozen=True)
class Comparison:
    """All findings, worst first, and how they were come by. `base` and `new` say what was compared."""

    base: str
    new: str
    findings: tuple[Finding, ...]
    noise: tuple[Noise, ...] = ()
    policy: str = ""  # the rules, as `--fail-on` spells them
    notes: tuple[str, ...] = ()  # one sentence each, told once: how sides differ, what was spent
    samples: Mapping[str, Any] = field(default_factory=dict)  # raw, so that every verdict can be computed again

    def count(self, verdict: Verdict, gated: bool | None = None) -> int:
        """Findings of one verdict; of gated ones, of others, or of all."""
        return sum(each.verdict is verdict and gated in (None, each.gated) for each in self.findings)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What closes the gate."""
        return tuple(each for each in self.findings if each.fails)

    def exit_code(self, strict: bool = False) -> int:
        """1 on a regression; 4 where `strict` and a gated metric could not be told; else 0."""
        if self.failures:
            return 1
        return 4 if strict and self.count(Verdict.UNCLEAR, gated=True) else 0


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sorted by verdict, gated ones first, a status before figures, then by how far they are off, then by name."""
    return tuple(
        sorted(
            findings,
            key=lambda each: (
                ORDER.index(each.verdict),
                not each.gated,
                each.metric != "status",
                -(each.ratio if each.ratio is not None and each.ratio == each.ratio else 0.0),
                each.suite,
                each.cell,
                each.metric,
            ),
        )
    )
