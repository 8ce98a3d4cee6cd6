"""Matched accuracy: the loosest tolerance, or the fewest steps, at which a cell meets an error that was asked for.

The same tolerance is not the same work: libraries differ in norms, controllers and safety, and schemes in error
constants. At equal achieved error their costs can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf, sqrt
from pathlib import Path
from typing import Any, Protocol

import torch

from odebench import registry
from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, OutOfReach, Refusal, SolveError
from odebench.measure.check import relative
from odebench.measure.peer_subject import build_alone
from odebench.peers.peer import Peer
from odebench.problems import pose
from odebench.record import Cell, Measure
from odebench.spec import Spec
from odebench.truth import Truth, load_truth

# Solves that a search may take; where each setting is compiled anew, a solve costs a second or more.
MOST_SOLVES, MOST_COMPILED = 25, 12
_TIGHTEST, _LOOSEST = 1e-14, 1.0  # tolerances
_PARTS = 8  # of a factor of 10: tolerances are told apart down to a factor of 1.33
_APART = 1.1  # and numbers of steps to 10 %
_MOST_STEPS = 100_000  # as many as an adaptive solve tries unless told otherwise
_ROUNDING = 1e-9


class Scale(Protocol):
    """The settings of a stepping, as whole numbers: the more, the finer. Coarser and finer go by a large factor."""

    @property
    def start(self) -> int:
        """The stepping that was given, or what is nearest to it."""

    def coarser(self, at: int) -> int | None:
        """None where the scale ends."""

    def finer(self, at: int) -> int | None:
        """None where the scale ends."""

    def between(self, coarse: int, fine: int) -> int | None:
        """Half-way in the logarithm; None where they are near enough."""

    def options(self, at: int) -> dict[str, Any]:
        """The options of the stepping that are searched."""


@dataclass(frozen=True)
class Tolerances:
    """Both tolerances of `control` over 10^(at/8), so that their ratio stays."""

    control: Adaptive

    start = 0

    def coarser(self, at: int) -> int | None:
        """Ten times, while the larger one stays within 1."""
        largest = max(self.control.rtol, self.control.atol)
        return at - _PARTS if _scaled(largest, at - _PARTS) <= _LOOSEST else None

    def finer(self, at: int) -> int | None:
        """A tenth, while rtol (atol where that is 0) is no less than 1e-14."""
        leading = self.control.rtol or self.control.atol
        return at + _PARTS if _scaled(leading, at + _PARTS) >= _TIGHTEST else None

    def between(self, coarse: int, fine: int) -> int | None:
        """On the grid of eighths."""
        return (coarse + fine) // 2 if fine - coarse > 1 else None

    def options(self, at: int) -> dict[str, Any]:
        """To six digits, for the reader's sake."""
        return {"rtol": _scaled(self.control.rtol, at), "atol": _scaled(self.control.atol, at)}


