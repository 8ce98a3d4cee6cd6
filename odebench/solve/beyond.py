"""An error of f at a time outside of the span, told why it was asked there."""

from __future__ import annotations

from odebench.solvers.reach import outside
from odebench.types import Field, Stepper


def explained(f: Field, stepper: Stepper, ts: tuple[float, ...], name: str) -> Field:
    """f itself, unless the nodes of `stepper` leave the span: then its errors out there get a note that says so."""
    nodes = outside(stepper)
    if nodes is None:
        return f
    low, high = min(ts), max(ts)

    def field(t: object, y: object) -> object:
        try:
            return f(t, y)  # type: ignore[arg-type]
        except Exception as error:
            at = float(t)  # type: ignore[arg-type]
            if not low <= at <= high:
                error.add_note(
                    f"odebench asked f at t = {at:.6g}, outside of [{low:.6g}, {high:.6g}]: {name} has nodes up to "
                    f"{nodes}. Take a scheme that has none (odebench explain NAME says so), such as kvaerno3 or "
                    "leapfrog, or jump_t in options with both ends of t, for which f is asked at the end instead"
                )
            raise

    return field  # type: ignore[return-value]
