"""The solve backwards of `odeint_adjoint`, as its arguments have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from odebench.errors import UsageError
from odebench.gradients import Backsolve
from odebench.solve.landings import Rounding
from odebench.solve.methods import named, one_step_per_interval, stepper_of
from odebench.solve.options import Options, number
from odebench.solve.states import Laid
from odebench.solve.stepping import control_of
from odebench.spec import Spec
from odebench.types import Controller


def way_back(
    y0: Any,
    t: Any,
    forward: Spec,
    method: Any,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    options: Mapping[str, Any] | None,
    adjoint_options: Mapping[str, Any] | None,
) -> Backsolve:
    """`own` are the tolerances given for the way back, `given` those for the way there, in case they serve both."""
    spec = forward if method is None else named(method)
    there, back = Options.read(options, forward), Options.read({**(adjoint_options or {}), "norm": None}, spec)
    span = _span(t)
    laid = Laid.of(y0) if isinstance(y0, tuple) else None
    wished = (adjoint_options or {}).get("norm")
    if isinstance(wished, str) and wished != "seminorm":
        raise UsageError(f'the norm in adjoint_options is "seminorm" or a function; got {wished!r}')
    solver = stepper_of(spec)
    hops = one_step_per_interval(spec, solver) and back.stride(span) is None
    forth = one_step_per_interval(forward, stepper_of(forward)) or there.stride(span) is not None
    control: Controller | None = None
    if hops and forth:
        back.refuse_adaptive("the steps back are fixed")
    elif adjoint_options is not None or spec != forward:
        norm = there.norm if laid is None else laid.norm(there.norm)
        control = control_of(spec, solver, back, _numbers(own, given), norm, span, Rounding.of(t))
    known = forth or control is not None
    return Backsolve(
        seminorm=wished == "seminorm",
        solver=None if spec == forward else solver,
        control=control,
        norm=_norm(wished, laid) if callable(wished) else None,
        rtol=None if known else own.get("rtol"),
        atol=None if known else own.get("atol"),
    )


def _span(t: Any) -> float:
    """The length of the solve; what are no times is refused later."""
    return float((t[-1] - t[0]).detach()) if isinstance(t, Tensor) and t.ndim == 1 and t.numel() else 0.0


def _numbers(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in (dict(given) | dict(own)).items():
        if isinstance(value, (tuple, list)) or (isinstance(value, Tensor) and value.numel() != 1):
            raise UsageError(f"the way back needs {name} as a number, for all it solves for; give adjoint_{name}")
        found[name] = number(name, value)
    return found


def _norm(own: Callable[..., Any], laid: Laid | None) -> Callable[[tuple[Tensor, ...]], Any]:
    """The user's, which gets the adjoint of time too: 0, it is not solved for."""

    def norm(parts: tuple[Tensor, ...]) -> Any:
        y, a, *params = parts
        state = (y, a) if laid is None else (*laid.parts(y), *laid.parts(a))
        return own((y.new_zeros(()), *state, *params))

    return norm
