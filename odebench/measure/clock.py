"""Wall time in paired rounds. Nothing is counted, weighed or checked in these passes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from odebench.types import Loop, Split, Trial

Clock = Callable[[], float]

# `warmup: auto` repeats the solve until it has run this long, or this often.
_WARM_SECONDS = 0.2
_WARM_RUNS = 3


@dataclass
class Rounds:
    """Raw samples in seconds, one of each per round."""

    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    forward_plain: list[float] = field(default_factory=list)  # the forward pass without a graph
    bare_forward: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    twin: list[float] = field(default_factory=list)  # the native pair beside a peer's, forward and backward
    beside: list[float] = field(default_factory=list)  # what `measure: {beside: …}` names, forward and backward
    cpu_seconds: list[float] = field(default_factory=list)  # of this process, over forward and backward

    def samples(self) -> dict[str, list[float]]:
        """As they are stored in a record."""
        return dict(vars(self))


def first_call(trial: Trial, clock: Clock = time.perf_counter) -> float:
    """The first solve and gradient in this process, with all that happens only once."""
    trial.clear()
    start = clock()
    trial.both()
    trial.sync()
    return clock() - start


def warm_up(trial: Trial, runs: int | str, clock: Clock = time.perf_counter, least: int = 1) -> int:
    """Run untimed; the number of runs. `auto` runs at least `least` times."""
    start, done = clock(), 0
    while True:
        enough = done >= least and (done >= _WARM_RUNS or clock() - start >= _WARM_SECONDS)
        if enough if runs == "auto" else done >= int(runs):
            return done
        trial.clear()
        trial.both()
        trial.sync()
        done += 1


def time_rounds(
    trial: Trial,
    bare: Loop,
    repeats: int,
    deadline: float,
    clock: Clock = time.perf_counter,
    twin: Trial | None = None,
    beside: Trial | None = None,
) -> Rounds:
    """`repeats` rounds: solve, bare loop, both again without a graph, the twin and what is beside if there are such.

    What is compared is alternated, since neither more samples nor minima cure a machine that drifts. Stops early, after
    one round at least, where the next round would end after `deadline` (of `clock`).
    """
    rounds, longest = Rounds(), 0.0
    if not isinstance(trial, Split):
        _round(trial, bare, Rounds(), clock)  # each of these is compiled when it is first called
    with _no_garbage_collection():
        for _ in range(repeats):
            start = clock()
            if rounds.forward and start + 1.5 * longest > deadline:
                break
            gc.collect()  # else what a plugin leaves in cycles piles up from round to round
            _round(trial, bare, rounds, clock)
            for other, seconds in ((twin, rounds.twin), (beside, rounds.beside)):
                if other is not None:
                    other.clear()
                    seconds.append(sum(time_solve(other, clock)))
                    other.clear()
            longest = max(longest, clock() - start)
    trial.clear()
    return rounds


def _round(trial: Trial, bare: Loop, rounds: Rounds, clock: Clock) -> None:
    trial.clear()
    trial.sync()
    cpu = time.process_time()
    forward, backward = time_solve(trial, clock)
    rounds.cpu_seconds.append(time.process_time() - cpu)
    rounds.forward.append(forward)
    rounds.backward.append(backward)
    trial.clear()
    rounds.bare.append(timed(bare.both, trial.sync, clock))
    rounds.forward_plain.append(timed(trial.forward_plain, trial.sync, clock))
    trial.clear()
    rounds.bare_forward.append(timed(bare.forward, trial.sync, clock))


def time_solve(trial: Trial, clock: Clock = time.perf_counter) -> tuple[float, float]:
    """Seconds of (forward, backward). Where both are one compiled call, backward is what it takes beyond a forward."""
    if not isinstance(trial, Split):
        whole = timed(trial.both, trial.sync, clock)
        trial.clear()
        forward = timed(trial.forward, trial.sync, clock)
        return forward, whole - forward
    trial.sync()
    start = clock()
    trial.forward()
    trial.sync()
    middle = clock()
    trial.backward()
    trial.sync()
    return middle - start, clock() - middle


def timed(run: Callable[[], None], sync: Callable[[], None], clock: Clock = time.perf_counter) -> float:
    """Seconds that `run` takes, the device idle before and after."""
    sync()
    start = clock()
    run()
    sync()
    return clock() - start


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection inside a sample would be charged to whatever happens to run.

    What is there already is set aside, so that collecting between samples takes no time worth naming.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
