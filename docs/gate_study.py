"""Writes docs/gate_rules.md: how often the gate's rule on times errs, and how often the rules that others use do.

`python docs/gate_study.py`: half a minute on one core. Seeds are fixed, and nothing in it
depends on the machine; the recorded pairs in tests/data are those of another day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from math import log1p
from pathlib import Path

import numpy as np
from gate_model import (
    MARGIN,
    NOISES,
    OPEN,
    OTHERS,
    ROUNDS,
    SAME,
    WORSE,
    Array,
    bet_bound,
    bounds,
    check,
    judge,
    judge_by_rank,
    pairs_of,
)
from numpy.typing import NDArray

from odebench.compare.evidence import stage_level

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "tests" / "data" / "recorded_pairs.json"
EFFECTS = (0.0, 0.02, 0.03, 0.05, 0.10, 0.20)
MANY = 24  # tests, where nothing else is said
TRIALS, CHUNK = 5000, 1000
PROCESSES = 10  # of each side, that the other rules get

RULE = f"""\
# The gate's rule on times, and how often it errs

Written by `python docs/gate_study.py`: {TRIALS} simulated comparisons for each figure, fixed seeds.

1. In each round the base, the base again and the new side run in three fresh processes, alive together, block by block
   in random order. One sample of a cell and metric is x = log(new) − ½·(log(base) + log(base again)), each the median
   of a process; it is uncorrelated with a = log(base again) − log(base), the A/A sample.
2. With m tests (cells × metrics of time) each stage has the one-sided level min(√(0.05/m), 0.05).
3. A stage bets against "the centre of x is log(1 + margin)": each sample multiplies a wealth by
   1 + 0.85·tanh((x − log(1 + margin))/s), with s = 1 %, 3 % and 10 % for 40, 40 and 20 % of it. If x is as likely
   above as below, the bets are fair, and wealth ever reaches 1/level with a probability of the level at most (Ville's
   inequality), whenever and however often one looks. The values that such bets have not refuted are the interval; its
   lower end clears the margin when this wealth gets there.
4. Then a second stage starts, with fresh samples only. **Worse** is what clears the margin in both. False alarms of all
   tests together: at most m·level² ≤ 5 %. The figures told are the second stage's, not chosen for being large.
5. A wealth that bets the other way ends the test at level 0.05 as **same**, or **better** if the interval is below
   −margin too. Out of budget: **cannot tell**, with a forecast of the rounds that would.
