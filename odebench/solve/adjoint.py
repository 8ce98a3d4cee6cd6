"""`odeint_adjoint`: the continuous adjoint, with torchdiffeq's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from odebench import registry
from odebench.solve.call import Steps, drive
from odebench.solve.dependence import Wanted, params_of
from odebench.solve.faults import WrongValue
from odebench.solve.idle_options import heeded
from odebench.solve.left_out import refuse_events
from odebench.solve.methods import named, stepper_of
from odebench.solve.pieces import Pair
from odebench.solve.return_trip import way_back
from odebench.spec import Spec

_ADJOINT = Spec("adjoint")


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
) -> Any:
    """As `odeint` with gradient `adjoint`, and a say in the solve backwards.

    Args:
        func, y0, t, rtol, atol, method, options, event_fn: as for `odeint`.
        adjoint_rtol, adjoint_atol: tolerances of the solve backwards, numbers; those of the forward one by default.
        adjoint_method: its scheme; the forward one by default. Fixed steps then go back over the forward mesh.
        adjoint_options: its options, in place of the forward ones, but for those that say where steps land and where f
            jumps: the way back meets them anyway. `norm` is "seminorm", which leaves parameters out, or a function of
            the tuple (t, y, adjoint of y, adjoint of each parameter), the tensors of a tuple state one by one.
        adjoint_params: what func depends on; its own parameters by default, func being a module.

    Returns:
        As `odeint`; second derivatives are refused.

    Raises:
        UsageError: as `odeint`; a ValueError too where func is no module and `adjoint_params` missing, and where
            `adjoint_options` cannot be told from `options`.
        Refusal: as `odeint`.
        SolveError: as `odeint`, on the way back too.
    """
    refuse_events(event_fn)
    registry.load_builtins()
    if adjoint_params is None and not isinstance(func, nn.Module):
        raise WrongValue("func is no torch.nn.Module: give adjoint_params=(…), the tensors it depends on; () for none")
    if adjoint_method not in (None, method) and options is not None and adjoint_options is None:
        raise WrongValue("adjoint_method differs from method: give adjoint_options too, {} for none")
    spec, options = heeded(named(method), options)
    back_spec, adjoint_options = _back(spec, method, adjoint_method, adjoint_options)
    given = tuple(adjoint_params) if adjoint_params is not None else None
    params = params_of(func, given, _ADJOINT, "adjoint_params")
    own = {name: x for name, x in (("rtol", adjoint_rtol), ("atol", adjoint_atol)) if x is not None}
    back = way_back(y0, t, spec, back_spec, own, {"rtol": rtol, "atol": atol}, options, adjoint_options)
    pair = Pair(stepper_of(spec), back, f"{spec} with adjoint", spec)
    # Whoever names a part of the parameters wants no other gradient, as with torchdiffeq.
    wanted = Wanted(params, strict=given is None, argument="adjoint_params")
    return drive(func, y0, t, pair, wanted, Steps(rtol, atol, options))


def _back(
    forward: Spec, method: Any, adjoint_method: Any, adjoint_options: Mapping[str, Any] | None
) -> tuple[Spec, Mapping[str, Any] | None]:
    """The scheme of the way back and its options, those left out that it does not follow."""
    if adjoint_options is None:
        return forward if adjoint_method is None else named(adjoint_method), None
    own = method if adjoint_method is None else adjoint_method
    return heeded(named(own), adjoint_options, "adjoint_options")
