"""Methods by name: odebench's own, and what torchdiffeq means by its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odebench import registry
from odebench.errors import Refusal, UnknownName
from odebench.solve.faults import UnknownMethod
from odebench.spec import Spec
from odebench.types import Gradient, Stepper, can

# With these torchdiffeq takes one step per interval of t where no step size is given, and so does odeint, although the
# schemes could be driven by tolerances: a switched import must not turn four steps into ten thousand. `heun` (or
# `adaptive_heun`) and `ralston` of the same order are driven.
_FIXED = frozenset({"heun2", "midpoint"})

_LEFT_OUT = {
    "scipy_solver": "use dopri5, dopri8 or, for stiff problems, kvaerno5; or call SciPy itself",
    **dict.fromkeys(
        ("implicit_midpoint", "trapezoid", "radauIIA3", "radauIIA5", "gl4", "gl6", "sdirk2", "trbdf2"),
        "odebench's implicit schemes are implicit_euler, kvaerno3, kvaerno4 and kvaerno5; with dt in options "
        "they take fixed steps",
    ),
}


def named(method: str | Mapping[str, Any] | Spec | None) -> Spec:
    """A method as it was given; dopri5 if none was."""
    return Spec.from_data("dopri5" if method is None else method)


def one_step_per_interval(method: Spec, stepper: Stepper) -> bool:
    """Whether the scheme goes straight from each time to the next where no step size is given."""
    return stepper.error_order is None or method.name in _FIXED


def stepper_of(method: Spec) -> Stepper:
    """The scheme.

    Raises:
        UnknownMethod: there is none of that name; a ValueError too.
        Refusal: it is another library's.
    """
    if method.name in _LEFT_OUT and method.name not in {entry.name for entry in registry.solvers}:
        raise Refusal(f"method {method.name!r} is torchdiffeq's; {_LEFT_OUT[method.name]}")
    try:
        stepper = registry.solvers.build(method)
    except UnknownName as error:
        raise UnknownMethod(error.kind, error.name, error.known) from error
    if not can(stepper, Stepper):
        raise Refusal(
            f"odeint walks odebench's own schemes, and {method} is none; call that library itself, or measure it in a "
            "suite"
        )
    return stepper


def gradient_of(gradient: Spec, method: Spec) -> Gradient:
    """The gradient; `mali` is a name for `reversible` with alf alone.

    Raises:
        Refusal: it is asked for with another scheme.
        UnknownName: there is none of that name.
    """
    if gradient.name == "mali" and registry.solvers.get(method.name).name != "alf":
        raise Refusal(f"mali is the reversible gradient of alf; with {method} ask for `reversible`")
    return registry.gradients.build(gradient)  # type: ignore[no-any-return]
