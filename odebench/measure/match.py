"""Matched accuracy: the loosest tolerance, or the fewest steps, at which a cell meets an error that was asked for.

The same tolerance is not the same work: libraries differ in norms, controllers and safety, and schemes in error
constants. At equal achieved error their costs can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from odebench import registry
from odebench.controllers import Adaptive, Fixed, as_told
from odebench.errors import OutOfReach, Refusal
from odebench.measure.check import relative
from odebench.measure.peer_subject import JaxSubject, build_alone
from odebench.measure.search import Scale, Search, Steps, Tolerances
from odebench.peers.peer import Peer
from odebench.problems import pose
from odebench.record import Cell, Measure
from odebench.spec import Spec
from odebench.truth import load_truth


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
    scale, error_of, tried = _scale(cell), _errors(cell, measure, truth), {}

    def error_at(at: int) -> float:
        tried[at] = _at(cell, scale.options(at))
        _ask(tried[at])
        return error_of(tried[at])

    search = Search(scale, error_at, target)
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
    control: Any = as_told(registry.steppings.build(cell.stepping))
    if isinstance(control, Adaptive):
        return Tolerances(control)
    if isinstance(control, Fixed):
        ts = pose(cell.problem).ts
        order = registry.solvers.build(cell.solver).order
        return Steps(control, len(ts) - 1, abs(ts[-1] - ts[0]) / (len(ts) - 1), order)
    raise OutOfReach(f"match_error searches fixed and adaptive steppings; {cell.stepping} is neither")


def _at(cell: Cell, options: dict[str, Any]) -> Cell:
    stepping = Spec.of(cell.stepping.name, dict(cell.stepping.options) | options)
    return replace(cell, stepping=stepping)


def _errors(cell: Cell, measure: Measure, truth: Path) -> Callable[[Cell], float]:
    """The error of the cell at some stepping, by one solve; raises Refusal, SolveError or Divergence where none is."""
    if measure.match == "gradient_error":
        return lambda at: build_alone(at, measure).check(truth)[0]["gradient_error"]
    y1 = torch.as_tensor(load_truth(truth).y1, dtype=torch.float64).reshape(-1)
    if cell.stepping.name == "adaptive":
        subject = build_alone(cell, measure)
        if isinstance(subject, JaxSubject):  # a solve of its own for each tolerance would be compiled each time
            return lambda at: relative(subject.end_at(**_tolerances(at)), y1)
    return lambda at: relative(build_alone(at, measure).end(), y1)


def _tolerances(at: Cell) -> dict[str, Any]:
    options = dict(at.stepping.options)
    return {name: options[name] for name in ("rtol", "atol")}


def _ask(cell: Cell) -> None:
    """The planner has asked a peer about the stepping as given only."""
    solver = registry.solvers.build(cell.solver)
    if isinstance(solver, Peer):
        saves = dict(cell.problem.options).get("saves", 1)
        said = solver.refusal(cell.gradient, cell.stepping, saves=saves, dtype=cell.dtype, device=cell.device)
        if said:
            raise Refusal(said)


def _spelled(options: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in options.items())
