"""Three ways for the backward sweep to get back the state before each step. Importable without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from math import comb, floor, sqrt
from typing import TYPE_CHECKING, ClassVar

from odebench.types import Mesh, Reversible, Stepper

if TYPE_CHECKING:
    from odebench.types import Field, State

    Memo = dict[int, State]


@dataclass(frozen=True)
class StoreAll:
    """Keep every state: N states, nothing recomputed."""

    needs: ClassVar[type] = Stepper

    def keep(self, memo: Memo, index: int, state: State, total: int | None) -> None:
        """Keep it."""
        memo[index] = state

    def rewind(self, memo: Memo, f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """The kept states, newest first."""
        return (memo[index] for index in reversed(range(len(mesh))))


@dataclass(frozen=True)
class Recompute:
    """Keep `checkpoints` states, the start among them, and recompute the others by the binomial schedule.

    Without a number, as many as keep the recomputation to at most two extra passes: about sqrt(2N). Where the number of
    steps is known beforehand the checkpoints are placed during the forward pass; otherwise (adaptive steps) only the
    start is kept then, and the backward pass begins with one more forward pass.

    Source: A. Griewank, A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000).
    """

    checkpoints: int | None = None
    needs: ClassVar[type] = Stepper

    def keep(self, memo: Memo, index: int, state: State, total: int | None) -> None:
        """Keep the start, and the first descent of the schedule if it is known."""
        if index == 0 or (total is not None and index in descent(total, self.count(total))):
            memo[index] = state

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

        held = [(0, memo[0])]
        while end > 0:
            at, state = held[-1]
            while end - at > 1 and len(held) < count:
                after = at + split(end - at, count - len(held) + 1)
                kept = memo.pop(after, None)
                state = forward(state, at, after) if kept is None else kept
                at = after
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

    def keep(self, memo: Memo, index: int, state: State, total: int | None) -> None:
        """Nothing, or the states to start afresh from."""
        if self.reset is not None and index and index % self.reset == 0:
            memo[index] = state

    def rewind(self, memo: Memo, f: Field, stepper: Stepper, mesh: Mesh, last: State) -> Iterator[State]:
        """By `unstep`, from the last state."""
        assert isinstance(stepper, Reversible)
        for index in reversed(range(len(mesh))):
            t, dt, _ = mesh[index]
            last = stepper.unstep(f, t, dt, memo.get(index + 1, last))
            yield last


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
