"""`odeint`: any pair of solver and gradient, with torchdiffeq's signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.autodiff import leaves
from odebench.controllers import Replay
from odebench.errors import Refusal, UsageError, did_you_mean
from odebench.integrate import timed
from odebench.spec import Spec
from odebench.types import Controller, Gradient, Params, Stepper, Tick

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
        params: what f depends on and gradients are wanted for; by default f's own parameters, f being a module which
            depends on nothing else that needs a gradient.

    Returns:
        A tensor (len(t), *y0.shape), or a tuple of such. Differentiable in y0 and `params`, not in `t`.

    Raises:
        UsageError: arguments that make no sense, `params` missing or too few where the gradient needs them, or an f
            that answers in another shape or changes y; its first call is looked at.
        Refusal: the scheme and the gradient, or the scheme and the stepping, do not go together.
        SolveError: the step size underflowed or the step limit was reached; Divergence where nothing is finite.
    """
    registry.load_builtins()
    spec = Spec.from_data(gradient)
    given = _params(f, params, spec)
    # Direct backpropagation finds by itself what f depends on, and an explicit `params` may leave something out.
    complete = params is not None or not torch.is_grad_enabled() or _is_direct(spec)
    checked = _checked(f, None if complete else given)
    pair = *_pair(Spec.from_data(method), spec), f"{Spec.from_data(method)} with {spec}"
    if not isinstance(y0, tuple):
        return _solve(checked, y0, t, pair, given, rtol, atol, options)
    laid = _Laid.of(y0)
    return laid.parts(_solve(laid.around(checked), laid.end_to_end(y0), t, pair, given, rtol, atol, options))


def _solve(
    f: Callable[[Tensor, Tensor], Tensor],
    y0: Tensor,
    t: Tensor,
    pair: tuple[Stepper, Gradient, str],
    params: tuple[Tensor, ...],
    rtol: float,
    atol: float,
    options: Mapping[str, Any] | None,
) -> Tensor:
    ts, (stepper, how, name) = _times(t, y0), pair
    control = _control(stepper, ts, rtol, atol, dict(options or {}))
    refused = control.refusal(stepper) or how.refusal(stepper)
    if refused:
        raise Refusal(f"{name}: {refused}")
    return how.solve(timed(f, t, t.dtype), params, y0, ts, stepper, control)


@dataclass(frozen=True)
class _Laid:
    """Tensors laid end to end in one vector; error norms then run over all of them."""

    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, parts: tuple[Tensor, ...]) -> _Laid:
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            raise UsageError("y0 must be a tensor, or a tuple of at least one tensor")
        return cls(tuple(part.shape for part in parts))

    def end_to_end(self, parts: Iterable[Tensor]) -> Tensor:
        return torch.cat([part.reshape(-1) for part in parts])

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of the last axis; those before it stay."""
        split = torch.split(x, [shape.numel() for shape in self.shapes], dim=-1)
        return tuple(part.reshape((*x.shape[:-1], *shape)) for part, shape in zip(split, self.shapes, strict=True))

    def around(self, f: Callable[[Tensor, Any], Any]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda t, x: self.end_to_end(f(t, self.parts(x)))


def _times(t: Tensor, y0: Any) -> tuple[float, ...]:
    if not isinstance(y0, Tensor) or not (y0.dtype.is_floating_point or y0.dtype.is_complex):
        raise UsageError(f"y0 must be a floating-point tensor or a tuple of them; got {getattr(y0, 'dtype', type(y0))}")
    if not isinstance(t, Tensor) or t.ndim != 1 or t.numel() < 2 or not t.dtype.is_floating_point:
        raise UsageError("t must be a 1-D floating-point tensor of at least two times")
    if t.requires_grad:
        raise UsageError("gradients with respect to t are not computed; pass t.detach()")
    ts = tuple(t.tolist())
    steps = [b - a for a, b in pairwise(ts)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)) or not all(map(isfinite, ts)):
        raise UsageError("t must be finite, and strictly increasing or strictly decreasing")
    return ts


def _pair(method: Spec, gradient: Spec) -> tuple[Stepper, Gradient]:
    """The scheme and the gradient; `mali` is a name for `reversible` with alf alone."""
    if gradient.name == "mali" and registry.solvers.get(method.name).name != "alf":
        raise Refusal(f"mali is the reversible gradient of alf; with {method} ask for `reversible`")
    stepper = registry.solvers.build(method)
    if not isinstance(stepper, Stepper):
        raise Refusal(
            f"odeint walks odebench's own schemes, and {method} is none; call that library itself, or measure it in a "
            "suite"
        )
    return stepper, registry.gradients.build(gradient)


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


def _is_direct(gradient: Spec) -> bool:
    return registry.gradients.get(gradient.name).name == "direct"


def _params(f: Callable[..., Any], params: Sequence[Tensor] | None, gradient: Spec) -> tuple[Tensor, ...]:
    """What to differentiate; asked for rather than guessed, since a silent zero gradient is the worst answer."""
    if params is None and isinstance(f, nn.Module):
        params = tuple(f.parameters())
    if params is not None:
        # A tensor named twice would get its gradient twice.
        return tuple({id(p): p for p in params if p.requires_grad}.values())
    if _is_direct(gradient):
        return ()
    raise UsageError(
        f"f is no torch.nn.Module, so gradient {gradient} needs params=(…), the tensors f depends on; () for none"
    )


def _checked(f: Callable[[Tensor, Any], Any], known: tuple[Tensor, ...] | None) -> Callable[[Tensor, Any], Any]:
    """f, its first call checked: that it answers in the shapes of y, broadcasting would turn another one into a wrong
    solution; that it leaves y alone; and, where `known` is given, that nothing else it depends on needs a gradient.
    """
    checked = False

    def call(t: Tensor, y: Any) -> Any:
        nonlocal checked
        if checked:
            return f(t, y)
        before = _parts(y)
        versions = [None if part.is_inference() else part._version for part in before]
        if known is None:
            dy = f(t, y)
        else:
            dy = _without_strangers(f, t, tuple(part.detach() for part in before), isinstance(y, tuple), known)
        shapes, wanted = [getattr(d, "shape", type(d)) for d in _parts(dy)], [part.shape for part in before]
        if shapes != wanted:
            tell = "a tensor" if isinstance(y, Tensor) else "a tuple of tensors"
            raise UsageError(f"f must return {tell} shaped like y, {[*map(tuple, wanted)]}; got {shapes}")
        if any(v is not None and part._version != v for part, v in zip(before, versions, strict=True)):
            raise UsageError("f changed y in place; it must return dy/dt as a tensor of its own")
        checked = True
        return dy

    return call


def _without_strangers(f: Callable[..., Any], t: Tensor, y: tuple[Tensor, ...], many: bool, known: Params) -> Any:
    """f(t, y) without a graph.

    Raises:
        UsageError: it depends on a leaf that requires a gradient and is not `known`: that gradient would be lost.
    """
    with torch.enable_grad():
        dy = _parts(f(t, y if many else y[0]))
    named = {id(p) for p in known}
    for leaf in leaves([d for d in dy if isinstance(d, Tensor)]):
        if id(leaf) not in named:
            raise UsageError(
                f"f depends on a tensor of shape {tuple(leaf.shape)} that requires a gradient and is none of its "
                "parameters; name all that f depends on in params=(…), or detach it"
            )
    dy = tuple(d.detach() if isinstance(d, Tensor) else d for d in dy)
    return dy if many else dy[0]


def _parts(y: Any) -> tuple[Any, ...]:
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)