6. If the interval of a lies beyond the margin, the machine was too disturbed, and nothing is told of that cell.
"""


@cache
def samples(noise: str, effect: float) -> Array:
    """x, (trials, rounds): the same for every rule."""
    chance = np.random.default_rng([7, round(1000 * effect)])
    return np.concatenate([pairs_of(NOISES[noise], chance, CHUNK, effect)[0] for _ in range(TRIALS // CHUNK)])


@cache
def blocks(noise: str, effect: float) -> tuple[Array, Array]:
    """The first of the same processes, of the base and of the new side, block by block."""
    _, base, _, new = pairs_of(NOISES[noise], np.random.default_rng([7, round(1000 * effect)]), CHUNK, effect)
    return base, new


def percent(share: float, digits: int = 1) -> str:
    """A share; what did not happen once is 0."""
    return "0" if share == 0 else f"{100 * share:.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def told(x: Array, tests: int, rule: object = judge) -> str:
    """worse / cannot tell / rounds."""
    verdict, used = rule(x, stage_level(tests))  # type: ignore[operator]
    return f"{percent((verdict == WORSE).mean())} / {percent((verdict == OPEN).mean())} / {used.mean():.0f}"


def by_noise() -> str:
    """Each noise, at each true change."""
    head = ["noise", *(f"+{100 * effect:.0f} %" for effect in EFFECTS)]
    rows = [[noise, *(told(samples(noise, effect), MANY) for effect in EFFECTS)] for noise in NOISES]
    return table(head, rows)


def by_tests() -> str:
    """As many tests share the 5 %; and what a schedule of looks at signed-rank bounds would do instead."""
    head = ["tests", "noise", *(f"+{100 * effect:.0f} %" for effect in EFFECTS)]
    rows = []
    for noise in list(NOISES)[:2]:
        for name, tests, rule in (
            ("1 to 20", 8, judge),
            ("24", 24, judge),
            ("200", 200, judge),
            ("24, signed-rank", 24, judge_by_rank),
        ):
            rows.append([name, noise, *(told(samples(noise, effect), tests, rule) for effect in EFFECTS)])
    return table(head, rows)


def by_family() -> str:
    """Of a whole comparison: any false alarm among independent cells."""
    rows = []
    for noise in NOISES:
        row = [noise]
        for tests in (1, 8, 24):
            for effect in (0.0, MARGIN):
                verdict, _ = judge(samples(noise, effect), stage_level(tests))
                row.append(percent(1 - (1 - (verdict == WORSE).mean()) ** tests, 2))
        verdict, used = judge(samples(noise, 0.0), stage_level(MANY))
        late = np.quantile(used, 0.95)
        rows.append([*row, f"{percent((verdict == SAME).mean())} in {used.mean():.1f}, 95 % within {late:.0f}"])
    head = ["noise", *(f"m = {tests}, {at}" for tests in (1, 8, 24) for at in ("A/A", "all at +3 %"))]
    return table([*head, "A/A told same, % in rounds"], rows)


def by_rule() -> str:
    """The rules users know, on the same processes."""
    shown = (0.0, 0.02, 0.05, 0.10)
    noises = list(NOISES)[:2]
    head = [
        "rule",
        "design",
        *(f"{noise.split(':')[0]}, +{100 * effect:.0f} %" for noise in noises for effect in shown),
    ]
    rows = []
    for design, start in (("base first, then new", PROCESSES), ("alternating", 0)):
        for name, rule in OTHERS.items():
            row = [name, design]
            for noise in noises:
                for effect in shown:
                    base, new = blocks(noise, effect)
                    first = base[:, :PROCESSES].reshape(CHUNK, -1)
                    second = new[:, start : start + PROCESSES].reshape(CHUNK, -1)
                    row.append(percent(rule(first, second).mean()))
            rows.append(row)
    row = ["this gate, 24 tests", "rounds"]
    for noise in noises:
        row += [percent((judge(samples(noise, each), stage_level(MANY))[0] == WORSE).mean()) for each in shown]
    return table(head, [*rows, row])


def by_interval() -> str:
    """How often the lower end is above the centre, and how far below it lies."""
    sizes, found = (6, 8, 12, 20), dict[str, list[str]]()
    for noise in list(NOISES)[:2]:
        for level in (0.05, 0.005):
            for n in sizes:
                x = samples(noise, 0.0)[:1500, :n]
                for name, low in bounds(x, level, np.random.default_rng(n)):
                    reach = np.median(low)
                    cell = "–" if reach == -np.inf else f"{percent((low > 0).mean())} ({-100 * reach:.1f})"
                    found.setdefault(name, []).append(cell)
    columns = [
        f"{noise.split(':')[0]}, {100 * level:g} %, n = {n}"
        for noise in list(NOISES)[:2] for level in (0.05, 0.005) for n in sizes
    ]  # fmt: skip
    return table(["at, pairs", *found], ([at, *row] for at, *row in zip(columns, *found.values(), strict=True)))


def whenever() -> str:
    """The lower end at level 0.05, looked at after each second pair from the sixth to the fortieth."""
    rows = []
    for noise in list(NOISES)[:2]:
        x = samples(noise, 0.0)[:500]
        ever: dict[str, NDArray[np.bool_]] = {}
        for n in range(6, ROUNDS + 1, 2):
            for name, low in bounds(x[:, :n], 0.05, np.random.default_rng(n), costly=False):
                ever[name] = ever.get(name, low > 0) | (low > 0)
        rows.append([noise, *(percent(each.mean()) for each in ever.values())])
    return table(["noise", *ever], rows)


def within() -> str:
    """How seldom a bootstrap would have objected to what is told worse."""
    counts = []
    for noise in list(NOISES)[:2]:
        x, chance = samples(noise, 0.05), np.random.default_rng(3)
        for n in (8, 12, 20):
            mine = bet_bound(x[:500, :n], 0.05) > log1p(MARGIN)
            (low,) = (b for name, b in bounds(x[:500, :n], 0.05, chance, costly=False) if "trimmed" in name)
            counts.append((mine.sum(), (mine & (low > log1p(MARGIN))).sum()))
    cleared, both = map(sum, zip(*counts, strict=True))
    return (
        f"Of {cleared} intervals of this gate that cleared the margin at +5 %, the bootstrap interval of the trimmed\n"
        f"mean at the same level cleared it too in {percent(both / cleared)} %: *worse* here is worse there too."
    )


def by_recording() -> str:
    """The rule on resamples of pairs that were recorded."""
    rows = []
    for cell in json.loads(RECORDED.read_text())["cells"]:
        pairs = np.array(cell["log_ratios"])
        for shift in (0.0, 0.03) if cell["slower_percent"] == 0 else (0.0,):
            x = np.random.default_rng(11).choice(pairs, (TRIALS, ROUNDS)) + log1p(shift)
            planted = f"{cell['slower_percent']} %" + (f", + {100 * shift:.0f} % added" if shift else "")
            deviation = 1.4826 * np.median(abs(pairs - np.median(pairs)))
            figures = f"{100 * np.expm1(np.median(pairs)):.1f} %", f"{100 * deviation:.1f} %"
            verdict, _ = judge(x, stage_level(MANY))
            rows.append(
                [cell["cell"], planted, str(len(pairs)), *figures, told(x, MANY), percent((verdict == SAME).mean())]
            )
    return table(["cell", "planted", "pairs", "median", "sd, robust", "worse / cannot tell / rounds", "same"], rows)


def main() -> None:
    """The page."""
    check()
    page = f"""{RULE}
