"""The backward solve of the continuous adjoint, as an autograd function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from odebench.autodiff import gradients, tape
from odebench.controllers import Adaptive, Replay, rms
from odebench.errors import SolveError
from odebench.integrate import walk
from odebench.types import Controller, Field, Mesh, Params, State, Step, Stepper, Tick, Trace, Verdict


def solve(
    f: Field,
    params: Params,
    y0: Tensor,
    ts: tuple[float, ...],
    stepper: Stepper,
    control: Controller,
    trace: Trace | None,
) -> Tensor:
    """The solution at `ts`, with a backward solve as its backward pass where a gradient is wanted."""
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in (y0, *params)):
        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)
    ys: Tensor = _Backsolve.apply(f, stepper, control, ts, trace, y0, *params)  # type: ignore[no-untyped-call]
    return ys


class _Backsolve(torch.autograd.Function):
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
        seen = walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace)
        ys = torch.stack(seen.ys)
        ctx.save_for_backward(ys, *params)
        ctx.given, ctx.mesh = (f, stepper, control, ts, trace), seen.mesh if control.mesh(ts) is not None else None
        return ys

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        (f, stepper, control, ts, trace), (ys, *params) = ctx.given, ctx.saved_tensors
        augmented = _Augmented(f, tuple(params), ys[0].shape)
        a, params_bar, steps, rejected = torch.zeros_like(ys[0]), augmented.no_params(ys), 0, 0
        for i in reversed(range(1, len(ts))):
            x = torch.cat([ys[i].reshape(-1), (a + ys_bar[i]).reshape(-1), params_bar])
            span = (ts[i], ts[i - 1])
            backwards = _backwards(control, ctx.mesh, span, augmented)
            watch = None if trace is None else _Returning(trace, augmented)
            try:
                seen = walk(augmented, stepper, backwards, span, stepper.init(augmented, span[0], x), trace=watch)
            except SolveError as error:
                raise type(error)(f"on the way back: {error}") from error
            _, a, params_bar = augmented.split(seen.ys[-1])
            steps, rejected = steps + len(seen.mesh), rejected + seen.rejected
        if trace is not None:
            trace.returned(steps, rejected)
        return None, None, None, None, None, a + ys_bar[0], *augmented.shaped(params_bar)


@dataclass(frozen=True)
class _Augmented:
    """y' = f, a' = −aᵀ∂f/∂y, p' = −aᵀ∂f/∂θ, packed into one vector; in that order."""

    f: Field
    params: Params
    shape: torch.Size

    def __call__(self, t: float | Tensor, x: Tensor) -> Tensor:
        y, a, _ = self.split(x)
        if x.requires_grad and torch.is_grad_enabled():  # an implicit scheme wants the Jacobian of all this
            dy = self.f(t, y)
            bars = gradients(dy, (y, *self.params), a.neg(), again=True)
        else:
            dy, pull = tape(lambda y: self.f(t, y), y, self.params)
            y_bar, params_bar = pull(a.neg())
            bars = [y_bar, *params_bar]
        return torch.cat([part.reshape(-1) for part in (dy, *bars)])

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(y, a, p); y and a in their own shape, p flat."""
        size = self.shape.numel()
        return x[:size].view(self.shape), x[size : 2 * size].view(self.shape), x[2 * size :]

    def no_params(self, like: Tensor) -> Tensor:
        """p = 0."""
        return like.new_zeros(sum(p.numel() for p in self.params))

    def shaped(self, flat: Tensor) -> tuple[Tensor, ...]:
        """p, parameter by parameter."""
        parts = torch.split(flat, [p.numel() for p in self.params]) if self.params else ()
        # Beside a complex y the cotangents of real parameters are complex; only their real part counts.
        return tuple(
            (part if p.is_complex() or not part.is_complex() else part.real).view_as(p)
            for part, p in zip(parts, self.params, strict=True)
        )

    def norm(self, x: Tensor) -> Tensor:
        """The largest RMS of the parts, so that many parameters do not drown the state's error, nor the reverse."""
        return torch.stack([rms(part) for part in self.split(x) if part.numel()]).max()


@dataclass(frozen=True)
class _Normed:
    """An adaptive controller with the augmented system's norm."""

    control: Adaptive
    norm: Callable[[Tensor], Tensor]

    @property
    def max_steps(self) -> int:
        return self.control.max_steps

    def refusal(self, stepper: Stepper) -> str | None:
        return self.control.refusal(stepper)

    def mesh(self, ts: tuple[float, ...]) -> Mesh | None:
        return None

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, Any]:
        return self.control.first(f, stepper, ts, state, self.norm)

    def judge(self, dt: float, before: State, step: Step, order: int, memory: Any) -> Verdict:
        return self.control.judge(dt, before, step, order, memory, self.norm)


@dataclass(frozen=True)
class _Returning:
    """Reports y of the augmented state as what the backward pass used."""

    trace: Trace
    augmented: _Augmented

    def saw(self, t: float, y: Tensor) -> None:
        self.trace.recalled(t, self.augmented.split(y)[0])

    def went(self, mesh: Mesh, rejected: int) -> None: ...

    def returned(self, steps: int, rejected: int) -> None: ...

    def recalled(self, t: float, y: Tensor) -> None: ...


def _backwards(control: Controller, mesh: Mesh | None, span: tuple[float, float], augmented: _Augmented) -> Controller:
    """What drives the backward solve over `span`, from its later end to its earlier one."""
    if mesh is not None:
        low, high = sorted(span)
        inside = [tick for tick in mesh if low <= tick.t + 0.5 * tick.dt <= high]
        last = len(inside) - 1
        return Replay(tuple(Tick(t + dt, -dt, i == last) for i, (t, dt, _) in enumerate(reversed(inside))))
    if isinstance(control, Adaptive):
        return _Normed(replace(control, first_step=None), augmented.norm)
    return control
