"""The backward sweep, as an autograd function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from odebench.autodiff import add_into, once, vjp, zeros
from odebench.gradients.recall import Invert
from odebench.gradients.rounds_back import go_back
from odebench.integrate import advance_of, look, places, walk
from odebench.types import Controller, Field, Params, Staged, State, Stepper, Tick, Trace, Unpulling

if TYPE_CHECKING:
    from odebench.gradients.sweep import Sweep

# (tick, state after the step, its cotangent, places inside the step that are given, their cotangents)
Back = Callable[[Tick, State, State, tuple[float, ...], Tensor], tuple[State, State, Params]]


def solve(
    how: Sweep,
    f: Field,
    params: Params,
    y0: Tensor,
    ts: tuple[float, ...],
    stepper: Stepper,
    control: Controller,
    trace: Trace | None,
) -> Tensor:
    """The solution at `ts`, with the sweep as its backward pass where a gradient is wanted."""
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in (y0, *params)):
        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)
    ys: Tensor = _Sweep.apply(how, f, stepper, control, ts, trace, y0, *params)  # type: ignore[no-untyped-call]
    return ys


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: Sweep,
        f: Field,
        stepper: Stepper,
        control: Controller,
        ts: tuple[float, ...],
        trace: Trace | None,
        y0: Tensor,
        *params: Tensor,
    ) -> Tensor:
        memo: dict[int, State] = {}
        how = _resetting(how, stepper)
        start = stepper.init(f, ts[0], y0)
        seen = walk(f, stepper, control, ts, start, how.recall.keeper(memo), trace)
        # Saving the inputs makes autograd complain if they were changed in place before the backward pass.
        ctx.save_for_backward(y0, *params)
        ctx.given, ctx.memo, ctx.mesh = (how, f, stepper, ts, trace), memo, seen.mesh
        ctx.rounds = seen.rounds
        # Only what undoes steps starts from the last state; the others would hold it for nothing.
        ctx.last = seen.last if isinstance(how.recall, Invert) else start
        return torch.stack(seen.ys)

    @staticmethod
    @once
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        (_, f, stepper, ts, _), (y0, *params) = ctx.given, ctx.saved_tensors
        params = tuple(params)
        back_over = _over_mesh if ctx.rounds is None else _over_rounds
        bar, params_bar = back_over(ctx, params, ys_bar)
        (y_bar,), share = vjp(lambda y: stepper.init(f, ts[0], y), (y0,), bar, params)
        add_into(params_bar, share)
        return None, None, None, None, None, None, y_bar + ys_bar[0], *params_bar


def _over_mesh(ctx: Any, params: Params, ys_bar: Tensor) -> tuple[State, Params]:
    """(the cotangent of the state at the start, that of `params`), step by step."""
    how, f, stepper, ts, trace = ctx.given
    back = _undoing(f, stepper, params, ctx) if _fused(how, stepper) else _recalling(how, f, stepper, params, ctx)
    # Where f hands out a parameter as it is, a leaf of the state is that parameter: not a tape, however it looks.
    state = tuple(leaf.detach() for leaf in ctx.last)
    bar = tuple(map(torch.zeros_like, state))
    params_bar, arriving = zeros(params), len(ts) - 1
    for tick in reversed(ctx.mesh):
        inside: tuple[float, ...] = ()
        if tick.lands:
            inside, ends = places(ts, arriving - tick.lands + 1, tick)
            if ends:
                bar = (bar[0] + ys_bar[arriving], *bar[1:])
            arriving -= tick.lands
        state, bar, share = back(tick, state, bar, inside, ys_bar[arriving + 1 : arriving + 1 + len(inside)])
        add_into(params_bar, share)
        if trace is not None:
            trace.recalled(tick.t, state[0])
    return bar, params_bar


def _over_rounds(ctx: Any, params: Params, ys_bar: Tensor) -> tuple[State, Params]:
    """The same where samples step by themselves."""
    how, f, stepper, ts, trace = ctx.given
    if trace is not None:
        trace.recalled(ts[0], ctx.last[0])
    return go_back(ctx.rounds, how, f, stepper, ts[0], ctx.memo, ctx.last, ys_bar, params)


def _fused(how: Sweep, stepper: Stepper) -> bool:
    return isinstance(how.recall, Invert) and isinstance(stepper, Unpulling)


def _resetting(how: Sweep, stepper: Stepper) -> Sweep:
    """`how` with the resets that the scheme asks for."""
    reset: int | None = getattr(stepper, "reset", None)
    return replace(how, recall=Invert(reset)) if reset and isinstance(how.recall, Invert) else how


def _undoing(f: Field, stepper: Stepper, params: Params, ctx: Any) -> Back:
    """Undo and transpose in one go, from the stored state where there is one."""
    assert isinstance(stepper, Unpulling)
    remaining = count(len(ctx.mesh), -1)

    def back(
        tick: Tick, state: State, bar: State, inside: tuple[float, ...], ys_bar: Tensor
    ) -> tuple[State, State, Params]:
        state, (t, dt, _) = ctx.memo.get(next(remaining), state), tick
        if inside:
            before = stepper.unstep(f, t, dt, state)
            return before, *_pulled(f, stepper, tick, before, bar, inside, ys_bar, params)
        return stepper.unpull(f, t, dt, state, bar, params)

    return back


def _recalling(how: Sweep, f: Field, stepper: Stepper, params: Params, ctx: Any) -> Back:
    """Recall the state before the step, then pull the cotangent through the step."""
    states, advance = how.recall.rewind(ctx.memo, f, stepper, ctx.mesh, ctx.last), advance_of(stepper)

    def back(
        tick: Tick, state: State, bar: State, inside: tuple[float, ...], ys_bar: Tensor
    ) -> tuple[State, State, Params]:
        before, (t, dt, _) = next(states), tick
        if inside:
            return before, *_pulled(f, stepper, tick, before, bar, inside, ys_bar, params)
        if how.by_stage:
            assert isinstance(stepper, Staged)
            return before, *stepper.pull(f, t, dt, before, bar, params)
        return before, *vjp(lambda *s: advance(f, t, dt, s), before, bar, params)

    return back


def _pulled(
    f: Field,
    stepper: Stepper,
    tick: Tick,
    before: State,
    bar: State,
    inside: tuple[float, ...],
    ys_bar: Tensor,
    params: Params,
) -> tuple[State, Params]:
    """The transpose of a step that is looked into, taped whole: what lies inside it hangs on all of its stages."""

    def stepped(*state: Tensor) -> State:
        after, ys = look(f, stepper, tick, state, inside)
        return (*after, *ys)

    return vjp(stepped, before, (*bar, *ys_bar), params)
