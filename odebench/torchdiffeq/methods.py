"""torchdiffeq's methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

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
