"""What a cell measures: one solve, bound, with every gauge that applies to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import as_told
from odebench.measure.bare import BareLoop
from odebench.measure.check import Tell, check, check_discrete, silent
from odebench.measure.count import Counts, count
from odebench.measure.trial import NativePair, Pair, TorchTrial
from odebench.measure.weigh import MOST_EVENTS, allocations, weigh
from odebench.per_sample import Rounds
from odebench.problems import bind
from odebench.record import Cell
from odebench.types import Loop, Mesh, Trial


class Subject(Protocol):
    """A solve under measurement, in whatever framework. Each method is a pass of its own."""

    @property
    def trial(self) -> Trial:
        """What the clock times."""

    @property
    def warm_runs(self) -> int:
        """The fewest runs before it may be timed."""

    def end(self) -> Tensor:
        """y(t1) of a plain solve, flat, float64, on the CPU."""

    def count(self) -> Counts:
        """Evaluations, cotangents, steps."""

    def reported(self) -> dict[str, int]:
        """What the library that solves counts itself, by the names of the metrics; empty where it counts nothing."""

    def check(self, truth: Path | None, tell: Tell = silent) -> tuple[dict[str, float], Tensor]:
        """(error columns, the gradient); raises Divergence if that is not finite. `tell` gets the curves first."""

    def discrete(self, mesh: Mesh | Rounds, got: Tensor) -> float | None:
        """The gradient `got` against backpropagation through the same steps, where that can be had."""

    def weigh(self, counts: Counts) -> tuple[dict[str, int], list[str]]:
        """(memory columns, notes)."""

    def bare(self, counts: Counts) -> Loop:
        """The bare loop of as many calls."""


class TorchSubject:
    """A pair in torch."""

    def __init__(self, pair: Pair) -> None:
        self.trial = TorchTrial.of(pair)

    @property
    def warm_runs(self) -> int:
        """A GPU loads kernels and grows pools over several runs."""
        return 3 if self._on_gpu else 1

    @property
    def _on_gpu(self) -> bool:
        return self.trial.bound.y0.is_cuda

    def end(self) -> Tensor:
        """Without a graph."""
        trial = self.trial
        trial.clear()
        trial.forward_plain()
        assert trial.ys is not None
        y1 = trial.ys[-1].detach().to("cpu", torch.float64).reshape(-1)
        trial.clear()
        return y1

    def count(self) -> Counts:
        """By a wrapper around f."""
        return count(self.trial)

    def reported(self) -> dict[str, int]:
        """As the pair says."""
        return self.trial.pair.reported()

    def check(self, truth: Path | None, tell: Tell = silent) -> tuple[dict[str, float], Tensor]:
        """Against the truth, and on the way back."""
        return check(self.trial, truth, tell)

    def discrete(self, mesh: Mesh | Rounds, got: Tensor) -> float | None:
        """Against the pair's reference."""
        return check_discrete(self.trial, mesh, got)

    def weigh(self, counts: Counts) -> tuple[dict[str, int], list[str]]:
        """By what torch allocates."""
        if not self._on_gpu and self.events(counts) > MOST_EVENTS:
            why = f"some {self.events(counts):.0e} allocations and releases, of which {MOST_EVENTS:.0e} can be listed"
            return {}, [f"memory is not weighed: on a CPU this solve makes {why}"]
        return weigh(self.trial), []

    def events(self, counts: Counts) -> int:
        """About as many allocations and releases as a solve of these counts makes."""
        calls, vjps = counts.nfe_forward + counts.nfe_backward, (counts.vjp_forward or 0) + counts.vjp_backward
        each = max(1, round(vjps / calls))  # Jacobians and tangents take many of one call
        single = replace(counts, nfe_forward=1, nfe_backward=0, vjp_forward=0, vjp_backward=each, rows=None)
        one = BareLoop.of(self.trial.bound, single)
        return len(allocations(one.both)) * calls

    def bare(self, counts: Counts) -> Loop:
        """In torch."""
        return BareLoop.of(self.trial.bound, counts)


def native_pair(cell: Cell) -> NativePair:
    """odebench's own solve that `cell` names."""
    return NativePair(
        bind(cell.problem, batch=cell.batch, seed=cell.seed, dtype=cell.dtype, device=cell.device),
        registry.solvers.build(cell.solver),
        registry.gradients.build(cell.gradient),
        as_told(registry.steppings.build(cell.stepping)),
    )


def ran_out(error: BaseException) -> bool:
    """The error is one of memory."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
