"""A mesh of steps that samples take by themselves, as data: rounds, each one step of some samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from odebench.types import Field, Mesh, State, Step, Stepper, Tick, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Inside:
    """Saved times inside the steps of a round: `step` counts its steps, `place` is 0 at the start and 1 at the end.

    `value` is what is given there: saved time · batch + sample.
    """

    step: Places
    place: Floats
    value: Places


@dataclass(frozen=True, eq=False)
class Round:
    """One accepted step of each of `rows`, samples in the order of the batch, from times `t` by lengths `dt`.

    Samples are carried along only while they are under way, and `moved` and `stay` are places among those: of the ones
    that step, where others were rejected, and of the ones that go on, where others arrived; None where all do. `landed`
    counts the steps that end on a saved time, and `value` is what each gives there, as `Inside` has it.
    """

    rows: Places
    t: Floats
    dt: Floats
    moved: Places | None
    stay: Places | None
    landed: Places
    value: Places
    inside: Inside | None = None

    @property
    def several(self) -> bool:
        """Whether more than one sample was tried in the round, though only one may have stepped."""
        return self.moved is not None or len(self.rows) > 1

    @property
    def values(self) -> Places:
        """What the round gives, in order: at the ends of steps, then inside."""
        return self.value if self.inside is None else np.concatenate((self.value, self.inside.value))


@dataclass(frozen=True, eq=False)
class Rounds:
    """All rounds of one walk, in order. `rejected` are the trials that each sample threw away, shape (batch,).

    `whole` tells that f had to be called on the whole batch in each of them.
    """

    rounds: tuple[Round, ...]
    rejected: Places
    whole: bool = False

    def __len__(self) -> int:
        return len(self.rounds)

    def __iter__(self) -> Iterator[Round]:
        return iter(self.rounds)

    def __getitem__(self, index: int) -> Round:
        return self.rounds[index]

    @cached_property
    def steps(self) -> Places:
        """Accepted steps of each sample, shape (batch,)."""
        steps = np.zeros_like(self.rejected)
        for each in self.rounds:
            steps[each.rows] += 1
        return steps

    @property
    def slowest(self) -> int:
        """The sample of the most trials, the first of these."""
        return int((self.steps + self.rejected).argmax())

    def of(self, row: int) -> Mesh:
        """The steps of one sample."""
        ticks = []
        for each in self.rounds:
            at = int(np.searchsorted(each.rows, row))
            if at < len(each.rows) and each.rows[at] == row:
                lands = int((each.landed == at).sum())
                lands += 0 if each.inside is None else int((each.inside.step == at).sum())
                ticks.append(Tick(float(each.t[at]), float(each.dt[at]), lands))
        return tuple(ticks)

    @property
    def numbered(self) -> Mesh:
        """The rounds as steps of a walk whose time is the number of the round."""
        return tuple(Tick(float(index), 1.0, 0) for index in range(len(self.rounds)))


@dataclass(frozen=True)
class Again:
    """The steps of recorded rounds, so that two gradients can be compared on identical steps."""

    rounds: Rounds
    per_sample = True

    def refusal(self, stepper: Stepper) -> str | None:
        """Whoever walked them once can walk them again."""
        return None

    def mesh(self, ts: tuple[float, ...]) -> None:
        """No one mesh is that of all samples."""

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, None]:
        """Never asked: the steps are known."""
        raise AssertionError("known rounds are walked, not searched")

    def judge(self, dt: float, before: State, step: Step, order: int, memory: None) -> Verdict:
        """Never asked: the steps are known."""
        raise AssertionError("known rounds are walked, not searched")
