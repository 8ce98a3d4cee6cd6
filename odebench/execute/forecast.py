"""About how long a run will take, from a few solves tried here and what is known of what a cell does with them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from time import monotonic
from typing import Any

from odebench.errors import OdebenchError
from odebench.execute.crew import Crew, Job
from odebench.execute.truths import Truths
from odebench.plan import Planned
from odebench.record import Cell, Measure, Record
from odebench.suite.loading import Suite

SECONDS = 7.0  # that all solves may take together; starting workers comes on top
_PATIENCE = 30.0  # seconds after which a worker is given up
_JOB = "odebench.measure.pacing:pace_solves"

# What measuring one cell takes, in solves with their gradients: first call, count, check, its reference, the scales
# (twice a solve), and in each round beside the solve a bare loop and two forward passes. Fitted to quickstart and to
# memory_vs_steps; these and four other suites took 0.7 to 1.1 times as long as was told.
_ONCE, _A_ROUND = 6.0, 2.0
_WARM_SECONDS, _WARM_RUNS = 0.2, 3  # of `warmup: auto`
_A_CELL = 0.15  # seconds to fork a worker, and for its first steps in torch
_COMPILED = 2.8  # first calls of a solve that is compiled: gradient, forward pass and bare loop each for itself
_LOW, _HIGH = 0.7, 1.5  # of the middle, the range that is told


@dataclass(frozen=True)
class Forecast:
    """Seconds, and what they rest on."""

    middle: float
    tried: int = 0  # kinds of solve that were timed
    kinds: int = 0  # of so many
    late: int = 0  # solves that were broken off
    truths: int = 0  # true answers that are still to be worked out; not in `middle`
    left_out: tuple[str, ...] = ()  # what nobody can tell, one phrase each

    @property
    def low(self) -> float:
        """The end of the range."""
        return _LOW * self.middle

    @property
    def high(self) -> float:
        """The other end."""
        return _HIGH * self.middle


@dataclass
class _Paces:
    """What workers found: index of a cell -> seconds."""

    solves: dict[int, float] = field(default_factory=dict)
    compiled: dict[int, float] = field(default_factory=dict)
    late: int = 0
    started: dict[bool, float] = field(default_factory=dict)  # on a GPU? -> seconds until a worker is at work


def forecast(
    cells: Iterable[Planned],
    suites: Sequence[Suite],
    jobs: int = 1,
    done: Sequence[Record] = (),
    seconds: float = SECONDS,
) -> Forecast | None:
    """For those of `cells` that are to be measured; None where nothing can be told, or nothing is to be done.

    Args:
        done: records of an earlier run of the same suites; of a cell that differs in its seed alone no solve is tried.
        seconds: that the trials may take.
    """
    owners = {suite.name: suite for suite in reversed(suites)}
    wanted = [each.cell for each in cells if each.refusal is None]
    left_out, known = _split(wanted, owners)
    if not known:
        return None
    indexed = dict(enumerate(known))
    paces = _Paces(solves=_seen(indexed, done))
    groups = _groups({index: cell for index, cell in indexed.items() if index not in paces.solves})
    _try_out(groups, owners, paces, seconds)
    if not paces.solves and not paces.compiled:
        return None
    total = _total(indexed, groups, owners, paces, jobs)
    tried = sum(any(index in paces.solves or index in paces.compiled for index in group) for group in groups)
    with Truths() as truths:
        missing = {path for cell in known if not (path := truths.path(cell)).is_file()}
    return Forecast(total, tried, len(groups), paces.late, len(missing), left_out)


def _split(cells: Sequence[Cell], owners: Mapping[str, Suite]) -> tuple[tuple[str, ...], list[Cell]]:
    """(what cannot be told, the cells of which something can)."""
    trained = [cell for cell in cells if getattr(owners[cell.suite], "training", None) is not None]
    matched = [cell for cell in cells if owners[cell.suite].measure.match_error is not None]
    told = [f"{len(trained)} training runs"] if trained else []
    told += [f"{len(matched)} cells whose setting is searched"] if matched else []
    return tuple(told), [cell for cell in cells if cell not in trained and cell not in matched]


def _seen(cells: Mapping[int, Cell], done: Sequence[Record]) -> dict[int, float]:
    times = {_but_seed(record.cell): record.metrics.get("wall_seconds") for record in done}
    found = {index: times.get(_but_seed(cell)) for index, cell in cells.items()}
    return {index: float(wall) for index, wall in found.items() if wall is not None}


def _but_seed(cell: Cell) -> tuple[Any, ...]:
    return (cell.suite, cell.problem, cell.solver, cell.gradient, cell.stepping, cell.device, cell.dtype, cell.batch)


def _groups(cells: Mapping[int, Cell]) -> list[dict[int, Cell]]:
    """Cells of one pace: those that differ in their seed, or in fixed steps; in an order that mixes what is slow."""
    found: dict[Any, dict[int, Cell]] = {}
    for index, cell in cells.items():
        stepping = cell.stepping.name if cell.stepping.name == "fixed" else cell.stepping
        found.setdefault((*_but_seed(cell)[:4], stepping, *_but_seed(cell)[5:]), {})[index] = cell
    groups = list(found.values())
    random.Random(0).shuffle(groups)
    return groups


def _try_out(groups: Sequence[dict[int, Cell]], owners: Mapping[str, Suite], paces: _Paces, seconds: float) -> None:
    """One worker for the CPU, and one for GPUs."""
    by_place: dict[bool, list[dict[int, Cell]]] = {}
    for group in groups:
        by_place.setdefault(next(iter(group.values())).device != "cpu", []).append(group)
    for gpu, some in by_place.items():
        plugins = [plugin for suite in owners.values() for plugin in suite.plugins]
        payload = {
            "groups": [
                [[i, cell.to_data(), owners[cell.suite].measure.threads] for i, cell in g.items()] for g in some
            ],
            "plugins": list(dict.fromkeys(plugins)),
            "seconds": seconds / len(by_place),
        }
        began = monotonic()
        try:
            with Crew(preload=not gpu) as crew:  # what computes on a GPU is no fork
                crew.start(Job(_JOB, payload, seconds + _PATIENCE, fresh=gpu))
                (worker,) = crew.wait()
        except OdebenchError:
            continue
        said = worker.answer.answer or {"solves": {}, "compiled": {}, "late": [], "spent": 0.0}
        paces.solves |= {int(index): float(each) for index, each in said["solves"].items()}
        paces.compiled |= {int(index): float(each) for index, each in said["compiled"].items()}
        paces.late += len(said["late"])
        paces.started[gpu] = max(monotonic() - began - said["spent"], 0.0)


def _total(
    cells: Mapping[int, Cell], groups: Sequence[dict[int, Cell]], owners: Mapping[str, Suite], paces: _Paces, jobs: int
) -> float:
    """Seconds of the run. A cell of which nothing was tried takes what the middle one of those tried takes."""
    compiled = median(paces.compiled.values()) if paces.compiled else None
    typical = median(paces.solves.values()) if paces.solves else 0.0
    shares = {True: 1, False: jobs}
    total = paces.started.get(False, 0.0)  # a run imports torch once, and forks
    for index, cell in cells.items():
        gpu, measure = cell.device != "cpu", owners[cell.suite].measure
        if cell.solver.name.startswith("diffrax.") and compiled is not None and index not in paces.solves:
            seconds = _COMPILED * compiled
        else:
            seconds = _of_solves(paces.solves.get(index, typical), measure)
        seconds += _A_CELL + (paces.started.get(True, 0.0) if gpu else 0.0)
        total += min(seconds, measure.timeout) / shares[gpu]
    return total


def _of_solves(seconds: float, measure: Measure) -> float:
    """Of one cell, whose solve and gradient take `seconds`."""
    auto = max(1, min(_WARM_RUNS, ceil(_WARM_SECONDS / max(seconds, 1e-9))))
    warm = auto if measure.warmup == "auto" else int(measure.warmup)
    return seconds * (_ONCE + warm + _A_ROUND * measure.repeats)
