"""The solve with forward sensitivities, as an autograd function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from odebench.autodiff import jvps, once
from odebench.controllers import Adaptive
from odebench.errors import Refusal
from odebench.integrate import walk
from odebench.types import Controller, Field, Mesh, Params, Stepper, Trace

if TYPE_CHECKING:
    from odebench.gradients.forward import Forward


def solve(
    how: Forward,
    f: Field,
    params: Params,
    y0: Tensor,
    ts: tuple[float, ...],
    stepper: Stepper,
    control: Controller,
    trace: Trace | None,
) -> Tensor:
    """The solution at `ts`; where a gradient is wanted, every derivative of it is solved for too."""
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in (y0, *params)):
        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)
    wanted = sum(x.numel() for x in (y0, *params) if x.requires_grad)
    if wanted > how.directions:
        raise Refusal(
            f"forward sensitivities carry a state for each derivative, and {wanted} components of y0 and the "
            f"parameters want one, more than directions: {how.directions}; raise it, or take a gradient that goes "
            "backwards, such as aca"
        )
    if any(x.is_complex() for x in (y0, *params)):
        raise Refusal("forward sensitivities are carried for real states only; take aca")
    ys: Tensor = _Forward.apply(f, stepper, control, ts, trace, y0, *params)  # type: ignore[no-untyped-call]
    return ys


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        f: Field,
        stepper: Stepper,
        control: Controller,
        ts: tuple[float, ...],
        trace: Trace | None,
        y0: Tensor,
        *params: Tensor,
    ) -> Tensor:
        joint = _Joint.of(f, y0, params)
        start = stepper.init(joint, ts[0], joint.start(y0))
        watch = None if trace is None else _Watching(trace, joint)
        xs = walk(joint, stepper, joint.controlled(control), ts, start, trace=watch).ys
        ys = torch.stack([joint.y(x) for x in xs])
        tangents = torch.stack([joint.tangents(x) for x in xs])
        ctx.save_for_backward(tangents, y0, *params)
        ctx.entries = joint.entries
        return ys

    @staticmethod
    @once
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        tangents, *leaves = ctx.saved_tensors
        bars = [torch.zeros_like(leaf, memory_format=torch.contiguous_format) for leaf in leaves]
        for at, (i, j) in enumerate(ctx.entries):
            bars[i].view(-1)[j] = (tangents[:, at] * ys_bar).sum()
        return None, None, None, None, None, *bars


@dataclass(frozen=True)
class _Joint:
    """y and its tangents in one state, along an axis of their own: behind the batch, where there is one.

    So samples stay on the first axis and components on the last, as schemes that tell them apart have it.
    """

    f: Field
    params: Params
    entries: tuple[tuple[int, int], ...]  # direction -> (0 for y0 and 1 + i for parameter i, entry of it)
    axis: int

    @classmethod
    def of(cls, f: Field, y0: Tensor, params: Params) -> _Joint:
        leaves = enumerate((y0, *params))
        entries = tuple((i, j) for i, leaf in leaves if leaf.requires_grad for j in range(leaf.numel()))
        return cls(f, params, entries, 1 if y0.ndim > 1 else 0)

    def start(self, y0: Tensor) -> Tensor:
        """y0, the unit vectors for directions in y0, and zeros for those in parameters."""
        tangents = y0.new_zeros(len(self.entries), y0.numel())
        for at, (i, j) in enumerate(self.entries):
            if i == 0:
                tangents[at, j] = 1
        return torch.stack([y0.detach(), *tangents.view(len(self.entries), *y0.shape)], self.axis)

    def __call__(self, t: float | Tensor, x: Tensor) -> Tensor:
        y, *tangents = (each.contiguous() for each in x.unbind(self.axis))
        along = [(v, i - 1, j) for v, (i, j) in zip(tangents, self.entries, strict=True)]
        dy, pushed = jvps(lambda y: self.f(t, y), y, self.params, along)
        return torch.stack([dy, *pushed], self.axis)

    def y(self, x: Tensor) -> Tensor:
        """The solution."""
        return x.select(self.axis, 0)

    def tangents(self, x: Tensor) -> Tensor:
        """Shape (directions, *y.shape)."""
        return x.movedim(self.axis, 0)[1:]

    def controlled(self, control: Controller) -> Controller:
        """`control` with its norm of y alone."""
        if not isinstance(control, Adaptive):
            return control
        size = control.size
        return replace(control, norm=lambda x: size(self.y(x).contiguous()))


@dataclass(frozen=True)
class _Watching:
    """Tells of y alone."""

    trace: Trace
    joint: _Joint

    def saw(self, t: float, y: Tensor) -> None:
        self.trace.saw(t, self.joint.y(y))

    def went(self, mesh: Mesh, rejected: int) -> None:
        self.trace.went(mesh, rejected)

    def returned(self, steps: int, rejected: int) -> None: ...

    def recalled(self, t: float, y: Tensor) -> None: ...
