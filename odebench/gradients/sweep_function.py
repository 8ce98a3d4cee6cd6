"""The backward sweep, as an autograd function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from odebench.autodiff import add_into, kept_for_more, once, vjp, zeros
from odebench.gradients.guard import Moments
from odebench.gradients.recall import Invert, StoreAll
from odebench.gradients.return_pass import Return
from odebench.gradients.rounds_back import Way, go_back
from odebench.integrate import Walk, advance_of, look, places, walk
from odebench.solvers import RungeKutta
from odebench.types import (
    Controller,
    Field,
    Linear,
    Mesh,
    Params,
    Staged,
    StagedInside,
    State,
    Step,
    Stepper,
    Tick,
    Trace,
    Unpulling,
    can,
)

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
        how = _resetting(how, stepper)
        memo, moments, start, seen = _forth(how, f, stepper, control, ts, trace, y0)
        ys = torch.stack(seen.ys)
        # Saving the inputs makes autograd complain if they were changed in place before the backward pass.
        ctx.save_for_backward(y0, *params)
        ctx.given, ctx.memo, ctx.mesh = (how, f, stepper, ts, trace), memo, seen.mesh
        ctx.rounds, ctx.moments = seen.rounds, moments
        # Only what undoes steps starts from the last state; the others would hold it for nothing.
        ctx.last = seen.last if isinstance(how.recall, Invert) else start
        ctx.ends, ctx.version = None if how.guard is None else ys.detach(), ys._version
        return ys

    @staticmethod
    @once
    def backward(ctx: Any, ys_bar: Tensor) -> tuple[Tensor | None, ...]:
        (y0, *params), (how, f, stepper, ts, _) = ctx.saved_tensors, ctx.given
        params = tuple(params)
        with Return.of(how.guard, ctx.moments, params, _tolerance(how, y0)) as back:
            back_over, asked = _over_mesh if ctx.rounds is None else _over_rounds, back.field(f)
            if ctx.ends is not None and ctx.ends._version != ctx.version:
                ctx.ends = None  # whoever was given the solution has changed it
            bar, params_bar = back_over(ctx, asked, params, ys_bar, back)
            back.put(None)
            (y_bar,), share = vjp(lambda y: stepper.init(asked, ts[0], y), (y0,), bar, params)
            add_into(params_bar, share)
        if not kept_for_more():  # f may hold the result
            ctx.given = ctx.memo = ctx.last = ctx.ends = ctx.moments = None
        return None, None, None, None, None, None, y_bar + ys_bar[0], *params_bar


def _forth(
    how: Sweep,
    f: Field,
    stepper: Stepper,
    control: Controller,
    ts: tuple[float, ...],
    trace: Trace | None,
    y0: Tensor,
) -> tuple[dict[int, State], Moments | None, State, Walk]:
    """(what the recall keeps, the moments of steps, the state at the start, the walk)."""
    guard = how.guard
    if guard is not None:
        guard.world.enter()
    while True:
        memo: dict[int, State] = {}
        keep, moments = how.recall.keeper(memo), None if guard is None else guard.moments()
        if isinstance(how.recall, Invert):
            moments = None
        if moments is None:
            begin = None
        else:
            keep, begin = moments.keeping(keep), moments.begin
        start = stepper.init(f, ts[0], y0)
        seen = walk(f, stepper, control, ts, start, keep, trace, begin)
        if guard is None or not guard.repeats(isinstance(how.recall, Invert)):
            return memo, moments if guard is not None and guard.world.moving else None, start, seen


def _tolerance(how: Sweep, y0: Tensor) -> float:
    """Of what is recalled all digits are there; of what is undone rounding leaves fewer. Where f writes to buffers, and
    nothing was kept by which to put them back at each step, a smaller miss is one to tell of.
    """
    eps, undone = torch.finfo(y0.dtype).eps, isinstance(how.recall, Invert)
    return float(eps**0.25 if undone and not (how.guard and how.guard.world.written) else eps**0.5)


def _over_mesh(ctx: Any, f: Field, params: Params, ys_bar: Tensor, back: Return) -> tuple[State, Params]:
    """(the cotangent of the state at the start, that of `params`), step by step."""
    how, _, stepper, ts, trace = ctx.given
    taking = _undoing(f, stepper, params, ctx) if _fused(how, stepper) else _recalling(f, params, ctx, back)
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
        state, bar, share = taking(tick, state, bar, inside, ys_bar[arriving + 1 : arriving + 1 + len(inside)])
        add_into(params_bar, share)
        if trace is not None:
            trace.recalled(tick.t, state[0])
    if isinstance(how.recall, Invert) and ctx.ends is not None:
        back.compare(ts[0], ctx.ends[0], state[0], ctx.ends)
    return bar, params_bar


def _over_rounds(ctx: Any, f: Field, params: Params, ys_bar: Tensor, back: Return) -> tuple[State, Params]:
    """The same where samples step by themselves."""
    how, _, stepper, ts, trace = ctx.given
    if trace is not None:
        trace.recalled(ts[0], ctx.last[0])
    return go_back(Way(ctx.rounds, ctx.memo, ts[0], ctx.last), how, f, stepper, ys_bar, params, back)


def _fused(how: Sweep, stepper: Stepper) -> bool:
    return isinstance(how.recall, Invert) and can(stepper, Unpulling)


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


def _recalling(f: Field, params: Params, ctx: Any, back: Return) -> Back:
    """Recall the state before the step, then pull the cotangent through the step."""
    how, _, stepper, ts, _ = ctx.given
    # A step that is recalled was judged or not; taken again nobody judges it.
    walker = stepper if back.moments is None else _AtItsMoment(stepper, back, _numbers(ctx.mesh))
    states, advance = how.recall.rewind(ctx.memo, f, walker, ctx.mesh, ctx.last), advance_of(stepper)
    remaining, arriving = count(len(ctx.mesh) - 1, -1), len(ts) - 1
    looks = frozenset() if ctx.ends is None else _spread(len(ctx.mesh))

    def taking(
        tick: Tick, state: State, bar: State, inside: tuple[float, ...], ys_bar: Tensor
    ) -> tuple[State, State, Params]:
        nonlocal arriving
        before, (t, dt, lands), index = next(states), tick, next(remaining)
        kept = ctx.ends[arriving] if index in looks and lands and not inside else None
        arriving -= lands
        if kept is None and index in looks and index + 1 in ctx.memo and isinstance(how.recall, StoreAll):
            kept = ctx.memo[index + 1][0]
        back.put(index)
        if inside:
            if how.by_stage and back.moments is None and can(stepper, StagedInside):
                return before, *stepper.pull_inside(f, t, dt, before, bar, inside, ys_bar, params)
            return before, *_pulled(f, stepper, tick, before, bar, inside, ys_bar, params)
        # Random numbers are drawn in the order of the stages, which a transpose by stages turns round.
        if how.by_stage and back.moments is None:
            assert isinstance(stepper, Staged)
            if index in looks and index + 1 in ctx.memo and _holds_slope(stepper):
                back.expect(t + dt, *ctx.memo[index + 1])
            return before, *stepper.pull(f, t, dt, before, bar, params)

        def stepped(*s: Tensor) -> State:
            after = advance(f, t, dt, s)
            if kept is not None:
                back.compare(t + dt, kept, after[0], ctx.ends)
            return after

        return before, *vjp(stepped, before, bar, params)

    return taking


def _holds_slope(stepper: Stepper) -> bool:
    """The state is (y, f at y)."""
    return isinstance(stepper, RungeKutta) and stepper.tableau.fsal


@dataclass(frozen=True)
class _AtItsMoment:
    """A scheme that takes each step of a mesh, known by its time, with the random numbers that it had."""

    inner: Stepper
    back: Return
    numbers: dict[float, int]

    @property
    def order(self) -> int:
        return self.inner.order

    @property
    def error_order(self) -> int | None:
        return self.inner.error_order

    def init(self, f: Field, t: float, y: Tensor) -> State:
        return self.inner.init(f, t, y)

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        return Step(self.advance(f, t, dt, state))

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        self.back.put(self.numbers[t])
        return advance_of(self.inner)(f, t, dt, state)


def _numbers(mesh: Mesh) -> dict[float, int]:
    return {tick.t: index for index, tick in enumerate(mesh)}


def _spread(steps: int) -> frozenset[int]:
    """Eight steps at most, the first and the last among them: a comparison costs as much as a small f."""
    return frozenset(round(i * (steps - 1) / 7) for i in range(8))


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
    t, dt, _ = tick
    if can(stepper, Linear):  # what lies inside need not be made again

        def opened(*state: Tensor) -> State:
            after, slopes = stepper.looked_into(f, t, dt, state)
            return (*after, *slopes)

        (y_bar, *rest), share = vjp(opened, before, (*bar, *stepper.spread(dt, inside, ys_bar)), params)
        return (y_bar + ys_bar.sum(0), *rest), share

    def stepped(*state: Tensor) -> State:
        after, ys = look(f, stepper, tick, state, inside)
        return (*after, *ys)

    return vjp(stepped, before, (*bar, *ys_bar), params)
