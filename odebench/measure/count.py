"""Exact counts: evaluations of f and cotangents passed through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odebench.measure.trial import TorchTrial
from odebench.types import Mesh


class CountedField(nn.Module):
    """f, counting its calls and, by a hook on what it returns, the cotangents that come back through them.

    A hook on the output counts once per backward pass through the call, also where autograd is entered anew inside a
    backward pass; a wrapper function of autograd's would count the same and change the graph that is counted.
    """

    def __init__(self, f: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f  # a submodule if it is one, so that other libraries find its parameters
        self.calls = 0
        self.cotangents = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        out = self.f(t, y)
        if out.requires_grad and torch.is_grad_enabled():
            if out.is_leaf:  # a parameter, or y: a hook there would outlive this pass, and count in the next
                out = out.view_as(out)
            out.register_hook(self._count)  # type: ignore[no-untyped-call]
        return out

    def _count(self, bar: Tensor | None) -> None:  # None: a custom function of another library passed nothing
        self.cotangents += 1
        if bar is not None and bar.requires_grad and torch.is_grad_enabled():
            # What passes through once more for a second derivative.
            bar.register_hook(self._again)  # type: ignore[no-untyped-call]

    def _again(self, bar: Tensor) -> None:
        self.cotangents += 1


@dataclass
class StepLog:
    """A `Trace` of steps alone."""

    mesh: Mesh = ()
    rejected: int = 0
    back: tuple[int, int] | None = None  # accepted and rejected steps of a backward solve

    def went(self, mesh: Mesh, rejected: int) -> None:
        self.mesh, self.rejected = mesh, rejected

    def returned(self, steps: int, rejected: int) -> None:
        self.back = (steps, rejected)

    def saw(self, t: float, y: Tensor) -> None: ...

    def recalled(self, t: float, y: Tensor) -> None: ...


@dataclass(frozen=True)
class Counts:
    """What one solve and its gradient did; the mesh is that of the forward walk."""

    nfe_forward: int
    nfe_backward: int
    vjp_backward: int
    log: StepLog
    vjp_forward: int | None = None  # None where another framework solves and does not tell

    def metrics(self) -> dict[str, int]:
        """The columns of a record."""
        back = (
            {}
            if self.log.back is None
            else dict(zip(("steps_backward", "rejected_backward"), self.log.back, strict=True))
        )
        # Another library tells nothing of its steps here.
        steps = {"steps": len(self.log.mesh), "rejected": self.log.rejected} if self.log.mesh else {}
        return {
            **steps,
            **back,
            "nfe_forward": self.nfe_forward,
            "nfe_backward": self.nfe_backward,
            **({} if self.vjp_forward is None else {"vjp_forward": self.vjp_forward}),
            "vjp_backward": self.vjp_backward,
            "work": self.nfe_forward + self.nfe_backward + 2 * self.vjp_backward,
        }


def count(trial: TorchTrial) -> Counts:
    """Run the trial once with counters in f; they are in no other pass."""
    counted, log = CountedField(trial.f), StepLog()
    watched = trial.observed(counted, log)
    watched.clear()
    watched.forward()
    forward, jacobians = counted.calls, counted.cotangents
    watched.backward()
    watched.clear()
    return Counts(forward, counted.calls - forward, counted.cotangents - jacobians, log, jacobians)
