"""Suites -> the cells to measure, and for each that cannot be the sentence that says why. Nothing is run here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from odebench.controllers import Fixed
from odebench.errors import SuiteError, UsageError
from odebench.gradients import misfit
from odebench.peers.peer import Peer
from odebench.problems import pose
from odebench.provenance import Provenance
from odebench.record import AXES, Cell
from odebench.registry import installed, loaded_plugins, registries
from odebench.regularisers.regulariser import StepTerm, WeightTerm
from odebench.spec import Spec
from odebench.suite.grammar import LISTS, plugins_of
from odebench.suite.loading import Suite, find_suite, load_suites
from odebench.types import Selective, can
from odebench.workloads.workload import Spanned


@dataclass(frozen=True)
class Planned:
    """A cell, to be measured if `refusal` is None."""

    cell: Cell
    refusal: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    `excluded` counts the squares that `exclude` rules took out of the product; `plugins` are those that were loaded to
    make the plan.
    """

    suites: tuple[Suite, ...]
    cells: tuple[Planned, ...]
    excluded: int = 0
    plugins: tuple[Provenance, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `from_data` reads it back."""
        return {
            "suites": [{"path": str(each.path), "where": each.where, "data": each.to_data()} for each in self.suites],
            "cells": [[each.cell.to_data(), each.refusal] for each in self.cells],
            "excluded": self.excluded,
            "plugins": [each.to_data() for each in self.plugins],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Plan:
        """Needs no registries, so it also reads plans that plugins were part of."""
        return cls(
            tuple(Suite.from_data(each["data"], Path(each["path"]), each["where"]) for each in data["suites"]),
            tuple(Planned(Cell.from_data(cell), refusal) for cell, refusal in data["cells"]),
            data["excluded"],
            tuple(map(Provenance.from_data, data["plugins"])),
        )


def make_plan(suites: Sequence[Suite], cuda_devices: int) -> Plan:
    """All squares of all suites, in the order problem, solver, gradient, stepping, device, dtype, batch, seed.

    `auto` becomes `cuda` where there is a CUDA device, else `cpu`.

    Raises:
        SuiteError: two suites of one name have a cell in common.
    """
    planned: list[Planned] = []
    seen: dict[tuple[str, str], Suite] = {}
    clashes: dict[str, str] = {}
    excluded = 0
    for suite in suites:
        refusals = _Refusals(suite, cuda_devices)
        own: dict[tuple[str, str], Suite] = {}
        for square in _squares(suite, cuda_devices):
            if any(rule.matches(square) for rule in suite.exclude):
                excluded += 1
                continue
            cell = Cell(suite.name, **square)
            identity = (cell.suite, cell.key)
            if identity in seen:
                message = f"another suite of this run ({seen[identity].where}) has this name and the cell {cell.key}"
                clashes.setdefault(suite.where, f"{suite.where}: name: {message}; rename one")
            own[identity] = suite
            planned.append(Planned(cell, refusals.of(cell)))
        seen |= own
    if clashes:
        raise SuiteError(clashes.values())
    return Plan(tuple(suites), tuple(planned), excluded, loaded_plugins())


def _squares(suite: Suite, cuda_devices: int) -> Iterator[dict[str, Any]]:
    here = "cuda" if cuda_devices > 0 else "cpu"
    # [cpu, auto] is one device where there is no other.
    devices = tuple(dict.fromkeys(here if each == "auto" else each for each in suite.devices))
    axes = [devices if axis == "device" else getattr(suite, LISTS[axis]) for axis in AXES]
    for values in product(*axes):
        yield dict(zip(AXES, values, strict=True))


class _Refusals:
    """Answers of solvers, gradients and steppings, asked once per pair."""

    def __init__(self, suite: Suite, cuda_devices: int) -> None:
        self.suite = suite
        self.cuda_devices = cuda_devices
        self.built: dict[tuple[str, Spec], Any] = {}
        self.answers: dict[tuple[str, Spec, Spec], str | None] = {}
        self.stand_ins: dict[tuple[Any, ...], Cell] = {}  # the one cell that is measured of a model without an ODE

    def of(self, cell: Cell) -> str | None:
        """Why the cell cannot be measured, or None; the first reason of several, those of the mathematics first."""
        solver = self._build("solver", cell.solver)
        if self.suite.training is not None:
            return self._training(cell, solver)
        if isinstance(solver, Peer):
            return self._mali(cell) or self._peer(cell, solver) or self._excess(cell) or self._device(cell.device)
        return (
            self._pair("stepping", cell.stepping, cell.solver)
            or self._mali(cell)
            or self._pair("gradient", cell.gradient, cell.solver)
            or self._together(cell)
            or self._problem(cell, solver)
            or self._excess(cell)
            or self._misfit(cell)
            or self._device(cell.device)
        )

    def _training(self, cell: Cell, solver: Any) -> str | None:
        if isinstance(solver, Peer):
            return f"`kind: train` trains by odebench's own solvers, and {cell.solver} is of another library"
        if not getattr(self._build("workload", cell.problem), "solves", True):
            return self._without_a_solve(cell) or self._device(cell.device)
        return (
            self._pair("stepping", cell.stepping, cell.solver)
            or self._mali(cell)
            or self._pair("gradient", cell.gradient, cell.solver)
            or self._together(cell)
            or self._excess(cell)
            or self._workload(cell, solver)
            or self._device(cell.device)
        )

    def _without_a_solve(self, cell: Cell) -> str | None:
        """A baseline that calls no solver is trained once; that it has no other rows is said, not hidden."""
        if dict(cell.problem.options).get("regulariser") is not None:
            return f"{cell.problem.name} so configured solves no ODE, and there is nothing to regularise"
        rest = (cell.problem, cell.device, cell.dtype, cell.batch, cell.seed)
        first = self.stand_ins.setdefault(rest, cell)
        if first == cell:
            return None
        one = f"{first.solver}, {first.gradient}, {first.stepping}"
        return f"{cell.problem.name} so configured solves no ODE; its row with {one} stands for all"

    def _workload(self, cell: Cell, solver: Any) -> str | None:
        """What the workload and its regulariser ask of the others."""
        workload = self._build("workload", cell.problem)
        if isinstance(solver, Selective) and (said := _named(solver.refusal(workload), cell.solver)):
            return said
        named = dict(cell.problem.options).get("regulariser")
        if named is None:
            return None
        spec = Spec.from_data(named)
        term, control = self._build("regulariser", spec), self._build("stepping", cell.stepping)
        return _named(term.refusal(solver, control), cell.solver) or _unfit(
            term, spec.name, workload, control, cell.gradient
        )

    def _build(self, kind: str, spec: Spec) -> Any:
        if (kind, spec) not in self.built:
            self.built[kind, spec] = registries[kind].build(spec)
        return self.built[kind, spec]

    def _pair(self, kind: str, spec: Spec, solver: Spec) -> str | None:
        pair = (kind, spec, solver)
        if pair not in self.answers:
            try:
                said = self._build(kind, spec).refusal(self._build("solver", solver))
            except Exception as error:
                raise UsageError(
                    f"suite {self.suite.name}: {kind} {spec} cannot say whether it goes with solver {solver}: "
                    f"{type(error).__name__}: {' '.join(str(error).split())}"
                ) from error
            self.answers[pair] = _named(said, solver)
        return self.answers[pair]

    def _together(self, cell: Cell) -> str | None:
        return misfit(self._build("gradient", cell.gradient), self._build("stepping", cell.stepping))

    def _problem(self, cell: Cell, solver: Any) -> str | None:
        if not isinstance(solver, Selective):
            return None
        return _named(solver.refusal(self._build("problem", cell.problem)), cell.solver)

    def _mali(self, cell: Cell) -> str | None:
        if not self.suite.mali or cell.gradient.name != "reversible":
            return None
        solver = self._build("solver", cell.solver)
        if "alf" in (cell.solver.name, solver.facts.twin if isinstance(solver, Peer) else None):
            return None
        return f"mali is the reversible gradient of alf, and {cell.solver} is not alf; ask for `reversible`"

    def _peer(self, cell: Cell, peer: Peer) -> str | None:
        saves = dict(cell.problem.options).get("saves", 1)
        return peer.refusal(cell.gradient, cell.stepping, saves=saves, dtype=cell.dtype, device=cell.device)

    def _misfit(self, cell: Cell) -> str | None:
        stepping = self._build("stepping", cell.stepping)
        saves = dict(cell.problem.options).get("saves", 1)
        return stepping.misfit(saves) if isinstance(stepping, Fixed) else None

    def _excess(self, cell: Cell) -> str | None:
        """Why the mesh is too long to be made, or None. Where the span is not known here, the worker refuses it."""
        stepping = self._build("stepping", cell.stepping)
        return stepping.excess(self._length(cell)) if isinstance(stepping, Fixed) else None

    def _length(self, cell: Cell) -> float | None:
        """Of the span of a problem; of a workload what it says of itself."""
        if self.suite.training is None:
            posed = pose(cell.problem)
            return abs(posed.ts[-1] - posed.ts[0])
        workload = self._build("workload", cell.problem)
        return abs(float(workload.span)) if can(workload, Spanned) else None

    def _device(self, device: str) -> str | None:
        if not device.startswith("cuda"):
            return None
        if self.cuda_devices == 0:
            return f"no CUDA device here, so {device} cannot be measured; use cpu or auto"
        index = int(device.partition(":")[2] or 0)
        if index < self.cuda_devices:
            return None
        return f"there is no {device} here: the {self.cuda_devices} CUDA device(s) count from cuda:0"


def _unfit(term: Any, name: str, workload: Any, control: Any, gradient: Spec) -> str | None:
    """Why a regulariser does not go with a gradient, a stepping or a workload, or None."""
    if isinstance(term, StepTerm) and (gradient.name not in ("direct", "aca", "recursive", "reversible")):
        return (
            f"{name} adds up figures of the steps, and {gradient.name} is no gradient of whole steps; use direct, aca, "
            "recursive or reversible"
        )
    if isinstance(term, StepTerm) and dict(gradient.options).get("control"):
        return f"{name} wraps the solver, and direct(control) does not see through the wrapping; use direct"
    if isinstance(term, StepTerm) and getattr(control, "dense", False) and not hasattr(term, "of_step"):
        return f"{name} takes the stages of each step itself, and `dense` would look into them; leave `dense` out"
    if isinstance(term, WeightTerm) and not getattr(workload, "structured", False):
        return f"{name} needs a field that is a product of layers, such as that of system_identification"
    if not isinstance(term, WeightTerm) and getattr(control, "per_sample", False):
        return f"{name} reads steps of the whole batch, and per_sample has them by the row; leave one of them out"
    return None


def _named(said: str | None, solver: Spec) -> str | None:
    """An answer with the solver's name in it: who answers does not know it, and says "it estimates no error, so …"."""
    for pronoun, name in (("it ", f"{solver} "), ("its ", f"{solver}'s ")):
        if said and said.startswith(pronoun):
            return name + said.removeprefix(pronoun)
    return said or None


def needs_isolation(request: Mapping[str, Any]) -> bool:
    """Whether `prepare` would import a plugin, which may hang or crash and so belongs into a worker. Runs nothing."""
    from odebench.suite.yaml_source import read_documents

    if request.get("plugins") or installed():
        return True
    for each in request.get("suites", ()):
        try:
            if any(plugins_of(document.data) for document in read_documents(find_suite(each))):
                return True
        except UsageError:
            continue  # `prepare` reads it just as little, and says why
    return False


def prepare(request: Mapping[str, Any]) -> dict[str, Any]:
    """JSON in, JSON out: {"suites", "plugins", "overrides", "cuda_devices", …} -> {"plan": …} or {"findings": [lines]}.

    `suites` are paths or names; `overrides` and `stand_ins` are those of `load_suites`; all but `suites` may be left
    out.
    """
    try:
        given = [request.get(key) for key in ("overrides", "plugins", "stand_ins")]
        suites = load_suites(request["suites"], given[0], given[1] or (), given[2])
        return {"plan": make_plan(suites, request.get("cuda_devices", 0)).to_data()}
    except SuiteError as error:
        return {"findings": list(error.findings)}
    except UsageError as error:
        return {"findings": [str(error)]}


def refused(plan: Plan) -> Iterable[Planned]:
    """The cells that will not be measured."""
    return (each for each in plan.cells if each.refusal is not None)
