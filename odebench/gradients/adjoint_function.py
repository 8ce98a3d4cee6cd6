"""The backward solve of the continuous adjoint, as an autograd function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from odebench.autodiff import kept_for_more, once
from odebench.controllers import Replay
from odebench.errors import Refusal, SolveError
from odebench.gradients.augmented import Augmented
from odebench.gradients.return_pass import Return
from odebench.gradients.track import Track
from odebench.integrate import walk
from odebench.solvers import RungeKutta
from odebench.types import Controller, Field, Mesh, State, Stepper, Tick, Trace

if TYPE_CHECKING:
    from odebench.gradients.adjoint import Backsolve

# A way back that misses where it should arrive by more than this share of the state is of another trajectory.
_DRIFT = 0.1


def solve(
    how: Backsolve,
    f: Field,
    params: tuple[Tensor, ...],
    y0: Tensor,
    ts: tuple[float, ...],
    stepper: Stepper,
    control: Controller,
    trace: Trace | None,
) -> Tensor:
    """The solution at `ts`, with a backward solve as its backward pass where a gradient is wanted."""
    chosen = how.adaptive(control)
    said = chosen.refusal(how.solver or stepper) if chosen is not None else None
    if said:
        raise Refusal(f"the adjoint's solver: {said}")
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in (y0, *params)):
        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)
    ys: Tensor = _Backsolve.apply(how, f, stepper, control, ts, trace, y0, *params)  # type: ignore[no-untyped-call]
    return ys


class _Backsolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: Backsolve,
        f: Field,
        stepper: Stepper,
        control: Controller,
        ts: tuple[float, ...],
        trace: Trace | None,
        y0: Tensor,
        *params: Tensor,
    ) -> Tensor:
        states: list[State] = []
        if how.guard is not None:
            how.guard.world.enter()

        def keep(index: int, state: State, total: int | None) -> None:
            states.append(state)

        start = stepper.init(f, ts[0], y0)
        seen = walk(f, stepper, control, ts, start, keep if how.interpolated else None, trace)
        ctx.end = None
        if how.guard is not None:
            how.guard.refuse_drawing()
            if isinstance(stepper, RungeKutta) and stepper.tableau.fsal and seen.last:
                ctx.end = tuple(leaf.detach() for leaf in seen.last)  # the solution, and f there
        ys = torch.stack(seen.ys)
        ctx.save_for_backward(ys, *params)
        ctx.given, ctx.mesh = (how, f, stepper, control, ts, trace), seen.mesh if control.mesh(ts) is not None else None
        ctx.track = Track.of(f, stepper, seen.mesh, [*states, seen.last]) if how.interpolated else None
        return ys

    @staticmethod
    @once
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        (ys, *params), how = ctx.saved_tensors, ctx.given[0]
        with Return.of(how.guard, None, tuple(params), _DRIFT) as back:
            y0_bar, params_bar = _solve_back(ctx, ys, tuple(params), ys_bar, back)
        if not kept_for_more():  # f may hold the result
            ctx.given = ctx.track = ctx.end = None
        return None, None, None, None, None, None, y0_bar, *params_bar


def _solve_back(
    ctx: Any, ys: Tensor, params: tuple[Tensor, ...], ys_bar: Tensor, back: Return
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(the cotangent of y0, those of `params`)."""
    how, f, stepper, control, ts, trace = ctx.given
    stepper = how.solver or stepper
    augmented = Augmented(back.field(f), params, ys[0].shape, ctx.track)
    watch = None if trace is None else _Returning(trace, augmented)
    a, params_bar, steps, rejected = torch.zeros_like(ys[0]), augmented.no_params(ys), 0, 0
    if ctx.end is not None:
        back.expect(ts[-1], *ctx.end)
    for i in reversed(range(1, len(ts))):
        x = augmented.pack(ys[i], a + ys_bar[i], params_bar)
        span = (ts[i], ts[i - 1])
        backwards = _backwards(how, control, ctx.mesh, span, augmented)
        try:
            seen = walk(augmented, stepper, backwards, span, stepper.init(augmented, span[0], x), trace=watch)
        except SolveError as error:
            raise type(error)(f"on the way back: {error}") from error
        if ctx.track is None:
            back.compare(ts[i - 1], ys[i - 1], augmented.y(ts[i - 1], seen.ys[-1]), ys)
        a, params_bar = augmented.split(seen.ys[-1])
        steps, rejected = steps + len(seen.mesh), rejected + seen.rejected
    guard = how.guard
    if guard is not None and ctx.end is None and (guard.world.moving or not guard.is_module):
        # Nothing on this way back need have met a state of the way there: is f still what it was?
        with torch.no_grad():
            back.field(f)(ts[0], ys[0])
    if trace is not None:
        trace.returned(steps, rejected)
    return a + ys_bar[0], augmented.shaped(params_bar)


@dataclass(frozen=True)
class _Returning:
    """Reports y of the augmented state as what the backward pass used."""

    trace: Trace
    augmented: Augmented

    def saw(self, t: float, y: Tensor) -> None:
        self.trace.recalled(t, self.augmented.y(t, y))

    def went(self, mesh: Mesh, rejected: int) -> None: ...

    def returned(self, steps: int, rejected: int) -> None: ...

    def recalled(self, t: float, y: Tensor) -> None: ...


def _backwards(
    how: Backsolve, control: Controller, mesh: Mesh | None, span: tuple[float, float], augmented: Augmented
) -> Controller:
    """What drives the backward solve over `span`, from its later end to its earlier one."""
    chosen = how.adaptive(control)
    if chosen is not None:
        own = how.norm
        size = augmented.norm(chosen, how.seminorm) if own is None else lambda x: own(augmented.parts(x))
        return replace(chosen, norm=size)
    if how.control is not None or mesh is None:
        return how.control or control
    low, high = sorted(span)
    inside = [tick for tick in mesh if low <= tick.t + 0.5 * tick.dt <= high]
    last = len(inside) - 1
    return Replay(tuple(Tick(t + dt, -dt, i == last) for i, (t, dt, _) in enumerate(reversed(inside))))
