"""Accuracy: the solution and the gradient against the truth, the gradient against backpropagation through the same
steps, and the reverse trajectory against the forward one. All norms in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path

import torch
from torch import Tensor

from odebench.errors import Divergence
from odebench.measure.curves import Curves, Trail, curves_of
from odebench.measure.trial import TorchTrial
from odebench.per_sample import Rounds
from odebench.truth import Truth, load_truth
from odebench.types import Mesh

Tell = Callable[[Curves], None]


# An f that draws random numbers is given the same ones each time that its figures are compared.
_SEED = 0


def silent(curves: Curves) -> None:
    """Whoever asks for the errors alone."""


@dataclass
class Trajectory:
    """A `Trace` that compares the states a backward pass used with those of the forward walk.

    Times are matched to about 1e-10 of the span: a node reached from both sides may differ in its last bit. States wait
    in the host's memory: on a GPU they would take what the method that is checked was chosen to save.
    """

    ts: tuple[float, ...]
    everywhere: bool  # compare at all nodes of the mesh; else at the saved times only
    seen: dict[int, Tensor] = field(default_factory=dict)
    largest: float = 0.0
    worst: float = 0.0
    forward: Trail = field(default_factory=Trail)
    back: Trail = field(default_factory=Trail)
    gaps: dict[int, tuple[float, float]] = field(default_factory=dict)  # (t, ‖ŷ − y‖₂) in the order of the way back

    def saw(self, t: float, y: Tensor) -> None:
        self.forward.add(t, y)
        if self._compared(t):
            self.seen[self._key(t)] = y.detach().cpu()
            self.largest = max(self.largest, _norm(y))

    def recalled(self, t: float, y: Tensor) -> None:
        self.back.add(t, y)
        key = self._key(t)
        for near in (key, key - 1, key + 1):  # the last bit may have tipped the rounding
            if near in self.seen:
                gap = _norm(y.detach().cpu().double() - self.seen[near])
                self.worst = max(self.worst, gap) if isfinite(gap) else inf
                # At a saved time twice: as it was reached, and as it was reset to the stored value.
                if near not in self.gaps or not gap <= self.gaps[near][1]:
                    self.gaps[near] = t, gap
                return

    def went(self, mesh: Mesh, rejected: int) -> None: ...

    def returned(self, steps: int, rejected: int) -> None: ...

    @property
    def reverse_error(self) -> float:
        """max ‖ŷ − y‖ / max ‖y‖ over the compared times; 0 where every state was stored or recomputed."""
        return _ratio(self.worst, self.largest)

    @property
    def curves(self) -> Curves:
        """What a record keeps of the way back; nothing where every state was stored or recomputed."""
        if not self.worst:
            return {}
        return curves_of(self.forward, self.back, [(t, _ratio(gap, self.largest)) for t, gap in self.gaps.values()])

    def _compared(self, t: float) -> bool:
        span = abs(self.ts[-1] - self.ts[0])
        return self.everywhere or any(abs(t - saved) <= 1e-10 * span for saved in self.ts)

    def _key(self, t: float) -> int:
        return round((t - self.ts[0]) / (self.ts[-1] - self.ts[0]) * 1e10)


def check(trial: TorchTrial, truth: Path | None, tell: Tell = silent) -> tuple[dict[str, float], Tensor]:
    """(error columns of a record, the gradient). Without a truth the columns that need one are left out.

    `tell` gets the curves of the way back, also of one that fails on the way.

    Raises:
        Divergence: the solution or the gradient is not finite; its `metrics` holds what was found.
    """
    trajectory = Trajectory(trial.bound.ts, trial.pair.everywhere)
    watched = trial.observed(trace=trajectory)
    watched.clear()
    torch.manual_seed(_SEED)
    watched.forward()
    assert watched.ys is not None
    y1 = watched.ys[-1].detach().to("cpu", torch.float64).reshape(-1)
    finite = bool(torch.isfinite(watched.ys).all())
    try:
        watched.backward()
    finally:
        tell(trajectory.curves)
    got = watched.gradients()
    watched.clear()
    # Another library tells nothing of the states it goes back over.
    metrics = {"reverse_error": trajectory.reverse_error} if trajectory.seen or trial.pair.keeps else {}
    if truth is not None:
        metrics |= against(load_truth(truth), y1, got)
    if not finite or not all(bool(torch.isfinite(g).all()) for g in got):
        raise Divergence(f"the {'gradient' if finite else 'solution'} is not finite", metrics)
    return metrics, torch.cat(got)


def check_discrete(trial: TorchTrial, mesh: Mesh | Rounds, got: Tensor) -> float | None:
    """The gradient `got` against backpropagation through the very same steps; None where that cannot be had."""
    pair = trial.pair.reference(mesh)
    if pair is None:
        return None
    reference = TorchTrial.of(pair)
    reference.clear()
    torch.manual_seed(_SEED)
    reference.forward()
    reference.backward()
    found = torch.cat(reference.gradients())
    reference.clear()
    return relative(got, found)


def relative(got: Tensor, reference: Tensor) -> float:
    """‖got − reference‖₂ / ‖reference‖₂; 0 where both are 0, inf where only the reference is."""
    return _ratio(_norm(got - reference), _norm(reference))


def against(truth: Truth, y1: Tensor, got: tuple[Tensor, Tensor]) -> dict[str, float]:
    """The columns that compare with the truth; all flat, float64."""
    solution, y0_bar, params_bar = (
        torch.as_tensor(each, dtype=torch.float64).reshape(-1)
        for each in (truth.y1, truth.gradient_y0, truth.gradient_parameters)
    )
    metrics = {
        "solution_error": relative(y1, solution),
        "gradient_error": relative(torch.cat(got), torch.cat([y0_bar, params_bar])),
        "gradient_error_y0": relative(got[0], y0_bar),
    }
    if params_bar.numel():
        metrics["gradient_error_parameters"] = relative(got[1], params_bar)
    return metrics


def _norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.detach().to(torch.float64)))


def _ratio(gap: float, size: float) -> float:
    if gap == 0:
        return 0.0
    return gap / size if size else inf
