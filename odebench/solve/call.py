"""`odeint`: any pair of solver and gradient, with torchdiffeq's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack, overload

import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import Carrying
from odebench.errors import Divergence, Refusal, UsageError
from odebench.gradients import Backsolve, misfit
from odebench.integrate import timed
from odebench.solve.answers import Answers, Asked
from odebench.solve.beginning import Begun, begin
from odebench.solve.beyond import explained
from odebench.solve.dependence import Wanted, params_of
from odebench.solve.first_argument import by_either_name
from odebench.solve.idle_options import heeded
from odebench.solve.landings import Rounding, Times, grain
from odebench.solve.left_out import refuse_events, warn_of_callbacks
from odebench.solve.methods import gradient_of, named, stepper_of
from odebench.solve.options import Options
from odebench.solve.pieces import Pair, Route, solve
from odebench.solve.states import Laid
from odebench.solve.stepping import between_saves, control_of, route_of, tolerances
from odebench.solve.times import arriving, kind, leaving, read_times
from odebench.solvers import RungeKutta
from odebench.spec import Spec
from odebench.types import Controller

_SAMPLES = (
    "per_sample counts samples along the first axis of y0, and it is a tuple; join its tensors along another axis"
)


class Choices(TypedDict, total=False):
    """What `odeint` takes by name alone, for type checkers."""

    rtol: Any
    atol: Any
    method: str | Mapping[str, Any] | Spec | None
    gradient: str | Mapping[str, Any] | Spec
    options: Mapping[str, Any] | None
    params: Sequence[Tensor] | None
    event_fn: None


@overload
def odeint(f: Asked, y0: Any, t: Tensor, **choices: Unpack[Choices]) -> Any: ...
@overload
def odeint(*, func: Asked, y0: Any, t: Tensor, **choices: Unpack[Choices]) -> Any: ...
@by_either_name
def odeint(
    f: Callable[[Tensor, Any], Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | Mapping[str, Any] | Spec | None = "dopri5",
    gradient: str | Mapping[str, Any] | Spec = "direct",
    options: Mapping[str, Any] | None = None,
    params: Sequence[Tensor] | None = None,
    event_fn: None = None,
) -> Any:
    """Solve dy/dt = f(t, y), y(t[0]) = y0, and give the solution at every time of `t`.

    Args:
        f: or `func`, torchdiffeq's name for it. Called as f(t, y), t a 0-dim tensor in the precision of y, whatever
            that of `t`; returns dy/dt, shaped like y (in a tuple but for axes of length 1). t is in the span, but with
            kvaerno4, kvaerno5 and yoshida4, whose nodes lead out of the first and the last step; jump_t at both ends
            keeps them in, and leaves order 2 where f depends on t.
        y0: a floating-point or complex tensor of any shape, or a tuple of them.
        t: 1-D, strictly increasing or strictly decreasing. A saved time off the grid is landed on, not interpolated.
        rtol, atol: tolerances, for a scheme that estimates its error: numbers, or tensors that broadcast to y0; one for
            each of its tensors where y0 is a tuple.
        method: a solver as in a suite: "tsit5", {"alf": {"eta": 1.0}}, {"coupled": {"base": "rk4"}}.
        gradient: likewise: "direct", "adjoint", "aca", {"recursive": {"checkpoints": 8}}, "reversible", "symplectic".
        options: {"step_size": h} takes fixed steps with any scheme. A scheme without an error estimate takes one step
            per interval of `t` unless that or grid_constructor(f, y0, t) says otherwise; perturb looks at f from inside
            each of these steps. Steps chosen by tolerances take first_step, min_step, max_step, max_num_steps, safety,
            ifactor, dfactor, norm, and what the stepping `adaptive` of a suite takes. grid_points (or step_t) are
            landed on; at jump_t the solve starts afresh, and looks at f from either side. With per_sample the first
            axis of y0 counts samples, each takes steps of its own, and f gets t as a column, a time for each row of the
            y that it is given; three more evaluations look whether f can be asked so.
        params: what f depends on and gradients are wanted for; by default f's own parameters, f being a module which
            depends on nothing else that needs a gradient, but on tensors made from its parameters before the solve. f
            is called once before the solve, which begins with that answer.
        event_fn: not taken.

    Returns:
        A tensor (len(t), *y0.shape), or a tuple of such. Differentiable in y0, `params` and `t`. With respect to `t`
        the gradient of an explicit Runge–Kutta scheme at fixed steps is that of the steps taken, which move in
        proportion with the ends of their interval; otherwise, and with gradient `adjoint`, it is that of the flow at
        the solution found.

    Raises:
        UsageError: arguments that make no sense, `params` missing or too few where the gradient needs them, or an f
            that answers in another shape or changes y; its first call is looked at. A ValueError or TypeError too,
            where torchdiffeq raises one.
        Refusal: the scheme and the gradient, or the scheme and the stepping, do not go together; or there is event_fn.
        SolveError: the step size underflowed or the step limit was reached; Divergence where nothing is finite.
    """
    refuse_events(event_fn)
    registry.load_builtins()
    how = Spec.from_data(gradient)
    return by_gradient(f, y0, t, named(method), how, Wanted(params_of(f, params, how)), Steps(rtol, atol, options))


@dataclass(frozen=True)
class Steps:
    """What chooses the steps, as it was given."""

    rtol: Any
    atol: Any
    options: Mapping[str, Any] | None


def by_gradient(user: Asked, y0: Any, t: Tensor, method: Spec, how: Spec, wanted: Wanted, steps: Steps) -> Any:
    """Solve with a method and a gradient by name."""
    method, options = heeded(method, steps.options)
    pair = Pair(stepper_of(method), gradient_of(how, method), f"{method} with {how}", method)
    return drive(user, y0, t, pair, wanted, replace(steps, options=options))


def drive(user: Asked, y0: Any, t: Tensor, pair: Pair, wanted: Wanted, steps: Steps) -> Any:
    """Solve with a pair; `user` is f as it was given."""
    warn_of_callbacks(user)
    laid = Laid.of(y0) if isinstance(y0, tuple) else None
    start = y0 if laid is None else laid.end_to_end(y0)
    _look_at(start)
    given_t, (t, ts) = t, read_times(t, start)
    read = Options.read(steps.options, pair.method)
    control = _control(pair, read, steps, start, laid, t, ts[-1] - ts[0])
    if len(ts) == 1:
        ys = start.unsqueeze(0).clone()
    else:
        saved, real = Times(ts, t.dtype), start.real.dtype if start.is_complex() else start.dtype
        route = route_of(saved, read, control, lambda: read.grid_constructor(user, y0, given_t))  # type: ignore[misc]
        if isinstance(control, Carrying):
            control = replace(control, marks=route.marks)
        near = grain(real, read.jump_t, saved)
        answers = Answers(user)
        f = answers if laid is None else laid.around(answers)
        field = timed(explained(f, pair.stepper, ts, str(pair.method)), start)
        begun = begin(user, answers, field, start, (route.begin(near), *ts[1:]), pair, wanted)
        ys = _solve(begun, start, t, ts, route, control, near)
        _look_for_nan(ys, ts)
    return ys if laid is None else laid.parts(ys)


def _control(
    pair: Pair, read: Options, steps: Steps, start: Tensor, laid: Laid | None, t: Tensor, span: float
) -> Controller:
    """What chooses the steps of `pair` from `start` over `span`.

    Raises:
        UsageError: options or tolerances make no sense.
        Refusal: it does not go with the pair.
    """
    rtol, atol, norm = steps.rtol, steps.atol, read.norm
    if laid is not None:
        rtol, atol, norm = laid.spread("rtol", rtol), laid.spread("atol", atol), laid.norm(norm)
    tolerated = tolerances(rtol, atol, start)
    control = control_of(pair.method, pair.stepper, read, tolerated, norm, span, Rounding.of(t))
    control = between_saves(control, pair, read)
    refused = (
        control.refusal(pair.stepper)
        or pair.gradient.refusal(pair.stepper)
        or misfit(pair.gradient, control)
        or _misfit(pair, control)
    )
    if laid is not None and getattr(control, "per_sample", False):
        refused = refused or _SAMPLES
    if refused:
        raise Refusal(f"{pair.name}: {refused}")
    return control


def _solve(
    begun: Begun, y0: Tensor, t: Tensor, ts: tuple[float, ...], route: Route, control: Controller, near: torch.dtype
) -> Tensor:
    f, params, pair = begun
    if not (t.requires_grad and torch.is_grad_enabled()):
        return solve(f, params, y0, route, pair, control, near, {})
    stays = isinstance(pair.stepper, RungeKutta) and control.mesh(route.times) is not None
    if stays and not isinstance(pair.gradient, Backsolve):
        knots = dict(zip(route.saved, t.unbind(), strict=True))
        pair = pair.knowing(tuple(knots.values()))
        return solve(f, params, y0, route, pair, control, near, knots)
    ys = solve(f, params, leaving(f, ts, t, y0), route, pair, control, near, {})
    return arriving(f, ts, t, ys)


def _look_at(y0: Any) -> None:
    if not isinstance(y0, Tensor) or not (y0.dtype.is_floating_point or y0.dtype.is_complex):
        raise UsageError(f"y0 must be a floating-point tensor or a tuple of them; got {kind(y0)}")


def _misfit(pair: Pair, control: Controller) -> str | None:
    how = pair.gradient
    if not isinstance(how, Backsolve) or how.control is not None:
        return None
    tensors = [x for x in ("rtol", "atol") if isinstance(getattr(control, x, None), Tensor) and getattr(how, x) is None]
    if not tensors:
        return None
    return (
        f"{tensors[0]} is given per element, which the system solved backwards has others of; give adjoint_rtol and "
        "adjoint_atol as numbers to odeint_adjoint"
    )


def _look_for_nan(ys: Tensor, ts: tuple[float, ...]) -> None:
    """
    Raises:
        Divergence: the solution is not finite somewhere; steps chosen by tolerances have said so before.
    """
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return  # nothing can be asked of a tensor there
    if ys.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    if bool(torch.isfinite(ys.detach()).all()):
        return
    fine = torch.isfinite(ys.detach()).reshape(len(ts), -1).all(1).tolist()
    first = fine.index(False)
    if first == 0:
        raise UsageError("y0 is not finite; look at where it comes from")
    raise Divergence(
        f"the solution is not finite at t = {ts[first]:.6g}, and still was at {ts[first - 1]:.6g}: f is not, or the "
        "steps are too long; look at f between the two, or take smaller steps"
    )