@dataclass(frozen=True)
class Steps:
    """`at` equal steps between saved times, `saves` times over; `length` is that between saved times.

    A dt becomes a whole part of that length: a shorter last step would make the error jump from one dt to the next.
    """

    control: Fixed
    saves: int
    length: float

    @property
    def start(self) -> int:
        """As given."""
        if self.control.dt is None:
            assert self.control.steps is not None
            return max(1, self.control.steps // self.saves)
        return max(1, ceil(self.length / self.control.dt - _ROUNDING))

    def coarser(self, at: int) -> int | None:
        """Half as many."""
        return at // 2 if at > 1 else None

    def finer(self, at: int) -> int | None:
        """Twice as many."""
        return 2 * at if 2 * at * self.saves <= _MOST_STEPS else None

    def between(self, coarse: int, fine: int) -> int | None:
        """The geometric mean."""
        if fine - coarse <= 1 or fine <= _APART * coarse:
            return None
        return min(max(round(sqrt(coarse * fine)), coarse + 1), fine - 1)

    def options(self, at: int) -> dict[str, Any]:
        """In the form that was given."""
        return {"steps": at * self.saves} if self.control.dt is None else {"dt": self.length / at}


class _Spent(Exception):
    """All solves are used up."""


class Search:
    """Where on `scale` `error_at` first meets `target`, coming from the coarse end.

    Errors are not quite monotone: of all that were tried the setting found is one that met the target itself.
    """

    def __init__(self, scale: Scale, error_at: Callable[[int], float], target: float, most: int) -> None:
        self.scale, self.error_at, self.target, self.most = scale, error_at, target, most
        self.errors: dict[int, float] = {}
        self.wall = ""  # why nothing finer can be had

    def find(self) -> int | None:
        """The setting, or None."""
        coarse = fine = None
        try:
            coarse, fine = self._bracket()
            while coarse is not None and fine is not None:
                middle = self.scale.between(coarse, fine)
                if middle is None:
                    break
                if self._meets(middle):
                    fine = middle
                else:
                    coarse = middle
        except _Spent:
            self.wall = f"{self.most} solves were tried"
        met = [at for at, error in self.errors.items() if error <= self.target]
        return fine if fine is not None else min(met, default=None)

    @property
    def best(self) -> int | None:
        """The setting of the least error; None if there was none to speak of."""
        finite = [at for at, error in self.errors.items() if error < inf]
        return min(finite, key=lambda at: (self.errors[at], at), default=None)

    def _bracket(self) -> tuple[int | None, int | None]:
        """(a setting that misses the target, a finer neighbour that meets it); None for what is not there."""
        at: int = self.scale.start
        if self._meets(at):
            following = self.scale.coarser(at)
            while following is not None and self._meets(following):
                at, following = following, self.scale.coarser(following)
            return following, at
        while not self.wall:
            following = self.scale.finer(at)
            if following is None:
                self.wall = "nothing finer is tried"
            elif self._meets(following):
                return at, following
            else:
                at = following
        return at, None

    def _meets(self, at: int) -> bool:
        if len(self.errors) >= self.most:
            raise _Spent
        self.errors[at] = inf
        try:
            self.errors[at] = self.error_at(at)
        except Refusal as error:
            if len(self.errors) == 1:
                raise  # the stepping as it was asked for
            self._end(at, error)
        except (Divergence, FloatingPointError):
            pass  # too coarse, as a rule
        except SolveError as error:
            # What could not be solved yet may be by finer steps; what could be, and no longer can, is at its end.
            if self.best is not None:
                self._end(at, error)
        return self.errors[at] <= self.target

    def _end(self, at: int, error: Exception) -> None:
        if at == max(self.errors):
            self.wall = str(error)


def match(cell: Cell, measure: Measure, truth: Path | None) -> tuple[Cell, dict[str, Any]]:
    """(the cell at the setting that was found, what a record's settings say of it).

    Raises:
        OutOfReach: there is no truth, or no setting that may be tried meets the target.
        Refusal: the cell cannot be computed at all.
    """
    target = measure.match_error
    assert target is not None
    if truth is None:
        raise OutOfReach(f"{measure.match} {target:g} cannot be matched: the true solution could not be worked out")
    known, scale, tried = load_truth(truth), _scale(cell), {}

    def error_at(at: int) -> float:
        tried[at] = _at(cell, scale.options(at))
        return _error(tried[at], measure, known, truth)

    solver = registry.solvers.build(cell.solver)
    compiled = isinstance(solver, Peer) and solver.in_jax
    search = Search(scale, error_at, target, MOST_COMPILED if compiled else MOST_SOLVES)
    found = search.find()
    solves = len(search.errors)
    if found is None:
        best = search.best
        reached = "no solve got to the end" if best is None else (
            f"the best was {search.errors[best]:.2g}, at {_spelled(scale.options(best))}"
        )  # fmt: skip
        raise OutOfReach(f"{measure.match} {target:g} was not met in {solves} solves: {reached}; {search.wall}")
    matched = {**scale.options(found), "error": search.errors[found], "solves": solves}
    return tried[found], {"matched": matched}


def _scale(cell: Cell) -> Scale:
    control: Any = registry.steppings.build(cell.stepping)
    if isinstance(control, Adaptive):
        return Tolerances(control)
    if isinstance(control, Fixed):
        ts = pose(cell.problem).ts
        return Steps(control, len(ts) - 1, abs(ts[-1] - ts[0]) / (len(ts) - 1))
    raise OutOfReach(f"match_error searches fixed and adaptive steppings; {cell.stepping} is neither")


def _at(cell: Cell, options: dict[str, Any]) -> Cell:
    stepping = Spec.of(cell.stepping.name, dict(cell.stepping.options) | options)
    return replace(cell, stepping=stepping)


def _error(cell: Cell, measure: Measure, known: Truth, truth: Path) -> float:
    """Of one solve.

    Raises:
        Refusal, SolveError, Divergence: there is none.
    """
    _ask(cell)
    subject = build_alone(cell, measure)
    if measure.match == "gradient_error":
        return subject.check(truth)[0]["gradient_error"]
    y1 = torch.as_tensor(known.y1, dtype=torch.float64).reshape(-1)
    return relative(subject.end(), y1)


def _ask(cell: Cell) -> None:
    """The planner has asked a peer about the stepping as given only."""
    solver = registry.solvers.build(cell.solver)
    if isinstance(solver, Peer):
        saves = dict(cell.problem.options).get("saves", 1)
        said = solver.refusal(cell.gradient, cell.stepping, saves=saves, dtype=cell.dtype, device=cell.device)
        if said:
            raise Refusal(said)


def _scaled(tolerance: float, at: int) -> float:
    return float(f"{tolerance * 10.0 ** (-at / _PARTS):.6g}")


def _spelled(options: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in options.items())