## By noise

{MANY} tests, margin 3 %, at most {ROUNDS} rounds. In each field: told worse, % / could not be told, % / rounds used,
mean; the rest is told same. A pair differs by 1.8 % (standard deviation) where the noise is normal, as measured on a
quiet virtual machine with 2 cores; times drift by 4.5 % between rounds. At +3 % the truth is the margin itself, and
nothing should be told.

{by_noise()}
## By the number of tests

The same. The last line of each noise has two stages of exact signed-rank intervals, looked at after 8, 11, 15, 21, 29
and 40 pairs with a sixth of the level each: what a schedule of looks costs.

{by_tests()}
## A whole comparison

The probability in % that any of m independent cells is told worse, where none is, and where each is slower by just the
margin (the bound is 5 %, for rounds that do not depend on one another; a drift that hits one side in several rounds
running breaks it there, not at A/A); and how A/A comparisons of {MANY} tests end.

{by_family()}
## Other rules on the same processes

Told worse, in % of single verdicts. Each rule gets {PROCESSES} processes of each side with 7 blocks each, pooled:
first all of the base and then all of the new side, as with a stored baseline, or alternating.

{by_rule()}
## Intervals

How often the lower end of an interval lies above the true centre, in %, against the level it promises; in brackets how
far below the centre it typically lies, in %. "–": no end can be given. 1500 samples each, 400 resamples.

{by_interval()}
The same at level 5 %, looked at after every second pair from the sixth to the fortieth: how often it was ever above.

{whenever()}
So a percentile bootstrap of so few pairs misses more often than it promises, the more so the smaller the level, and
what holds at a size fixed beforehand, the exact interval included, does not hold for one that grows until the
verdict is clear. Bets hold at all sizes at once, and need fewer pairs than a schedule of looks.

{within()}

## On recorded pairs

{json.loads(RECORDED.read_text())["about"]}
Rounds are drawn from them with replacement.

{by_recording()}"""
    (ROOT / "docs" / "gate_rules.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
