"""Which numbers an option takes, found by asking: entries say no to a value by raising, and nowhere else.

Declared bounds were rejected: they would say the same thing twice, and a schema that contradicts `validate` is worse
than one that is silent. What is asked are the round numbers at which bounds lie; a bound elsewhere goes untold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odebench.errors import OdebenchError
from odebench.registry import Entry, Option

_HUGE = 10**9
_WHOLE = range(17)
_ROUND = (-1.0, 0.0, 0.5, 1.0)
_NEAR = 1e-9


def bounds(entry: Entry, option: Option) -> dict[str, Any]:
    """`minimum`, `exclusiveMaximum` and so on of a numeric option, as JSON Schema has them; of a plugin's, none.

    A single round number that is refused inside the range is told as `not`.
    """
    if entry.source != "odebench":  # asking runs its code, with numbers that nobody gave
        return {}

    def takes(value: float) -> bool:
        try:
            entry.build({option.name: value})
        except OdebenchError:
            return False
        return True

    return _of_whole(takes) if option.type in (int, int | None) else _of_float(takes)


def stands_alone(entry: Entry) -> bool:
    """Whether the entry can be had without any option."""
    try:
        entry.build({})
    except OdebenchError:
        return False
    return True


def _of_whole(takes: Callable[[float], bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not takes(-_HUGE) and not takes(-1):
        least = next((n for n in _WHOLE if takes(n)), None)
        found |= {} if least is None else {"minimum": least}
    if not takes(_HUGE) and not takes(_HUGE + 1):  # one of them is odd
        most = next((n for n in reversed(_WHOLE) if takes(n)), None)
        found |= {"maximum": most} if most is not None and not takes(most + 1) and not takes(most + 2) else {}
    return found


def _of_float(takes: Callable[[float], bool]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # A round number at which it changes from refused below to taken above, or the other way round.
    low = next((x for x in _ROUND if not takes(x - _NEAR) and takes(x + _NEAR)), None)
    high = next((x for x in _ROUND if takes(x - _NEAR) and not takes(x + _NEAR)), None)
    if low is not None and not takes(-_HUGE):
        found["minimum" if takes(low) else "exclusiveMinimum"] = _plain(low)
    if high is not None and not takes(_HUGE):
        found["maximum" if takes(high) else "exclusiveMaximum"] = _plain(high)
    holes = [x for x in _ROUND if takes(x - _NEAR) and takes(x + _NEAR) and not takes(x)]
    return found | ({"not": {"const": _plain(holes[0])}} if holes else {})


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
