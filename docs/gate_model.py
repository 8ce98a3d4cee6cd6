"""What docs/gate_study.py simulates: noise of several kinds, and rules and intervals that judge it, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from math import log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from odebench.compare.evidence import PATIENCE, Test
from odebench.compare.interval import LEVEL, SCALES, SHARES, STAKE
from odebench.compare.verdicts import Verdict

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int, float], tuple[Array, Array, Array]]

MARGIN, ROUNDS, BLOCKS = 0.03, 40, 7
PROCESS, BLOCK = 0.013, 0.015  # sd of a process's luck, and of a block within it: pairs differ by 1.8 %, as measured
OPEN, SAME, BETTER, WORSE = 0, 1, 2, 3


# --- the rule ---------------------------------------------------------------------------------------------------------


def judge(x: Array, level: float, margin: float = MARGIN) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Verdicts and rounds used of the gate's rule; `x` is (trials, rounds)."""
    limit, scales, start = log1p(margin), np.array(SCALES), np.zeros((len(x), len(SCALES)))
    above, below, far = start.copy(), start.copy(), start.copy()
    verdict, used, stage, pairs = (np.full(len(x), each) for each in (OPEN, x.shape[1], 1, 0))
    not_worse = np.zeros(len(x), bool)
    for index in range(x.shape[1]):
        up = STAKE * np.tanh((x[:, index, None] - limit) / scales)
        above, below = above + np.log1p(up), below + np.log1p(-up)
        far = far + np.log1p(-STAKE * np.tanh((x[:, index, None] + limit) / scales))
        pairs = pairs + 1
        going = verdict == OPEN
        not_worse |= going & (_wealth(below) >= 1 / LEVEL)
        cleared = going & ~not_worse & (_wealth(above) >= 1 / level)
        better = going & not_worse & (_wealth(far) >= 1 / LEVEL)
        same = going & not_worse & ~better & ((_wealth(far) <= 1) | (pairs >= PATIENCE))
        for which, told in ((better, BETTER), (same, SAME), (cleared & (stage == 2), WORSE)):
            verdict[which], used[which] = told, index + 1
        again = cleared & (stage == 1)
        stage[again], pairs[again] = 2, 0
        above[again] = below[again] = far[again] = 0.0
    verdict[(verdict == OPEN) & not_worse] = SAME
    return verdict, used


def _wealth(logs: Array) -> Array:
    return np.exp(logs) @ np.array(SHARES)


def check() -> None:
    """The rule above is the one of the package."""
    x = np.random.default_rng(0).normal(0.04, 0.03, (300, ROUNDS))
    names = {Verdict.UNCLEAR: OPEN, Verdict.SAME: SAME, Verdict.BETTER: BETTER, Verdict.WORSE: WORSE}
    told, used = judge(x, 0.04)
    for row, verdict, rounds in zip(x, told, used, strict=True):
        test, count = Test(MARGIN, 0.04), 0
        while test.verdict is None and count < ROUNDS:
            test.add(float(row[count]))
            count += 1
        if (names[test.close()], count) != (verdict, rounds):
            raise SystemExit(f"the study's rule is not the package's: {test.verdict} after {count} pairs")


# --- what is measured -------------------------------------------------------------------------------------------------


def processes(luck: Callable[[np.random.Generator, tuple[int, ...]], Array], new_noise: float = 1.0) -> Draw:
    """Blocks of (base, base again, new), each (trials, rounds, blocks), of processes with such luck."""

    def draw(chance: np.random.Generator, trials: int, rounds: int, effect: float) -> tuple[Array, Array, Array]:
        # The machine itself is faster or slower for a while: a random walk that comes back, sd 4.5 %, as measured.
        weather = np.empty((trials, rounds))
        now = chance.normal(0, 0.045, trials)
        for index in range(rounds):
            weather[:, index] = now
            now = 0.95 * now + chance.normal(0, 0.045 * sqrt(1 - 0.95**2), trials)

        def arm(scale: float) -> Array:
            noise = luck(chance, (trials, rounds))[..., None] + chance.normal(0, BLOCK, (trials, rounds, BLOCKS))
            return weather[..., None] + scale * noise

        return arm(1.0), arm(1.0), arm(new_noise) + log1p(effect)

    return draw


