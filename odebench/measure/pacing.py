"""How long one solve of each cell takes, found in moments: what a dry run asks. Runs in a worker.

At fixed steps a few of them are walked and the rest is in proportion; adaptive solves are tried out, and broken off
where they take too long.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from math import ceil
from typing import Any

import torch

from odebench import registry
from odebench.measure.clock import first_call, time_solve
from odebench.measure.peer_subject import build_alone, library_of
from odebench.measure.trial import TorchTrial
from odebench.problems import pose
from odebench.record import Cell, Measure
from odebench.spec import Spec

_LONG_ENOUGH = 0.02  # seconds of solve that tell a pace
_LONGEST = 0.7  # seconds after which a solve is broken off
_FEW = 8  # steps to begin with
_BACK_AND_FORTH = 3.0  # a solve and its gradient over a forward pass without a graph


class _LateError(Exception):
    """The alarm."""


def pace_solves(payload: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """A worker's job: {"groups", "plugins", "seconds"} -> answer {"solves", "compiled", "late", "spent"}.

    A group is [[index, cell, threads], …] of cells that differ in fixed steps alone. `solves` and `compiled` map
    indices to seconds: of one solve with its gradient, or of its first call where that compiles; `late` are indices of
    solves that were broken off. The answer is sent again after each group, so that what kills the worker costs one.
    """
    began = time.perf_counter()
    registry.load_builtins()
    for plugin in payload["plugins"]:
        registry.load_plugin(plugin)
    answer: dict[str, Any] = {"solves": {}, "compiled": {}, "late": [], "spent": 0.0}
    compiled = False
    for group in payload["groups"]:
        if time.perf_counter() - began > payload["seconds"]:
            break
        cells = [(index, Cell.from_data(cell)) for index, cell, _ in group]
        torch.set_num_threads(group[0][2])
        try:
            if _compiles(cells[0][1]):
                if not compiled:  # seconds each, and much the same for all
                    answer["compiled"][cells[0][0]] = first_call(build_alone(cells[0][1], Measure()).trial)
                compiled = True
            elif cells[0][1].stepping.name == "fixed":
                answer["solves"] |= _fixed(cells)
            else:
                _adaptive(cells, answer)
        except Exception:  # a cell that will fail when it is run; how long that takes nobody knows
            continue
        finally:
            answer["spent"] = time.perf_counter() - began
            send({"answer": answer})


def _compiles(cell: Cell) -> bool:
    library = library_of(cell)
    return library is not None and library.in_jax


def _fixed(cells: Sequence[tuple[int, Cell]]) -> dict[int, float]:
    """Seconds of each, from ever more steps until they take long enough to tell."""
    ts = pose(cells[0][1].problem).ts
    wanted = {index: _steps(cell.stepping, ts) for index, cell in cells}
    saves, most = len(ts) - 1, max(wanted.values())
    steps = min(most, saves * -(-_FEW // saves))
    while True:
        trial = build_alone(replace(cells[0][1], stepping=Spec.of("fixed", {"steps": steps})), Measure()).trial
        with _alarm():
            first_call(trial)
            trial.clear()
            seconds = sum(time_solve(trial))
        more = min(most, saves * (4 * steps // saves))
        if seconds >= _LONG_ENOUGH or more <= steps:
            return {index: seconds * count / steps for index, count in wanted.items()}
        steps = more


def _steps(stepping: Spec, ts: tuple[float, ...]) -> int:
    """How many there are, without the mesh: of a great many it would take longer than the trial."""
    options = dict(stepping.options)
    if options.get("steps") is not None:
        return int(options["steps"])
    return sum(max(1, ceil((t1 - t0) / options["dt"])) for t0, t1 in pairwise(ts))


def _adaptive(cells: Sequence[tuple[int, Cell]], answer: dict[str, Any]) -> None:
    for index, cell in cells:
        trial = build_alone(cell, Measure()).trial
        try:
            with _alarm():
                seconds = first_call(trial)
                if seconds < _LONGEST / 4:  # what happens only once is a good part of a short call
                    trial.clear()
                    seconds = sum(time_solve(trial))
        except _LateError:
            answer["late"].append(index)
            seconds = _extrapolated(trial)
        answer["solves"][index] = seconds


def _extrapolated(trial: Any) -> float:
    """Seconds of a solve that takes too long, from how far a forward pass gets; at least as long as it was given."""
    if not isinstance(trial, TorchTrial):
        return 2 * _LONGEST
    way = _Way()
    began = time.perf_counter()
    trial.clear()
    try:
        with _alarm():
            trial.observed(trace=way).forward_plain()
    except _LateError:
        pass
    t0, t1 = trial.bound.ts[0], trial.bound.ts[-1]
    done = max((way.t - t0) / (t1 - t0), 0.01)
    return max((time.perf_counter() - began) / done * _BACK_AND_FORTH, _LONGEST)


class _Way:
    """A `Trace` of how far a walk got."""

    t = float("-inf")

    def saw(self, t: float, y: Any) -> None:
        self.t = t

    def went(self, mesh: Any, rejected: int) -> None: ...

    def returned(self, steps: int, rejected: int) -> None: ...

    def recalled(self, t: float, y: Any) -> None: ...


@contextmanager
def _alarm() -> Iterator[None]:
    """Break off what takes longer than `_LONGEST`, wherever in Python it is.

    Raises:
        _LateError: it did.
    """

    def ring(number: int, frame: object) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
