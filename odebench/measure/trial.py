"""One bound solve, as the gauges hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from odebench.integrate import timed
from odebench.problems import Bound
from odebench.types import Controller, Gradient, Stepper, Trace


@dataclass
class NativeTrial:
    """A problem under a solver, a gradient and a stepping of odebench's own."""

    bound: Bound
    stepper: Stepper
    gradient: Gradient
    control: Controller
    f: Callable[[Tensor, Tensor], Tensor]
    trace: Trace | None = None
    ys: Tensor | None = field(default=None, init=False)

    @classmethod
    def of(cls, bound: Bound, stepper: Stepper, gradient: Gradient, control: Controller) -> NativeTrial:
        """With the problem's own f and no observer: what is timed."""
        return cls(bound, stepper, gradient, control, bound.f)

    def observed(self, f: Callable[[Tensor, Tensor], Tensor] | None = None, trace: Trace | None = None) -> NativeTrial:
        """The same solve with f wrapped, or with an observer."""
        return NativeTrial(self.bound, self.stepper, self.gradient, self.control, f or self.f, trace)

    def replayed(self, gradient: Gradient, control: Controller) -> NativeTrial:
        """The same solve by another gradient, on given steps."""
        return replace(self, gradient=gradient, control=control, trace=None)

    def forward(self) -> None:
        """Solve; the solution at the saved times is in `ys`, shape (len(ts), batch, …)."""
        bound = self.bound
        field = timed(self.f, bound.y0)
        self.ys = self.gradient.solve(field, bound.params, bound.y0, bound.ts, self.stepper, self.control, self.trace)

    def backward(self) -> None:
        """Take the loss and its gradient, into `.grad` of y0 and the parameters; lets go of the solution."""
        assert self.ys is not None, "forward comes first"
        loss = self.bound.loss(self.ys)
        self.ys = None
        loss.backward()  # type: ignore[no-untyped-call]

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

    def sync(self) -> None:
        """Wait until the device is idle."""
        if self.bound.y0.is_cuda:
            torch.cuda.synchronize(self.bound.y0.device)
