"""What a few paired log-ratios say about their centre, however often one looks: a bet against each value it could have.

The bet against "the centre is at `limit`" is even: on each sample a share of the wealth is staked on its side, a share
that depends on its distance alone. If samples are as likely as far above `limit` as below it, wealth gains and loses
alike, and less than that if their centre is on the other side. So with probability `level` at most it ever reaches
1/`level` (Ville 1939; for symmetric samples de la Peña, Ann. Probab. 27, 1999). The level therefore holds at every
number of pairs, the first included, without a schedule of looks, and for any symmetric noise, with outliers or ties.
docs/gate_rules.md has what bootstrap and signed-rank intervals do on the same data: looked at as pairs come in, they
miss three to five times as often as they promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, exp, isfinite, log, log1p, tanh
from statistics import median

# Three bettors share the wealth: to the first one percent is much, as on a quiet machine; to the last, ten. They stake
# less than all, so that an outlier on the wrong side costs 85 % of the wealth at most.
SCALES = (0.01, 0.03, 0.1)
SHARES = (0.4, 0.4, 0.2)
STAKE = 0.85
LEVEL = 0.05  # of what closes no gate: the upper end; no end is told at a weaker one
_HALVINGS = 32  # of a range of a few units


@dataclass(frozen=True)
class Interval:
    """In logarithms; both ends are finite."""

    centre: float
    lower: float
    upper: float

    @property
    def ratio(self) -> float:
        """The centre as a ratio."""
        return exp(self.centre)

    @property
    def low(self) -> float:
        """The lower end as a ratio."""
        return exp(self.lower)

    @property
    def high(self) -> float:
        """The upper end as a ratio."""
        return exp(self.upper)


@dataclass
class Wealth:
    """Of bets that the centre is above `limit`, or below it where `side` is −1. It starts with 1."""

    limit: float
    side: int = 1
    _logs: list[float] = field(default_factory=lambda: [log(share) for share in SHARES])

    def add(self, sample: float) -> None:
        """Bet on one sample."""
        for index, scale in enumerate(SCALES):
            self._logs[index] += log1p(self.side * STAKE * tanh((sample - self.limit) / scale))

    @property
    def log(self) -> float:
        """The logarithm of the wealth."""
        most = max(self._logs)
        return most + log(sum(exp(each - most) for each in self._logs))

    def reaches(self, level: float) -> bool:
        """The centre is on the side that was bet on, beyond a doubt of `level`."""
        return self.log >= -log(level)


def log_wealth(sample: Sequence[float], limit: float, side: int) -> float:
    """After all of `sample`."""
    wealth = Wealth(limit, side)
    for each in sample:
        wealth.add(each)
    return wealth.log


def fewest(level: float) -> int:
    """Pairs without which nothing can be told at `level`, however large the effect."""
    return ceil(-log(level) / log1p(STAKE) - 1e-9)


def interval(sample: Sequence[float], level: float, upper_level: float = LEVEL) -> Interval | None:
    """Each end leaves its level outside at most; None where the samples are too few for that.

    The centre is the median of the Walsh averages (Hodges & Lehmann, Ann. Math. Stat. 34, 1963): as steady as the mean
    where there are no outliers, and not moved by a quarter of them.

    Raises:
        ValueError: a sample is not finite, or a level is not within (0, 1/2).
    """
    if not all(map(isfinite, sample)):
        raise ValueError(f"expected finite log-ratios, got {[each for each in sample if not isfinite(each)][:5]}")
    for each in (level, upper_level):
        if not 0 < each < 0.5:
            raise ValueError(f"level must be within (0, 0.5); got {each!r}")
    if len(sample) < max(fewest(level), fewest(upper_level)):
        return None
    return Interval(hodges_lehmann(sample), _end(sample, 1, level), _end(sample, -1, upper_level))


def hodges_lehmann(sample: Sequence[float]) -> float:
    """The median of the means of all pairs, each value with itself included."""
    return median((a + b) / 2 for i, a in enumerate(sample) for b in sample[i:])


def _end(sample: Sequence[float], side: int, level: float) -> float:
    """The outermost limit that a bet on `side` of it has not refuted; wealth falls as the limit moves to that side."""
    beyond = 20 * max(SCALES)  # where the tanh is ±1 to the last digit
    refuted, held = (min(sample) - beyond, max(sample)) if side > 0 else (max(sample) + beyond, min(sample))
    for _ in range(_HALVINGS):
        middle = (refuted + held) / 2
        if log_wealth(sample, middle, side) >= -log(level):
            refuted = middle
        else:
            held = middle
    return refuted


def growth(sample: Sequence[float], limit: float, side: int) -> float:
    """What each further pair like these adds to the logarithm of the wealth, at the scale that suits them best."""
    return max(
        sum(log1p(side * STAKE * tanh((each - limit) / scale)) for each in sample) / len(sample) for scale in SCALES
    )
