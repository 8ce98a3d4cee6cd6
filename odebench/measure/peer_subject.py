"""Other libraries under the same gauges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import Fixed
from odebench.errors import Divergence
from odebench.gradients import misfit
from odebench.measure.check import Tell, against, relative, silent
from odebench.measure.count import Counts, StepLog
from odebench.measure.subject import Subject, TorchSubject, native_pair
from odebench.measure.trial import Function, NativePair, TorchTrial
from odebench.peers.peer import Peer
from odebench.per_sample import Rounds
from odebench.problems import Bound, bind
from odebench.record import Cell, Measure
from odebench.spec import Spec
from odebench.truth import load_truth
from odebench.types import Loop, Mesh, Tick, Trace, Trial

# Gradients whose backward pass goes over states that were stored or are recomputed.
_KEEPING = ("direct", "aca", "recursive")


@dataclass
class TorchPeer:
    """A pair of a torch library. What it would make once before training, options and wrappers, is made once here."""

    bound: Bound
    peer: Peer
    gradient: Spec
    stepping: Spec
    _ready: dict[int, tuple[Function, Any]] = field(default_factory=dict)

    everywhere = False

    @property
    def keeps(self) -> bool:
        """By the name of the gradient."""
        return self.gradient.name in _KEEPING

    def solve(self, f: Function, trace: Trace | None) -> Tensor:
        """By the library, with its own gradient."""
        if id(f) not in self._ready:
            self._ready[id(f)] = f, self.peer.prepare(self.gradient, self.stepping, self.bound, f)
        ys: Tensor = self._ready[id(f)][1]()
        return ys

    def fault(self, error: AssertionError) -> Exception:
        """As the library means it."""
        return self.peer.fault(error)

    def reference(self, mesh: Mesh | Rounds) -> TorchPeer | None:
        """The library's own backpropagation through the same steps: it takes them anew, and they are the same."""
        y0, saves = self.bound.y0, len(self.bound.ts) - 1
        dtype = str(y0.dtype).removeprefix("torch.")
        direct = Spec("direct")
        if self.peer.refusal(direct, self.stepping, saves=saves, dtype=dtype, device=str(y0.device)):
            return None
        return TorchPeer(self.bound, self.peer, direct, self.stepping)

    def reported(self) -> dict[str, int]:
        """As the adapter asks it."""
        return self.peer.reported(self.gradient, self.stepping, self.bound, self.bound.f)


class JaxSubject:
    """A solve of diffrax's."""

    def __init__(self, cell: Cell, measure: Measure, peer: Peer) -> None:
        self.cell, self.measure, self.peer = cell, measure, peer
        self.trial = self._trial(cell.gradient)

    @property
    def warm_runs(self) -> int:
        """Compiled by the first call."""
        return 1

    def end(self) -> Tensor:
        """Of the solve without its gradient, compiled for itself."""
        self.trial.clear()
        self.trial.forward()
        y1 = torch.from_numpy(np.array(self.trial.ys[-1], dtype=np.float64)).reshape(-1)
        self.trial.clear()
        return y1

    def end_at(self, rtol: float, atol: float) -> Tensor:
        """Of an adaptive solve at other tolerances; compiled for them all at once."""
        return torch.from_numpy(self.trial.end(rtol, atol))

    def count(self) -> Counts:
        """By callbacks from compiled code."""
        found, nodes = self.trial.counts(), self.trial.mesh()
        mesh = tuple(Tick(t, t1 - t, False) for t, t1 in pairwise(nodes))
        log = StepLog(mesh, found["rejected"])
        return Counts(found["nfe_forward"], found["nfe_backward"], found["vjp_backward"], log)

    def reported(self) -> dict[str, int]:
        """By diffrax's statistics."""
        told: dict[str, int] = self.trial.reported()
        return told

    def check(self, truth: Path | None, tell: Tell = silent) -> tuple[dict[str, float], Tensor]:
        """Against the truth. What is compiled tells no curves."""
        y1, *parts = (torch.as_tensor(part, dtype=torch.float64) for part in self.trial.answer())
        metrics = {"reverse_error": 0.0} if self.cell.gradient.name in _KEEPING else {}
        if truth is not None:
            metrics |= against(load_truth(truth), y1, (parts[0], parts[1]))
        for what, each in (("solution", y1), ("gradient", torch.cat(parts))):
            if not bool(torch.isfinite(each).all()):
                raise Divergence(f"the {what} is not finite", metrics)
        return metrics, torch.cat(parts)

    def discrete(self, mesh: Mesh | Rounds, got: Tensor) -> float | None:
        """Against DirectAdjoint over the same steps."""
        cell = self.cell
        saves = dict(cell.problem.options).get("saves", 1)
        direct = Spec("direct")
        if self.peer.refusal(direct, cell.stepping, saves=saves, dtype=cell.dtype, device=cell.device):
            return None
        # The same solve would be compiled once more to no end.
        reference = self.trial if cell.gradient == direct else self._trial(direct)
        parts = [torch.as_tensor(part, dtype=torch.float64) for part in reference.answer()[1:]]
        return relative(got, torch.cat(parts))

    def weigh(self, counts: Counts) -> tuple[dict[str, int], list[str]]:
        """By what XLA laid out."""
        return self.trial.memory(), [self.peer.module.GAUGE]

    def bare(self, counts: Counts) -> Loop:
        """In jax."""
        loop: Loop = self.trial.bare(counts.metrics())
        return loop

    def _trial(self, gradient: Spec) -> Any:
        cell, measure = self.cell, self.measure
        return self.peer.module.DiffraxTrial(
            cell.problem, self.peer.method, gradient, cell.stepping, cell.batch, cell.seed, cell.dtype, cell.device,
            measure.threads, measure.tf32,
        )  # fmt: skip


