"""`odeint`: any pair of solver and gradient, with torchdiffeq's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.controllers import Replay
from odebench.errors import Refusal, UsageError, did_you_mean
from odebench.integrate import timed
from odebench.spec import Spec
from odebench.types import Controller, Stepper, Tick

# torchdiffeq's name for an option of the step-size control -> ours
_ADAPTIVE_OPTIONS = {
    "first_step": "first_step",
    "max_num_steps": "max_steps",
    "safety": "safety",
    "ifactor": "max_factor",
    "dfactor": "min_factor",
    "controller": "controller",
}


def odeint(
    f: Callable[[Tensor, Any], Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    method: str | Mapping[str, Any] | Spec = "dopri5",
    gradient: str | Mapping[str, Any] | Spec = "direct",
    options: Mapping[str, Any] | None = None,
    params: Sequence[Tensor] | None = None,
) -> Any:
    """Solve dy/dt = f(t, y), y(t[0]) = y0, and give the solution at every time of `t`.

    Args:
        f: called as f(t, y), t a 0-dim tensor of the dtype and device of `t`; returns dy/dt, shaped like y.
        y0: a floating-point tensor of any shape, or a tuple of them.
        t: 1-D, strictly increasing or strictly decreasing. A saved time off the grid is landed on, not interpolated.
        rtol, atol: tolerances, for a scheme that estimates its error.
        method: a solver as in a suite: "tsit5", {"alf": {"eta": 1.0}}, {"coupled": {"base": "rk4"}}.
        gradient: likewise: "direct", "adjoint", "aca", {"recursive": {"checkpoints": 8}}, "reversible", "symplectic".
        options: {"step_size": h} takes fixed steps with any scheme; otherwise first_step, max_num_steps, safety,
            ifactor, dfactor, controller. A scheme without an error estimate takes one step per interval of `t`
            unless step_size is given.
        params: what f depends on and gradients are wanted for; by default f's own parameters, f being a module.

    Returns:
        A tensor (len(t), *y0.shape), or a tuple of such. Differentiable in y0 and `params`, not in `t`.

    Raises:
        UsageError: arguments that make no sense, or `params` missing where the gradient needs it.
        Refusal: the scheme and the gradient, or the scheme and the stepping, do not go together.
        SolveError: the step size underflowed or the step limit was reached; Divergence where nothing is finite.
    """
    registry.load_builtins()
    if isinstance(y0, tuple):
        return _odeint_of_tuple(f, y0, t, rtol, atol, method, gradient, options, params)
    ts = _times(t, y0)
    stepper, how = _pair(Spec.from_data(method), Spec.from_data(gradient))
    control = _control(stepper, ts, rtol, atol, dict(options or {}))
    refused = control.refusal(stepper) or how.refusal(stepper)
    if refused:
        raise Refusal(f"{Spec.from_data(method)} with {Spec.from_data(gradient)}: {refused}")
    field = timed(_shape_checked(f), t, t.dtype)
    solution: Tensor = how.solve(field, _params(f, params, gradient), y0, ts, stepper, control)
    return solution


def _odeint_of_tuple(f: Callable[..., Any], y0: tuple[Tensor, ...], t: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    """Solve for the parts laid end to end in one vector; error norms then run over all of them."""
    if not y0 or not all(isinstance(part, Tensor) for part in y0):
        raise UsageError("y0 must be a tensor, or a tuple of at least one tensor")
    sizes, shapes = [part.numel() for part in y0], [part.shape for part in y0]

    def parts(x: Tensor) -> tuple[Tensor, ...]:
        lead = x.shape[:-1]
        return tuple(p.reshape((*lead, *s)) for p, s in zip(torch.split(x, sizes, dim=-1), shapes, strict=True))

    def flat(t: Tensor, x: Tensor) -> Tensor:
        return torch.cat([part.reshape(-1) for part in f(t, parts(x))])

    rtol, atol, method, gradient, options, params = rest
    given = _params(f, params, gradient)
    ys = odeint(
        flat, torch.cat([part.reshape(-1) for part in y0]), t,
        rtol=rtol, atol=atol, method=method, gradient=gradient, options=options, params=given,
    )  # fmt: skip
    return parts(ys)


def _times(t: Tensor, y0: Any) -> tuple[float, ...]:
    if not isinstance(y0, Tensor) or not (y0.dtype.is_floating_point or y0.dtype.is_complex):
        raise UsageError(f"y0 must be a floating-point tensor or a tuple of them; got {getattr(y0, 'dtype', type(y0))}")
    if not isinstance(t, Tensor) or t.ndim != 1 or t.numel() < 2 or not t.dtype.is_floating_point:
        raise UsageError("t must be a 1-D floating-point tensor of at least two times")
    if t.requires_grad:
        raise UsageError("gradients with respect to t are not computed; pass t.detach()")
    ts = tuple(t.tolist())
    steps = [b - a for a, b in pairwise(ts)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise UsageError("t must be strictly increasing or strictly decreasing")
    return ts


def _pair(method: Spec, gradient: Spec) -> tuple[Stepper, Any]:
    """The scheme and the gradient; `mali` is a name for `reversible` with alf alone."""
    if gradient.name == "mali" and registry.solvers.get(method.name).name != "alf":
        raise Refusal(f"mali is the reversible gradient of alf; with {method} ask for `reversible`")
    return registry.solvers.build(method), registry.gradients.build(gradient)


def _control(stepper: Stepper, ts: tuple[float, ...], rtol: float, atol: float, options: dict[str, Any]) -> Controller:
    step_size = options.pop("step_size", None)
    for name in options:
        if name not in _ADAPTIVE_OPTIONS:
            raise UsageError(f"no option {name!r}{did_you_mean(name, [*_ADAPTIVE_OPTIONS, 'step_size'])}")
    if step_size is not None:
        return registry.steppings.build(Spec.of("fixed", {"dt": float(step_size)}))  # type: ignore[no-any-return]
    if stepper.error_order is None:
        return Replay(tuple(Tick(a, b - a, True) for a, b in pairwise(ts)))
    given = {_ADAPTIVE_OPTIONS[name]: value for name, value in options.items() if value is not None}
    given |= {"rtol": float(rtol), "atol": float(atol)}
    return registry.steppings.build(Spec.of("adaptive", given))  # type: ignore[no-any-return]


def _params(f: Callable[..., Any], params: Sequence[Tensor] | None, gradient: Any) -> tuple[Tensor, ...]:
    """What to differentiate; asked for rather than guessed, since a silent zero gradient is the worst answer."""
    if params is not None:
        return tuple(p for p in params if p.requires_grad)
    if isinstance(f, nn.Module):
        return tuple(p for p in f.parameters() if p.requires_grad)
    spec = Spec.from_data(gradient)
    if registry.gradients.get(spec.name).name == "direct":
        return ()
    raise UsageError(
        f"f is no torch.nn.Module, so gradient {spec} needs params=(…), the tensors f depends on; () for none"
    )


def _shape_checked(f: Callable[..., Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """f, its first answer checked: broadcasting would turn a wrong shape into a wrong solution."""
    checked = False

    def call(t: Tensor, y: Tensor) -> Tensor:
        nonlocal checked
        dy: Tensor = f(t, y)
        if not checked:
            if not isinstance(dy, Tensor) or dy.shape != y.shape:
                raise UsageError(
                    f"f must return a tensor shaped like y, {tuple(y.shape)}; got {getattr(dy, 'shape', type(dy))}"
                )
            checked = True
        return dy

    return call
