"""From paired log-ratios to a verdict: a sequential test in two stages, and how much noise it had to see through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, exp, expm1, isfinite, log, log1p, sqrt, tanh
from statistics import NormalDist, median, stdev

from odebench.compare.interval import (
    LEVEL,
    SCALES,
    SHARES,
    STAKE,
    Interval,
    Wealth,
    fewest,
    growth,
    hodges_lehmann,
    interval,
    log_wealth,
)
from odebench.compare.verdicts import Verdict

POWER = 0.9  # of `detectable`
PATIENCE = 20  # pairs after which what is not worse is no longer asked whether it is better
_MOST = 1000  # pairs that a forecast reaches
_NORMAL = NormalDist()


def stage_level(tests: int, alpha: float = 0.05) -> float:
    """The level of one stage of one of `tests`: together they raise a false alarm with probability `alpha` at most.

    By Bonferroni a test may do so with α/tests, and it only does where two independent stages both err. Few tests could
    do with less than 95 % confidence in each stage; they are not let to, since three pairs would then close a gate.

    Raises:
        ValueError: there is no test, or `alpha` is not within (0, 1).
    """
    if tests < 1 or not 0 < alpha < 1:
        raise ValueError(f"expected at least one test and alpha within (0, 1); got {tests!r} and {alpha!r}")
    return min(sqrt(alpha / tests), LEVEL)


@dataclass
class Test:
    """Is a ratio beyond 1 + `margin`? Fed with log-ratios, one of each pair, until there is a `verdict`.

    Once the lower end clears the margin the test is not believed yet: a second stage starts with fresh samples, and
    only what clears the margin again is `WORSE`. All figures are then those of the second stage, which was not chosen
    for being large. Once the upper end is below the margin, at `LEVEL`, it is not worse: `SAME`, or `BETTER` where that
    end is below −margin too, for which a few more pairs are taken as long as they speak for it.

    `level` is that of a stage, one-sided; see `stage_level`. It holds however many pairs are taken.
    """

    __test__ = False  # what pytest must not take for a test case

    margin: float
    level: float
    stage: int = field(default=1, init=False)
    verdict: Verdict | None = field(default=None, init=False)
    _samples: list[float] = field(default_factory=list, init=False)  # of the present stage
    _earlier: list[float] = field(default_factory=list, init=False)
    _not_worse: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not (self.margin >= 0 and isfinite(self.margin)):
            raise ValueError(f"margin must be a finite fraction, not negative; got {self.margin!r}")
        if not 0 < self.level < 0.5:
            raise ValueError(f"level must be within (0, 0.5); got {self.level!r}")
        self._limit = log1p(self.margin)
        self._open_stage()

    @property
    def pairs(self) -> int:
        """Samples in the present stage."""
        return len(self._samples)

    @property
    def samples(self) -> tuple[float, ...]:
        """Of both stages."""
        return (*self._earlier, *self._samples)

    @property
    def interval(self) -> Interval | None:
        """Of the present stage; of the first while the second has too few pairs. None while that has too few as well.

        What was told once stays told: the ends do not fall behind the verdict.
        """
        found = interval(self._samples, self.level)
        if found is None:
            return interval(self._earlier, self.level)
        lower, upper = found.lower, found.upper
        if self.verdict is Verdict.WORSE:
            lower = max(lower, self._limit)
        elif self._not_worse:
            upper = min(upper, -self._limit if self.verdict is Verdict.BETTER else self._limit)
        return Interval(found.centre, lower, upper)

    @property
    def estimate(self) -> float | None:
        """The ratio as far as it is known, of the stage whose interval is told; None without a pair."""
        told = self._samples if interval(self._samples, self.level) or not self._earlier else self._earlier
        return exp(hodges_lehmann(told)) if told else None

    def add(self, log_ratio: float) -> None:
        """One more pair.

        Raises:
            ValueError: the test is decided, or the sample is not finite.
        """
        if self.verdict is not None:
            raise ValueError(f"the verdict is {self.verdict} already; a new question needs a new test")
        if not isfinite(log_ratio):
            raise ValueError(f"expected a finite log-ratio, got {log_ratio!r}")
        self._samples.append(log_ratio)
        for wealth in (self._above, self._below, self._far_below):
            wealth.add(log_ratio)
        self._judge()

    def close(self) -> Verdict:
        """No more pairs can be had; the verdict."""
        if self.verdict is None:
            self.verdict = Verdict.SAME if self._not_worse else Verdict.UNCLEAR
        return self.verdict

    def more_pairs(self) -> int | None:
        """A forecast of how many more would tell, if they are like these; None if there is no end to it.

        There is none where the effect is about as large as the margin, or much smaller than what pairs differ by.
        """
        if self.pairs < 2:
            return (3 - self.stage) * fewest(self.level) - self.pairs
        worse = hodges_lehmann(self._samples) > self._limit
        gain = growth(self._samples, self._limit, 1 if worse else -1)
        goal, have = (-log(self.level), self._above.log) if worse else (-log(LEVEL), self._below.log)
        stages_to_come = 1 if worse and self.stage == 1 else 0
        if gain <= 0:
            return None
        wanted = ceil((goal - have) / gain) + stages_to_come * max(ceil(goal / gain), fewest(self.level))
        return max(wanted, 1) if wanted <= _MOST else None

    def _open_stage(self) -> None:
        self._earlier, self._samples = self._samples, []
        self._above, self._below = Wealth(self._limit), Wealth(self._limit, -1)
        self._far_below = Wealth(-self._limit, -1)

    def _judge(self) -> None:
        self._not_worse = self._not_worse or self._below.reaches(LEVEL)
        if self._not_worse:
            if self._far_below.reaches(LEVEL):
                self.verdict = Verdict.BETTER
            elif self._far_below.log <= 0 or self.pairs >= PATIENCE:
                self.verdict = Verdict.SAME
        elif self._above.reaches(self.level):
            if self.stage == 2:
                self.verdict = Verdict.WORSE
            else:
                self.stage = 2
                self._open_stage()


def detectable(sample: Sequence[float], margin: float, level: float) -> float | None:
    """The relative slowdown found with probability `POWER` if each stage has as many pairs as `sample`, of such noise.

    The noise is taken for symmetric, and else as it is found in `sample`. None below two pairs; fewer than can tell
    anything at `level` count for as many as can.
    """
    if len(sample) < 2:
        return None
    centre, pairs = hodges_lehmann(sample), max(len(sample), fewest(level))
    # An estimated centre lies nearer to the samples than the true one.
    shrunk = sqrt(len(sample) / (len(sample) - 1))
    noise = [sign * shrunk * (each - centre) for each in sample for sign in (1, -1)]
    low, high = 0.0, max(noise) + 20 * max(SCALES)
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if _found(noise, middle, pairs, level) else (middle, high)
    return expm1(log1p(margin) + high)


def _found(noise: Sequence[float], effect: float, n: int, level: float) -> bool:
    """Whether `n` pairs of such noise, `effect` beyond the limit, clear it with the probability that one stage needs.

    The logarithm of the wealth is a sum of `n`, and taken for normal.
    """
    share = _NORMAL.inv_cdf(sqrt(POWER))
    wealth = 0.0
    for scale, part in zip(SCALES, SHARES, strict=True):
        gains = [log1p(STAKE * tanh((each + effect) / scale)) for each in noise]
        mean = sum(gains) / len(gains)
        wealth += part * exp(n * mean - share * sqrt(n) * stdev(gains, mean))
    return wealth >= 1 / level * (1 - 1e-9)


@dataclass(frozen=True)
class Floor:
    """What the base compared with itself says of a measurement; ratios, each end of the interval at `LEVEL`."""

    ratio: float
    low: float
    high: float
    spread: float  # standard deviation of one pair, relative
    detectable: float


def floor_of(control: Sequence[float], test: Test) -> Floor | None:
    """The noise floor of `test` from the A/A log-ratios of its rounds; None where there are too few."""
    found, effect = interval(control, LEVEL), detectable(test.samples, test.margin, test.level)
    if found is None or effect is None:
        return None
    return Floor(found.ratio, found.low, found.high, spread(control), effect)


def disturbed(control: Sequence[float], test: Test) -> bool:
    """Whether the base differs from itself by more than the margin of `test`, at its own level."""
    limit = log1p(test.margin)
    return any(log_wealth(control, side * limit, side) >= -log(test.level) for side in (1, -1))


def spread(sample: Sequence[float]) -> float:
    """The standard deviation of what is not wild, from the median absolute deviation."""
    middle = median(sample)
    return median(abs(each - middle) for each in sample) / _NORMAL.inv_cdf(0.75)
