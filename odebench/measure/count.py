"""Exact counts: evaluations of f and cotangents passed through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odebench.measure.trial import TorchTrial
from odebench.per_sample import Rounds
from odebench.types import Mesh


class CountedField(nn.Module):
    """f, counting its calls and, by a hook on what it returns, the cotangents that come back through them; of each how
    many had so many rows, where a call has them in sight: under `vmap` it has one at a time.

    A hook on the output counts once per backward pass through the call, also where autograd is entered anew inside a
    backward pass; a wrapper function of autograd's would count the same and change the graph that is counted.
    """

    def __init__(self, f: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f  # a submodule if it is one, so that other libraries find its parameters
        self.calls = 0
        self.cotangents = 0
        self.rows: Counter[int] = Counter()
        self.rows_back: Counter[int] = Counter()
        self.mapped = False

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        self.rows[_rows(y)] += 1
        self.mapped = self.mapped or torch._C._functorch.peek_interpreter_stack() is not None
        out = self.f(t, y)
        if out.requires_grad and torch.is_grad_enabled():
            if out.is_leaf:  # a parameter, or y: a hook there would outlive this pass, and count in the next
                out = out.view_as(out)
            out.register_hook(self._count)  # type: ignore[no-untyped-call]
        return out

    def _count(self, bar: Tensor | None) -> None:  # None: a custom function of another library passed nothing
        self.cotangents += 1
        self.rows_back[0 if bar is None else _rows(bar)] += 1
        if bar is not None and bar.requires_grad and torch.is_grad_enabled():
            # What passes through once more for a second derivative.
            bar.register_hook(self._again)  # type: ignore[no-untyped-call]

    def _again(self, bar: Tensor) -> None:
        self.cotangents += 1
        self.rows_back[_rows(bar)] += 1


def _rows(y: Tensor) -> int:
    return y.shape[0] if y.ndim else 1


@dataclass
class StepLog:
    """A `Trace` of steps alone. Where samples step by themselves the mesh is that of the slowest one."""

    mesh: Mesh = ()
    rejected: int = 0
    back: tuple[int, int] | None = None  # accepted and rejected steps of a backward solve
    rounds: Rounds | None = None  # the steps of all samples, where each has its own

    def went(self, mesh: Mesh, rejected: int) -> None:
        self.mesh, self.rejected = mesh, rejected

    def went_apart(self, rounds: Rounds) -> None:
        self.rounds = rounds

    def returned(self, steps: int, rejected: int) -> None:
        self.back = (steps, rejected)

    def saw(self, t: float, y: Tensor) -> None: ...

    def recalled(self, t: float, y: Tensor) -> None: ...


@dataclass(frozen=True)
class Rows:
    """How many calls of f, and how many cotangents, had so many rows: rows -> number."""

    forward: Counter[int]
    both: Counter[int]  # the forward and the backward pass
    back: Counter[int]  # cotangents

    def metrics(self) -> dict[str, int]:
        """Rows over all calls of either pass."""
        forward, both = (sum(rows * calls for rows, calls in each.items()) for each in (self.forward, self.both))
        return {"rows_forward": forward, "rows_backward": both - forward}


@dataclass(frozen=True)
class Counts:
    """What one solve and its gradient did; the mesh is that of the forward walk."""

    nfe_forward: int
    nfe_backward: int
    vjp_backward: int
    log: StepLog
    vjp_forward: int | None = None  # None where another framework solves and does not tell
    rows: Rows | None = None  # None where they are not told, or there is but one

    def metrics(self) -> dict[str, int | float]:
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
            **({} if self.log.rounds is None else _of_samples(self.log.rounds)),
            **({} if self.rows is None else self.rows.metrics()),
        }

    def calls(self, both: bool) -> list[tuple[int | None, int, int]]:
        """(rows, calls of f on so many, cotangents through them) of the forward pass, or of both; None is all rows."""
        forward = self.vjp_forward or 0
        if self.rows is not None and self.log.rounds is not None:
            calls = self.rows.both if both else self.rows.forward
            return [(rows, number, self.rows.back[rows] if both else 0) for rows, number in sorted(calls.items())]
        if both:
            return [(None, self.nfe_forward + self.nfe_backward, forward + self.vjp_backward)]
        return [(None, self.nfe_forward, forward)]


def _of_samples(rounds: Rounds) -> dict[str, float]:
    """Of those that step by themselves; the column `steps` is that of the slowest."""
    return {"steps_fewest": int(rounds.steps.min()), "steps_mean": float(rounds.steps.mean())}


def count(trial: TorchTrial) -> Counts:
    """Run the trial once with counters in f; they are in no other pass."""
    counted, log = CountedField(trial.f), StepLog()
    watched = trial.observed(counted, log)
    watched.clear()
    torch.manual_seed(0)  # counts of an f that draws repeat
    watched.forward()
    forward, jacobians, rows = counted.calls, counted.cotangents, counted.rows.copy()
    watched.backward()
    watched.clear()
    several = len(trial.bound.y0) > 1 and not counted.mapped
    told = Rows(rows, counted.rows, counted.rows_back) if several else None
    return Counts(forward, counted.calls - forward, counted.cotangents - jacobians, log, jacobians, told)
