"""Three ways for the backward sweep to get back the state before each step. Importable without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import comb, floor, inf, sqrt
from typing import TYPE_CHECKING, ClassVar

from odebench.types import Mesh, Reversible, Stepper

if TYPE_CHECKING:
    from odebench.types import Field, State

    Memo = dict[int, State]
    Keep = Callable[[int, State, int | None], None]


@dataclass(frozen=True)
class StoreAll:
    """Keep every state: N states, nothing recomputed."""

    needs: ClassVar[type] = Stepper

    def keeper(self, memo: Memo) -> Keep:
        """Keeps it."""

        def keep(index: int, state: State, total: int | None) -> None:
            memo[index] = state

        return keep

    def rewind(self, memo: Memo, f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """The kept states, newest first."""
        return (memo[index] for index in reversed(range(len(mesh))))


@dataclass(frozen=True)
class Recompute:
    """Keep `checkpoints` states, the start among them, and recompute the others by the binomial schedule.

    Without a number, as many as keep the recomputation to at most two extra passes: about sqrt(2N). Where the number of
    steps is known beforehand the forward pass places the checkpoints of the optimal schedule; otherwise (adaptive
    steps) it thins them out as it goes, see `Thinning`. The way back over what lies between two checkpoints is optimal
    for those that are free by then.

    Source: A. Griewank, A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000); Q. Wang, P. Moin, G. Iaccarino, Minimal
    repetition dynamic checkpointing algorithm for unsteady adjoint calculation, SIAM J. Sci. Comput. 31 (2009).
    """

    checkpoints: int | None = None
    needs: ClassVar[type] = Stepper

    def keeper(self, memo: Memo) -> Keep:
        """Keeps the start, and the first descent of the schedule if it is known, or what `Thinning` leaves."""
        thinning = Thinning()

        def keep(index: int, state: State, total: int | None) -> None:
            if index == 0 or (total is not None and index in descent(total, self.count(total))):
                memo[index] = state
            elif total is None:
                memo[index] = state
                for place in thinning.add(index, self.count(index + 1)):
                    del memo[place]

        return keep

    def rewind(self, memo: Memo, f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """Newest first. Never holds more than `checkpoints` states: what the forward pass placed is let go once used,
        and a second backward pass recomputes it from the start, which stays.
        """
        from odebench.integrate import advance_of

        advance, count, end = advance_of(stepper), self.count(len(mesh)), len(mesh)

        def forward(state: State, lo: int, hi: int) -> State:
            for t, dt, _ in mesh[lo:hi]:
                state = advance(f, t, dt, state)
            return state

        if not end:
            return  # of an empty batch whose samples step by themselves
        held = [(0, memo[0]), *((at, memo.pop(at)) for at in sorted(memo) if at)]
        while end > 0:
            at, state = held[-1]
            while end - at > 1 and len(held) < count:
                after = at + split(end - at, count - len(held) + 1)
                at, state = after, forward(state, at, after)
                held.append((at, state))
            end -= 1
            yield forward(state, at, end)
            if at == end:
                held.pop()

    def count(self, steps: int) -> int:
        """Checkpoints for so many steps."""
        if self.checkpoints is not None:
            return self.checkpoints
        return max(1, floor(-1.5 + sqrt(2 * steps + 0.25)) + 1)


@dataclass(frozen=True)
class Invert:
    """Undo the steps. With `reset`, every so many steps the way back starts afresh from a state that was stored.

    Undoing amplifies rounding from step to step; with resets no further than over `reset` steps, for N/reset states.
    The forward pass is the same with and without.
    """

    reset: int | None = None
    needs: ClassVar[type] = Reversible

    def keeper(self, memo: Memo) -> Keep:
        """Keeps nothing, or the states to start afresh from."""

        def keep(index: int, state: State, total: int | None) -> None:
            if self.reset is not None and index and index % self.reset == 0:
                memo[index] = state

        return keep

    def rewind(self, memo: Memo, f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """By `unstep`, from the last state."""
        assert isinstance(stepper, Reversible)
        for index in reversed(range(len(mesh))):
            t, dt, _ = mesh[index]
            last = stepper.unstep(f, t, dt, memo.get(index + 1, last))
            yield last


@dataclass
class Thinning:
    """Which places to keep of those that come one by one, when nobody knows how many there will be.

    A new place has level 0, and pushes out one that has a higher level after it; where there is none the newest place
    is moved on to the new one, a level higher. So the levels fall from the start on, and at every moment c places are
    spread so that the way back over n steps takes none of them more than r times, r the least with C(c + r, c) ≥ n.

    Source: Q. Wang, P. Moin, G. Iaccarino, SIAM J. Sci. Comput. 31 (2009), algorithm 1.
    """

    levels: dict[int, float] = field(default_factory=lambda: {0: inf})  # in the order of the places

    def add(self, place: int, most: int) -> list[int]:
        """The places let go, that one itself perhaps, so that no more than `most` are kept."""
        if most < 2:
            return [place]
        if len(self.levels) < most:
            self.levels[place] = 0
            return []
        newest = next(reversed(self.levels))
        higher, dispensable = -inf, newest
        for each in reversed(self.levels):
            if self.levels[each] < higher:
                dispensable = each
                break
            higher = max(higher, self.levels[each])
        level = self.levels.pop(dispensable)
        self.levels[place] = level + 1 if dispensable == newest else 0
        return [dispensable]


def reach(checkpoints: int, repeats: int) -> int:
    """How many steps can be reversed with so many checkpoints, no step taken more than `repeats` times."""
    return comb(checkpoints + repeats, checkpoints) if repeats >= 0 else 0


@cache
def advances(steps: int, checkpoints: int) -> int:
    """The least number of untaped steps that reverse `steps` steps, the first pass included: r·n − C(c + r, r − 1)."""
    if steps <= 1:
        return 0
    repeats = 1
    while reach(checkpoints, repeats) < steps:
        repeats += 1
    return repeats * steps - comb(checkpoints + repeats, repeats - 1)


@cache
def split(steps: int, checkpoints: int) -> int:
    """How far to advance before the next checkpoint: some m that attains the optimum
    advances(n, c) = min over m of m + advances(n − m, c − 1) + advances(m, c), for c > 1 and n > 1.
    """
    repeats = 1
    while reach(checkpoints, repeats) < steps:
        repeats += 1
    # The cost is convex and piecewise linear in m, with kinks only where a part fills the reach of its checkpoints.
    kinks = {reach(checkpoints, r) for r in (repeats - 2, repeats - 1)}
    kinks |= {steps - reach(checkpoints - 1, r) for r in (repeats - 1, repeats)}
    candidates = sorted({min(max(1, m), steps - 1) for m in kinks})
    return min(candidates, key=lambda m: m + advances(steps - m, checkpoints - 1) + advances(m, checkpoints))


@lru_cache(maxsize=64)
def descent(steps: int, checkpoints: int) -> frozenset[int]:
    """Where the schedule's first pass puts its checkpoints, the start left out."""
    at = 0
    places: list[int] = []
    while steps - at > 1 and len(places) + 1 < checkpoints:
        at += split(steps - at, checkpoints - len(places))
        places.append(at)
    return frozenset(places)