def normal(chance: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Luck."""
    return chance.normal(0, PROCESS, shape)


def outliers(share: float) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    """Some processes are 10–50 % slow throughout. Either side has them, so pairs are wild in both directions."""
    return lambda chance, shape: (
        normal(chance, shape) + (chance.random(shape) < share) * chance.uniform(0.1, 0.5, shape)
    )


def two_speeds(chance: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One process in five gets unlucky addresses."""
    return chance.normal(0, 0.008, shape) + 0.04 * (chance.random(shape) < 0.2)


def drifting(chance: np.random.Generator, trials: int, rounds: int, effect: float) -> tuple[Array, Array, Array]:
    """A part of the drift hits one side of a round, and much the same part the next round."""
    base, again, new = processes(normal)(chance, trials, rounds, effect)
    tilt = chance.normal(0, 0.01, trials)
    for index in range(rounds):
        new[:, index] += tilt[:, None]
        tilt = 0.5 * tilt + chance.normal(0, 0.01 * sqrt(0.75), trials)
    return base, again, new


def ticking(chance: np.random.Generator, trials: int, rounds: int, effect: float) -> tuple[Array, Array, Array]:
    """A clock that knows whole percents only, so that most pairs tie with others."""
    base, again, new = (np.round(each, 2) for each in processes(normal)(chance, trials, rounds, effect))
    return base, again, new


NOISES: dict[str, Draw] = {
    "normal": processes(normal),
    "outliers: 5 % of pairs, 10–50 %": processes(outliers(0.017)),
    "outliers: 14 % of pairs, 10–50 %": processes(outliers(0.05)),
    "heavy tails: Student t, 3 degrees": processes(lambda chance, shape: 0.88 * PROCESS * chance.standard_t(3, shape)),
    "two speeds: 1 process in 5 is 4 % slow": processes(two_speeds),
    "drift within rounds": drifting,
    "ties: a clock of 1 %": ticking,
    "new side three times as noisy": processes(normal, 3.0),
    "three times as noisy": processes(lambda chance, shape: 3 * normal(chance, shape)),
}


def pairs_of(draw: Draw, chance: np.random.Generator, trials: int, effect: float) -> tuple[Array, ...]:
    """The samples of the rule, and the blocks they are of."""
    base, again, new = draw(chance, trials, ROUNDS, effect)
    x = np.median(new, 2) - (np.median(base, 2) + np.median(again, 2)) / 2
    return x, base, again, new


# --- other rules ------------------------------------------------------------------------------------------------------


def threshold(base: Array, new: Array) -> NDArray[np.bool_]:
    """The medians differ by more than 5 %."""
    return np.median(new, 1) - np.median(base, 1) > log(1.05)


def rank_sum(base: Array, new: Array) -> NDArray[np.bool_]:
    """Mann–Whitney, p < 0.05, one-sided, normal approximation."""
    n = base.shape[1]
    ranks = np.concatenate([base, new], 1).argsort(1).argsort(1) + 1.0
    z = (ranks[:, n:].sum(1) - n * (2 * n + 1) / 2) / sqrt(n * n * (2 * n + 1) / 12)
    return z > 1.645


def t_test(base: Array, new: Array) -> NDArray[np.bool_]:
    """Welch's, p < 0.05, one-sided; with so many samples t is normal."""
    error = np.sqrt(base.var(1, ddof=1) / base.shape[1] + new.var(1, ddof=1) / new.shape[1])
    return (new.mean(1) - base.mean(1)) / error > 1.645


OTHERS = {"medians > 5 %": threshold, "Mann–Whitney p < 0.05": rank_sum, "t-test p < 0.05": t_test}


@cache
def signed_rank(n: int, level: float) -> int:
    """How many Walsh averages may lie on the wrong side, plus one; 0: none may, n is too small."""
    counts = [1.0]
    for rank in range(1, n + 1):
        longer = counts + [0.0] * rank
        for index, count in enumerate(counts):
            longer[index + rank] += count
        counts = longer
    sums = np.cumsum(counts) / 2.0**n
    return int((sums <= level).sum())


def judge_by_rank(x: Array, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same two stages, with signed-rank bounds at looks of equal shares: what a schedule of looks costs."""
    verdict, used = np.full(len(x), OPEN), np.full(len(x), x.shape[1])
    looks = (8, 11, 15, 21, 29, 40)
    stage, start = np.ones(len(x), int), np.zeros(len(x), int)
    for end in range(1, x.shape[1] + 1):
        for n in looks:
            rows = np.flatnonzero((verdict == OPEN) & (end - start == n))
            if not len(rows):
                continue
            i, j = np.triu_indices(n)
            y = x[rows, end - n : end] - log1p(MARGIN)
            walsh = y[:, i] + y[:, j]
            up = (walsh <= 0).sum(1) < signed_rank(n, level / len(looks))
            down = (walsh >= 0).sum(1) < signed_rank(n, LEVEL / len(looks))
            told = np.where(down, SAME, np.where(up & (stage[rows] == 2), WORSE, OPEN))
            verdict[rows], used[rows] = told, np.where(told == OPEN, used[rows], end)
            again = rows[up & (stage[rows] == 1)]
            stage[again], start[again] = 2, end
    return verdict, used


# --- intervals --------------------------------------------------------------------------------------------------------


def bounds(x: Array, level: float, chance: np.random.Generator, costly: bool = True) -> Iterator[tuple[str, Array]]:
    """Lower ends by several methods; `x` is (trials, n). An end that cannot be given is −∞."""
    trials, n = x.shape
    drawn = x[np.arange(trials)[:, None, None], chance.integers(0, n, (trials, 400, n))]
    drawn.sort(2)
    i, j = np.triu_indices(n)
    cut = int(0.2 * n)
    yield "bootstrap, median", np.quantile((drawn[..., (n - 1) // 2] + drawn[..., n // 2]) / 2, level, axis=1)
    yield "bootstrap, trimmed mean", np.quantile(drawn[..., cut : n - cut].mean(2), level, axis=1)
    if costly:
        ends = [np.quantile(np.median((each[:, i] + each[:, j]) / 2, 1), level) for each in drawn]
        yield "bootstrap, Hodges–Lehmann", np.array(ends)
    mean, error = x.mean(1), x.std(1, ddof=1) / sqrt(n)
    t = (drawn.mean(2) - mean[:, None]) / np.maximum(drawn.std(2, ddof=1) / sqrt(n), 1e-9)
    yield "bootstrap-t, mean", mean - np.quantile(t, 1 - level, axis=1) * error
    walsh, rank = np.sort((x[:, i] + x[:, j]) / 2, 1), signed_rank(n, level)
    yield "signed-rank, exact", walsh[:, rank - 1] if rank else np.full(trials, -np.inf)
    yield "bets (this gate)", bet_bound(x, level)


def bet_bound(x: Array, level: float) -> Array:
    """Lower ends of the gate's interval."""
    refuted, held = x.min(1) - 1, x.max(1)
    for _ in range(40):
        middle = (refuted + held) / 2
        bets = STAKE * np.tanh((x[..., None] - middle[:, None, None]) / np.array(SCALES))
        wealth = np.exp(np.log1p(bets).sum(1)) @ np.array(SHARES)
        refuted, held = np.where(wealth * level >= 1, middle, refuted), np.where(wealth * level >= 1, held, middle)
    return np.where(refuted <= x.min(1) - 0.999, -np.inf, refuted)
