"""The one forward loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.controllers.adaptive import END, OVER, STRETCH, Adaptive
from odebench.controllers.resolution import told_apart, underflow
from odebench.controllers.stuck import LastTrial
from odebench.per_sample import Again, Rounds, follow, search
from odebench.types import (
    Advancing,
    Continuous,
    Controller,
    Extension,
    Field,
    Mesh,
    Passing,
    State,
    Step,
    Stepper,
    Tabled,
    Tick,
    Trace,
    can,
)

Keep = Callable[[int, State, int | None], None]


class Walk(NamedTuple):
    """What a walk gave: the solution at each saved time, the state at the end, the accepted steps.

    Where samples step by themselves `rounds` has their steps, and there is no one mesh, nor a state at the end.
    """

    ys: list[Tensor]
    last: State
    mesh: Mesh
    rejected: int
    rounds: Rounds | None = None


def timed(f: Callable[[Tensor, Tensor], Tensor], like: Tensor) -> Field:
    """`f` with a Python float accepted for t: it is handed on as a 0-dim tensor in the precision of `like`, the state,
    and on its device, as torchdiffeq does.

    Schemes reckon time in float64 whatever the dtype of the state, and no step costs a copy to the device. In a lower
    precision than the state's, f would see a staircase of times, and steps would shrink at each of its edges.
    """
    dtype = like.dtype if like.dtype.is_floating_point else like.real.dtype
    device = like.device

    def field(t: float | Tensor, y: Tensor) -> Tensor:
        if isinstance(t, Tensor):
            return f(t.to(device, dtype), y)
        return f(torch.scalar_tensor(t, dtype=dtype, device=device), y)

    return field


def walk(
    f: Field,
    stepper: Stepper,
    control: Controller,
    ts: tuple[float, ...],
    state: State,
    keep: Keep | None = None,
    trace: Trace | None = None,
    begin: Callable[[], None] | None = None,
) -> Walk:
    """Step through `ts`, landing on each, or on those that the controller asks for. `keep` sees (index, state, number
    of steps if known) before every step that is taken, and `begin` is called before every trial of steps that are
    searched.

    Raises:
        Divergence: the error estimate stays not finite however small the step.
        SolveError: the step size underflowed, or the controller's step limit was reached.
    """
    if trace is not None:
        trace.saw(ts[0], state[0])
    if getattr(control, "per_sample", False):
        return _walk_apart(f, stepper, control, ts, state, keep, trace, begin)
    mesh = control.mesh(ts)
    if mesh is None:
        found = _search(f, stepper, control, ts, state, keep, trace, begin)
    else:
        found = _follow(f, stepper, mesh, ts, state, keep, trace)
    if trace is not None:
        trace.went(found.mesh, found.rejected)
    return found


def _walk_apart(
    f: Field,
    stepper: Stepper,
    control: Controller,
    ts: tuple[float, ...],
    state: State,
    keep: Keep | None,
    trace: Trace | None,
    begin: Callable[[], None] | None,
) -> Walk:
    """Every sample by itself. `keep` sees the samples that are under way, and `trace` the saved times."""
    assert isinstance(stepper, Tabled), "the controller refuses schemes that are not known to scale"
    if isinstance(control, Again):
        rounds = control.rounds
        ys = follow(f, stepper, rounds, ts, state, keep)
    else:
        assert isinstance(control, Adaptive), "nothing else has per_sample"
        ys, rounds = search(f, stepper, control, ts, state, keep, begin)
    if trace is not None:
        for t, y in zip(ts[1:], ys[1:], strict=True):
            trace.saw(t, y)
        slowest = rounds.slowest
        trace.went(rounds.of(slowest), int(rounds.rejected[slowest]))
        tell: Any = getattr(trace, "went_apart", None)
        if tell is not None:
            tell(rounds)
    return Walk(ys, (), (), 0, rounds)


def places(ts: tuple[float, ...], first: int, tick: Tick) -> tuple[tuple[float, ...], bool]:
    """Where inside the step the saved times lie that it gives, ts[first] and those after it, and whether its end is the
    last of them. A place is in units of the step, 0 its start.
    """
    t, dt, lands = tick
    found = [(saved - t) / dt for saved in ts[first : first + lands]] if lands else []
    ends = bool(found) and found[-1] > 1 - END
    return tuple(found[:-1] if ends else found), ends


def look(f: Field, stepper: Stepper, tick: Tick, state: State, inside: tuple[float, ...]) -> tuple[State, list[Tensor]]:
    """(the state after a step that nobody judges, the solution at those places inside it)."""
    step, extension = _open(f, stepper, tick, state)
    return step.state, extension(inside)


def _open(f: Field, stepper: Stepper, tick: Tick, state: State) -> tuple[Step, Extension]:
    assert isinstance(stepper, Continuous), "the controller refuses schemes whose steps cannot be looked into"
    return stepper.extend(f, tick.t, tick.dt, state)


def _follow(
    f: Field,
    stepper: Stepper,
    mesh: Mesh,
    ts: tuple[float, ...],
    state: State,
    keep: Keep | None,
    trace: Trace | None,
) -> Walk:
    advance = advance_of(stepper)
    ys, total = [state[0]], len(mesh)
    for index, tick in enumerate(mesh):
        t, dt, lands = tick
        if keep is not None:
            keep(index, state, total)
        inside, ends = places(ts, len(ys), tick) if lands else ((), False)
        if inside:
            state, seen = look(f, stepper, tick, state, inside)
            ys += seen
        else:
            state = advance(f, t, dt, state)
        if ends:
            ys.append(state[0])
        if trace is not None:
            trace.saw(t + dt, state[0])
    return Walk(ys, state, mesh, 0)


def _search(
    f: Field,
    stepper: Stepper,
    control: Controller,
    ts: tuple[float, ...],
    state: State,
    keep: Keep | None,
    trace: Trace | None,
    begin: Callable[[], None] | None,
) -> Walk:
    order = stepper.error_order
    assert order is not None, "the planner refuses a stepper without an estimate"
    dt, memory = control.first(f, stepper, ts, state)
    ys, rejected, step = [state[0]], 0, Step(state)
    mesh: list[Tick] = []
    t, span = ts[0], abs(ts[-1] - ts[0])
    limit, longest = getattr(control, "max_steps", None), OVER * getattr(control, "longest", inf)
    passing = control if can(control, Passing) else None
    landings: Sequence[int] = range(1, len(ts)) if passing is None else passing.landings(ts)
    landed = 0
    while landed < len(landings):
        # A step that lands is not counted: there are as many of them as times asked for, however many those are.
        if limit is not None and len(mesh) + rejected - landed >= limit:
            raise LastTrial(control, t, dt, span, state[0], step.error).exhausted(limit)
        target = ts[landings[landed]]
        ends = min(abs(dt) * STRETCH, longest) >= abs(target - t)
        if ends:
            h = target - t
        else:
            h = told_apart(t, dt if passing is None else passing.approach(dt, target - t), target, span)
        ends = ends or t + h == target
        reached = landings[landed] + 1 if ends else _reached(ts, len(ys), t, h)
        tick = Tick(t, h, reached - len(ys))
        inside, _ = places(ts, len(ys), tick)
        if begin is not None:
            begin()
        step, extension = _open(f, stepper, tick, state) if inside else (stepper.step(f, t, h, state), None)
        accept, following, memory = control.judge(h, state, step, order, memory)
        if not accept:
            rejected += 1
            dt = following
            if abs(dt) < underflow(t, span):
                raise LastTrial(control, t, dt, span, state[0], step.error).stuck()
            continue
        if keep is not None:
            keep(len(mesh), state, None)
        mesh.append(tick)
        t, state = (target if ends else t + h), step.state
        if extension is not None:
            ys += extension(inside)
        if ends:
            ys.append(state[0])
            landed += 1
        # A step that was cut short to land says little about the next one.
        dt = max(dt, following, key=abs) if abs(h) < abs(dt) else following
        if trace is not None:
            trace.saw(t, state[0])
    return Walk(ys, state, tuple(mesh), rejected)


def _reached(ts: tuple[float, ...], first: int, t: float, dt: float) -> int:
    """The first saved time, from `first` on, that a step which lands on none does not give.

    One at its end goes to the next step, which has it at its start; there the interpolant is just as good.
    """
    while (ts[first] - t) / dt <= 1 - END:
        first += 1
    return first


def advance_of(stepper: Stepper) -> Callable[[Field, float, float, State], State]:
    """The cheapest way `stepper` takes a step that nobody judges."""
    if can(stepper, Advancing):
        return stepper.advance

    def advance(f: Field, t: float, dt: float, state: State) -> State:
        return stepper.step(f, t, dt, state).state

    return advance
