"""One bound solve in torch, as the gauges hold it: odebench's own, or another library's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from odebench.controllers import Replay
from odebench.errors import SolveError
from odebench.gradients import Direct
from odebench.gradients.moving import Moving
from odebench.integrate import timed
from odebench.per_sample import Again, Rounds
from odebench.problems import Bound
from odebench.types import Controller, Gradient, Mesh, Stepper, Trace

Function = Callable[[Tensor, Tensor], Tensor]


class Pair(Protocol):
    """A solver, a gradient and a stepping on a bound problem."""

    @property
    def bound(self) -> Bound:
        """The problem."""

    @property
    def everywhere(self) -> bool:
        """The backward pass is compared with the forward one at every node of the mesh, not at saved times only."""

    def solve(self, f: Function, trace: Trace | None) -> Tensor:
        """The solution at the saved times, shape (len(ts), batch, …), by the right-hand side `f`."""

    @property
    def keeps(self) -> bool:
        """Every state that the backward pass goes over was stored or is recomputed, so that none can drift."""

    def fault(self, error: AssertionError) -> Exception:
        """What an assertion that failed on the way back means."""

    def reference(self, mesh: Mesh | Rounds) -> Pair | None:
        """Backpropagation through the very steps of `mesh`, or None where it cannot be had."""

    def reported(self) -> dict[str, int]:
        """What a library that solves here counts itself, by the names of the metrics; a pass of its own."""


@dataclass(frozen=True)
class NativePair:
    """One of odebench's own."""

    bound: Bound
    stepper: Stepper
    gradient: Gradient
    control: Controller

    @property
    def everywhere(self) -> bool:
        """On a known mesh."""
        return self.control.mesh(self.bound.ts) is not None

    @property
    def keeps(self) -> bool:
        """Never taken for granted: the trace tells."""
        return False

    def solve(self, f: Function, trace: Trace | None) -> Tensor:
        """By the gradient, which walks."""
        bound, how = self.bound, self.gradient
        if self.moving is not None and torch.is_grad_enabled():
            how = self.moving.under(how, bound.y0, bound.params, "the gradient")
        return how.solve(timed(f, bound.y0), bound.params, bound.y0, bound.ts, self.stepper, self.control, trace)

    @cached_property
    def moving(self) -> Moving | None:
        """What has to be put back where f is evaluated again."""
        return Moving.of(self.bound.f, self.bound.ts[0], self.bound.y0)

    def fault(self, error: AssertionError) -> Exception:
        """Itself: a mistake of ours."""
        return error

    def reference(self, mesh: Mesh | Rounds) -> NativePair | None:
        """`direct` on the recorded steps; None where f draws and steps were searched: trials draw too."""
        if self.moving is not None and not self.everywhere:
            return None
        again = Again(mesh) if isinstance(mesh, Rounds) else Replay(mesh)
        return NativePair(self.bound, self.stepper, Direct(), again)

    def reported(self) -> dict[str, int]:
        """Nothing: no other library is asked."""
        return {}


@dataclass
class TorchTrial:
    """A pair under the gauges; `f` is the problem's own right-hand side unless it is counted, and so on."""

    pair: Pair
    f: Function
    trace: Trace | None = None
    ys: Tensor | None = field(default=None, init=False)

    @classmethod
    def of(cls, pair: Pair) -> TorchTrial:
        """With the problem's own f and no observer: what is timed."""
        return cls(pair, pair.bound.f)

    @property
    def bound(self) -> Bound:
        """The problem."""
        return self.pair.bound

    def observed(self, f: Function | None = None, trace: Trace | None = None) -> TorchTrial:
        """The same solve with f wrapped, or with an observer."""
        return TorchTrial(self.pair, f or self.f, trace)

    def forward(self) -> None:
        """Solve; the solution at the saved times is in `ys`, shape (len(ts), batch, …)."""
        self.ys = self.pair.solve(self.f, self.trace)

    def forward_plain(self) -> None:
        """Solve without a graph."""
        with torch.no_grad():
            self.forward()

    def backward(self) -> None:
        """Take the loss and its gradient, into `.grad` of y0 and the parameters; lets go of the solution."""
        assert self.ys is not None, "forward comes first"
        loss = self.bound.loss(self.ys)
        self.ys = None
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        except SolveError:  # an AssertionError too, and it says already what it means
            raise
        except AssertionError as error:
            raise self.pair.fault(error) from error

    def both(self) -> None:
        """Forward, then backward."""
        self.forward()
        self.backward()

    def clear(self) -> None:
        """Drop the solution and the gradients of an earlier round."""
        self.ys = None
        for leaf in (self.bound.y0, *self.bound.params):
            leaf.grad = None

    def gradients(self) -> tuple[Tensor, Tensor]:
        """(dL/dy0, dL/dθ), flat, float64, on the CPU; zeros where autograd gave none."""
        leaves = (self.bound.y0, *self.bound.params)
        flat = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]
        y0, *params = (g.detach().to("cpu", torch.float64).reshape(-1) for g in flat)
        return y0, torch.cat(params) if params else y0.new_zeros(0)

    @property
    def gradient_bytes(self) -> int:
        """Of dL/dy0 and dL/dθ: what every way to get them returns."""
        return sum(leaf.nbytes for leaf in (self.bound.y0, *self.bound.params))

    def sync(self) -> None:
        """Wait until the device is idle."""
        if self.bound.y0.is_cuda:
            torch.cuda.synchronize(self.bound.y0.device)
