"""Options that torchdiffeq knows and the method at hand does not follow: warned of and left out, as torchdiffeq does.

What torchdiffeq's Adams methods take beside their steps says here which method is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odebench import registry
from odebench.solve.faults import WrongType, WrongValue
from odebench.solve.warned import warn_caller
from odebench.solvers.adams import HIGHEST
from odebench.spec import Spec

# Option -> what happens without it. `eps` is of versions of torchdiffeq before 0.2.
IDLE = {
    "eps": "f is asked at the very times; jump_t tells where f jumps, and f is then looked at from either side",
    "interp": "a saved time inside a step is landed on, or read from the scheme's own interpolant",
    "max_iters": "its stages are computed as they are, and none is iterated",
    "max_order": "its order is its own",
    "implicit": "whether it is implicit goes by its name",
    "solver": "it names a solver of SciPy's, and SciPy is not asked",
}

# torchdiffeq's methods whose steps go by tolerances alone.
_BY_TOLERANCES = frozenset({"dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun"})

# Below this torchdiffeq's Adams methods take steps of its rk4, Kutta's 3/8 rule, and of nothing else.
_LEAST_ORDER = 4
_KUTTA = Spec("rk38")


def heeded(
    method: Spec, options: Mapping[str, Any] | None, argument: str = "options"
) -> tuple[Spec, dict[str, Any] | None]:
    """(the method that is meant, the options without those that it does not follow); `argument` is what they came by.

    Raises:
        UsageError: an option contradicts the method, or asks of it what it has not.
    """
    if options is None:
        return method, None
    given = {name: value for name, value in options.items() if value is not None}
    asked, family = method, _family(method)
    if family in ("adams_bashforth", "abm"):
        method = _adams(method, family == "abm", given)
    for name in ("step_size", "grid_constructor") if method.name in _BY_TOLERANCES else ():
        if given.pop(name, None) is not None:
            _warn(argument, name, asked, 'its steps are chosen by the tolerances, and fixed by "dt" or "steps"')
    for name in [name for name in given if name in IDLE]:
        del given[name]
        _warn(argument, name, asked, _instead(name, family))
    return method, given


def _warn(argument: str, name: str, method: Spec, instead: str) -> None:
    warn_caller(f"{method} does not follow {name!r} of {argument}: {instead}; leave it out")


def _family(method: Spec) -> str:
    """The name by which the registry has it; of a method that is none, its own."""
    return next((each.name for each in registry.solvers if method.name in (each.name, *each.aliases)), method.name)


def _instead(name: str, family: str) -> str:
    if name == "max_iters" and family == "abm":
        return "its corrector is applied once"
    return IDLE[name]


def _adams(method: Spec, corrected: bool, given: dict[str, Any]) -> Spec:
    """The Adams method that `implicit` and `max_order` ask for; both are taken out of `given`."""
    if "implicit" in given:
        implicit = bool(given.pop("implicit"))
        if implicit and not corrected:
            raise WrongValue(f"{method} is explicit, and the option 'implicit' is {implicit}; name implicit_adams")
        if corrected and not implicit:
            method = Spec("adams_bashforth", method.options)
    if "max_order" not in given:
        return method
    order = _whole("max_order", given.pop("max_order"))
    if "order" in dict(method.options):
        raise WrongValue(f"max_order and the order of {method} say the same; leave out max_order")
    if order > HIGHEST:
        raise WrongValue(
            f"max_order is {order}, and odebench's Adams methods go up to order {HIGHEST}; give {HIGHEST} or less, or "
            "take dopri8 for a higher order"
        )
    if order < 2:
        raise WrongValue(f"max_order must be at least 2; got {order}; the method of order 1 is euler")
    if order < _LEAST_ORDER:
        warn_caller(
            f"max_order is {order}, below {_LEAST_ORDER}: all steps are those of {_KUTTA}, as torchdiffeq's are"
        )
        return _KUTTA
    return Spec.of(method.name, dict(method.options) | {"order": order})


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongType(f"{name} must be a whole number; got {value!r}") from error
