"""Schemes that ask f outside of their steps, and so outside of the span in its first or last one: in words."""

from __future__ import annotations

from odebench.types import Noded, Stepper, can


def outside(stepper: Stepper) -> str | None:
    """How far the nodes of `stepper` lie before a step and behind it; None where all lie inside."""
    if not can(stepper, Noded):
        return None
    early, late = stepper.reach
    parts = []
    if early < 0:
        parts.append(f"{-early:.3g} of a step before its start")
    if late > 1:
        parts.append(f"{late - 1:.3g} of a step behind its end")
    return " and ".join(parts) or None