def build_subject(cell: Cell, measure: Measure) -> tuple[Subject, Trial | None]:
    """(what `cell` names, bound and ready; for a peer the native solve with the same tableau, if there is one)."""
    subject = build_alone(cell, measure)
    solver = registry.solvers.build(cell.solver)
    return subject, _twin(cell, solver) if isinstance(solver, Peer) else None


def build_alone(cell: Cell, measure: Measure) -> Subject:
    """What `cell` names, bound and ready."""
    solver = registry.solvers.build(cell.solver)
    if not isinstance(solver, Peer):
        return TorchSubject(native_pair(cell))
    if solver.in_jax:
        return JaxSubject(cell, measure, solver)
    bound = bind(cell.problem, batch=cell.batch, seed=cell.seed, dtype=cell.dtype, device=cell.device)
    return TorchSubject(TorchPeer(bound, solver, cell.gradient, cell.stepping))


def library_of(cell: Cell) -> Peer | None:
    """The method of another library that `cell` names; None if it is one of odebench's own."""
    solver = registry.solvers.build(cell.solver)
    return solver if isinstance(solver, Peer) else None


def _twin(cell: Cell, peer: Peer) -> Trial | None:
    if peer.facts.twin is None:
        return None
    pair = native_pair(replace(cell, solver=Spec(peer.facts.twin)))
    return None if _refused(pair) else TorchTrial.of(pair)


def _refused(pair: NativePair) -> str | None:
    """Why scheme, gradient and stepping do not go together, or None."""
    return (
        pair.control.refusal(pair.stepper) or pair.gradient.refusal(pair.stepper) or misfit(pair.gradient, pair.control)
    )


def build_beside(cell: Cell, measure: Measure) -> tuple[Trial | None, str | None]:
    """(what the cell is timed beside, None), or (None, why it cannot be) where `beside` names what is refused."""
    if measure.beside is None:
        return None, None
    other = measure.beside.of(cell)
    solver, saves = registry.solvers.build(other.solver), dict(other.problem.options).get("saves", 1)
    if isinstance(solver, Peer):
        said = solver.refusal(other.gradient, other.stepping, saves=saves, dtype=other.dtype, device=other.device)
        return (None, said) if said else (build_alone(other, measure).trial, None)
    pair = native_pair(other)
    said = _refused(pair) or (pair.control.misfit(saves) if isinstance(pair.control, Fixed) else None)
    return (None, said) if said else (TorchTrial.of(pair), None)
