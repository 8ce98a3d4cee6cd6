"""torchdiffeq's methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from odebench.solve.warned import warn_caller
from odebench.spec import Spec

# torchdiffeq's name -> the method of odebench's that it means, for each that odebench has.
SOLVERS: Mapping[str, Spec] = MappingProxyType(
    {
        name: Spec("rk38" if name == "rk4" else name)
        for name in (
            "dopri8",
            "dopri5",
            "bosh3",
            "fehlberg2",
            "adaptive_heun",
            "euler",
            "midpoint",
            "heun2",
            "heun3",
            "rk4",
            "explicit_adams",
            "implicit_adams",
            "fixed_adams",
        )
    }
)


def meant(method: str | Mapping[str, Any] | Spec | None) -> Spec | None:
    """A method as it was given here; None if none was. One that torchdiffeq has not is odebench's.

    Raises:
        OptionError: it is neither a name nor a one-key mapping of a name to its options.
    """
    if method is None:
        return None
    spec = Spec.from_data(method)
    return Spec(SOLVERS[spec.name].name, spec.options) if spec.name in SOLVERS else spec


def followed(options: Mapping[str, Any] | None, method: Spec | None) -> Mapping[str, Any] | None:
    """The options without `grid_points`, which torchdiffeq has not known since 0.2 and warns of.

    Programs that still give them mean where f jumps, or all of their saved times, and landing there would take several
    times the calls.
    """
    if options is None or options.get("grid_points") is None:
        return options
    warn_caller(
        f"{method or 'dopri5'} does not follow 'grid_points', as in torchdiffeq since 0.2; give step_t, times to land "
        "on, or jump_t, where f jumps, or leave it out"
    )
    return {name: value for name, value in options.items() if name != "grid_points"}
