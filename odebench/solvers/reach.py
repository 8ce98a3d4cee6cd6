"""Schemes that ask f outside of their steps, and so outside of the span in its first or last one: in words."""

from __future__ import annotations

from typing import cast

from odebench.types import Noded, Stepper

# By class: asking an object for a protocol looks up every member of it, and takes as long as a call of a small f.
_NODED: dict[type, bool] = {}


def outside(stepper: Stepper) -> str | None:
    """How far the nodes of `stepper` lie before a step and behind it; None where all lie inside."""
    kind = type(stepper)
    if kind not in _NODED:
        _NODED[kind] = isinstance(stepper, Noded)
    if not _NODED[kind]:
        return None
    early, late = cast(Noded, stepper).reach
    parts = []
    if early < 0:
        parts.append(f"{-early:.3g} of a step before its start")
    if late > 1:
        parts.append(f"{late - 1:.3g} of a step behind its end")
    return " and ".join(parts) or None
