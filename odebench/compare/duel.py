"""Times of two sides, measured against each other in rounds of fresh processes, until the verdicts are clear."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import ceil, log
from statistics import median
from typing import Any, Protocol

from odebench.compare.arms import Arm, ArmLost, ArmTrouble
from odebench.compare.evidence import Test
from odebench.compare.trees import Tree
from odebench.record import Cell

ARMS = ("base", "again", "new")  # the second is the A/A arm
_BLOCK = 0.004  # seconds that a block of solves takes at least, far beyond what the clock can tell apart
_SPENT = 0.3  # seconds of blocks that one process gives to one cell, where the solves are short enough
_FEWEST_BLOCKS, _MOST_BLOCKS = 3, 9
_BUSY = 0.9  # share of a block's time that its process must have run; else others' work is in it
_TRIES = 2  # times as many blocks, where too many are spoilt by others

# Metric -> its value from the means of one block.
TIMES = {
    "forward_seconds": lambda row: row["forward_seconds"],
    "backward_seconds": lambda row: row["backward_seconds"],
    "wall_seconds": lambda row: row["forward_seconds"] + row["backward_seconds"],
    "overhead_forward": lambda row: row["plain_seconds"] / row["bare_forward_seconds"],
    "overhead": lambda row: (row["forward_seconds"] + row["backward_seconds"]) / row["bare_seconds"],
}
OVERHEADS = ("overhead_forward", "overhead")


@dataclass(frozen=True, eq=False)
class Match:
    """One cell on both sides; its findings are told under `new`."""

    base: Cell
    new: Cell
    plugins: tuple[str, ...] = ()
    measure: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Bout:
    """One metric of one match: the samples so far, and the test that judges them."""

    match: Match
    metric: str
    test: Test
    ratios: list[float] = field(default_factory=list)  # log of new over base, one of each round
    control: list[float] = field(default_factory=list)  # log of the A/A arm over base
    values: dict[str, list[float]] = field(default_factory=lambda: {arm: [] for arm in ARMS})  # medians of processes
    trouble: str = ""  # why it cannot be timed

    @property
    def open(self) -> bool:
        """More samples are wanted."""
        return not self.trouble and self.test.verdict is None

    def add(self, medians: Mapping[str, float]) -> None:
        """One round."""
        for arm, value in medians.items():
            self.values[arm].append(value)
        if min(medians.values()) <= 0:
            # What a compiled call takes beyond a forward one may come out at nothing at all.
            self.trouble = "it is too short to be timed"
            return
        base, again, new = (log(medians[arm]) for arm in ARMS)
        # Both base processes stand for the base: the mean of two is steadier than one, and independent of their ratio.
        self.ratios.append(new - (base + again) / 2)
        self.control.append(again - base)
        self.test.add(self.ratios[-1])


class Watcher(Protocol):
    """Is told how a duel goes."""

    def round_done(self, rounds: int, bouts: Sequence[Bout], spent: float, budget: float) -> None:
        """After each round."""


@dataclass(frozen=True)
class Limits:
    """When to stop though not all is clear."""

    budget: float = 600.0  # seconds
    rounds: int = 120
    seed: int = 0


def fight(bouts: Sequence[Bout], base: Tree, new: Tree, limits: Limits, watcher: Watcher | None = None) -> int:
    """Rounds until every bout is decided, or the limits are reached; how many there were.

    In a round each side runs in a fresh process, the base in two, since what a process happens to get (addresses,
    pages, hash seeds) shifts all its times by some percent, and no repetition inside it tells. All three are alive
    together and take turns block by block in random order, so that they see the same machine.

    Raises:
        OdebenchError: a side's processes cannot be started, or are not what they should be.
    """
    chance, started, longest, rounds = random.Random(limits.seed), time.monotonic(), 0.0, 0
    trees = dict(zip(ARMS, (base, base, new), strict=True))
    while rounds < limits.rounds and any(each.open for each in bouts):
        began = time.monotonic()
        if rounds and began - started + longest > limits.budget:
            break
        _round([each for each in bouts if each.open], trees, chance)
        rounds += 1
        # The first round compiles and reads from a cold disk; later ones have fewer cells open.
        longest = time.monotonic() - began
        if watcher is not None:
            watcher.round_done(rounds, bouts, time.monotonic() - started, limits.budget)
    for each in bouts:
        if each.open:
            each.test.close()
    return rounds


def _round(bouts: Sequence[Bout], trees: Mapping[str, Tree], chance: random.Random) -> None:
    """One sample of each bout. Cells that need other plugins or settings need other processes."""
    groups: dict[str, list[Match]] = {}
    for match in dict.fromkeys(each.match for each in bouts):
        groups.setdefault(repr((match.plugins, sorted(match.measure.items()))), []).append(match)
    for matches in groups.values():
        chance.shuffle(matches)
        with _arms(trees, matches[0], chance) as arms:
            for match in matches:
                wanted = [each for each in bouts if each.match is match]
                try:
                    _sample(match, wanted, arms, chance)
                except (ArmLost, ArmTrouble) as error:
                    for each in wanted:
                        each.trouble = f"it could not be timed: {error}"
                    if isinstance(error, ArmLost):
                        break  # the others of this group get their sample in the next round


@contextmanager
def _arms(trees: Mapping[str, Tree], match: Match, chance: random.Random) -> Iterator[dict[str, Arm]]:
    arms: dict[str, Arm] = {}
    try:
        for name in chance.sample(ARMS, len(ARMS)):
            arms[name] = Arm(trees[name], list(match.plugins), match.measure)
        for arm in arms.values():
            arm.open()
        yield arms
    finally:
        for arm in arms.values():
            with suppress(OSError):
                arm.close()


def _sample(match: Match, bouts: Sequence[Bout], arms: Mapping[str, Arm], chance: random.Random) -> None:
    patience = float(match.measure.get("timeout", 120.0))
    bare = any(each.metric in OVERHEADS for each in bouts)
    seconds = []
    for name in chance.sample(ARMS, len(ARMS)):
        cell = match.new if name == "new" else match.base
        seconds.append(arms[name].ask({"cell": cell.to_data(), "bare": bare}, patience)["seconds"])
    solves = max(1, ceil(_BLOCK / max(min(seconds), 1e-9)))
    blocks = min(max(round(_SPENT / (solves * max(seconds))), _FEWEST_BLOCKS), _MOST_BLOCKS)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for done in range(_TRIES * blocks):
        if done >= blocks and min(sum(row["busy"] >= _BUSY for row in rows[name]) for name in ARMS) >= blocks:
            break
        for name in chance.sample(ARMS, len(ARMS)):
            rows[name].append(arms[name].ask({"time": solves}, patience * solves))
    for each in bouts:
        value = TIMES[each.metric]
        each.add({name: median(map(value, _undisturbed(rows[name]))) for name in ARMS})


def _undisturbed(rows: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """The blocks in which the process had a processor; all of them where it hardly ever had, or waits by itself."""
    found = [row for row in rows if row["busy"] >= _BUSY]
    return found if len(found) >= _FEWEST_BLOCKS else rows
