"""What torchdiffeq has and odebench has not; each says so, and what to do."""

from __future__ import annotations

from typing import Any, NoReturn

from odebench.errors import Refusal
from odebench.solve.warned import warn_caller

_EVENTS = (
    "odebench finds no events; solve over a fixed span and look for the crossing in the saved times, or use "
    "torchdiffeq's {name}"
)

_CALLBACKS = tuple(
    f"callback_{when}{side}" for when in ("step", "accept_step", "reject_step") for side in ("", "_adjoint")
)


def warn_of_callbacks(f: Any) -> None:
    """torchdiffeq calls these attributes of f around each step; odebench does not, and says so where there are any."""
    found = [name for name in _CALLBACKS if hasattr(f, name)]
    if found:
        warn_caller(f"f has {', '.join(found)}, which odebench does not call; take it off")


def refuse_events(event_fn: Any) -> None:
    """
    Raises:
        Refusal: there is an `event_fn`.
    """
    if event_fn is not None:
        raise Refusal("event_fn: " + _EVENTS.format(name="odeint"))


def odeint_event(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuses: events are left out.

    Raises:
        Refusal: always.
    """
    raise Refusal("odeint_event: " + _EVENTS.format(name="odeint_event"))


def odeint_dense(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuses: no function of time is returned.

    Raises:
        Refusal: always.
    """
    raise Refusal(
        "odeint_dense: odebench returns the solution at given times, and no function of time; call odeint with all the "
        "times you need, or use torchdiffeq's odeint_dense"
    )
