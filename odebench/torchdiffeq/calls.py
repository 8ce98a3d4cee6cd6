"""torchdiffeq's four functions, with its signatures and defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from torch import Tensor

from odebench import registry, solve
from odebench.solve.call import Steps, by_gradient
from odebench.solve.dependence import Wanted, params_of
from odebench.solve.faults import WrongValue
from odebench.solve.left_out import refuse_events
from odebench.solve.methods import named
from odebench.spec import Spec
from odebench.torchdiffeq.methods import meant

_ADJOINT = Spec("adjoint")


def odeint(
    func: Callable[[Tensor, Any], Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | Mapping[str, Any] | Spec | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: None = None,
    gradient: str | Mapping[str, Any] | Spec = "direct",
    params: Sequence[Tensor] | None = None,
) -> Any:
    """`odebench.odeint` by torchdiffeq's names: `method` is one of torchdiffeq's, or of odebench's.

    Shapes, units, options and errors are those of `odebench.odeint`. `gradient` and `params` are its own.
    """
    return solve.odeint(
        func, y0, t, rtol=rtol, atol=atol, method=meant(method), gradient=gradient, options=options, params=params,
        event_fn=event_fn,
    )  # fmt: skip


def odeint_adjoint(
    func: Callable[[Tensor, Any], Any],
    y0: Any,
    t: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | Mapping[str, Any] | Spec | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: None = None,
    adjoint_rtol: float | None = None,
    adjoint_atol: float | None = None,
    adjoint_method: str | Mapping[str, Any] | Spec | None = None,
    adjoint_options: Mapping[str, Any] | None = None,
    adjoint_params: Sequence[Tensor] | None = None,
    gradient: str | Mapping[str, Any] | Spec = "adjoint",
) -> Any:
    """`odebench.odeint_adjoint` by torchdiffeq's names, or by `gradient` with another way back than the adjoint.

    Shapes, units, options and errors are those of `odebench.odeint_adjoint`. `gradient` is as in `odebench.odeint`;
    its `params` are `adjoint_params`.

    Raises:
        UsageError: `gradient` solves nothing backwards, and an argument says how; a ValueError too.
    """
    back: dict[str, Any] = {
        "adjoint_rtol": adjoint_rtol,
        "adjoint_atol": adjoint_atol,
        "adjoint_method": meant(adjoint_method),
        "adjoint_options": adjoint_options,
    }
    how = Spec.from_data(gradient)
    if how == _ADJOINT:
        return solve.odeint_adjoint(
            func, y0, t, rtol=rtol, atol=atol, method=meant(method), options=options, event_fn=event_fn,
            adjoint_params=adjoint_params, **back,
        )  # fmt: skip
    idle = [name for name, value in back.items() if value is not None]
    if idle:
        raise WrongValue(f"{idle[0]} is for gradient adjoint, as its name says, and gradient is {how}; leave it out")
    refuse_events(event_fn)
    registry.load_builtins()
    given = None if adjoint_params is None else tuple(adjoint_params)
    params = params_of(func, given, how, "adjoint_params")
    wanted = Wanted(params, strict=given is None, argument="adjoint_params")
    return by_gradient(func, y0, t, named(meant(method)), how, wanted, Steps(rtol, atol, options))


def odeint_event(
    func: Callable[[Tensor, Any], Any],
    y0: Any,
    t0: Tensor,
    *,
    event_fn: Callable[[Tensor, Any], Tensor],
    reverse_time: bool = False,
    odeint_interface: Callable[..., Any] = odeint,
    **kwargs: Any,
) -> NoReturn:
    """Refuses: events are left out.

    Raises:
        Refusal: always.
    """
    solve.odeint_event()


def odeint_dense(
    func: Callable[[Tensor, Any], Any],
    y0: Any,
    t0: Tensor,
    t1: Tensor,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | Mapping[str, Any] | Spec | None = None,
    options: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Refuses: no function of time is returned.

    Raises:
        Refusal: always.
    """
    solve.odeint_dense()
