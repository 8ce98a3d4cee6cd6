"""Which gradients go with which ways to choose steps."""

from __future__ import annotations

from odebench.types import Controller, Gradient


def misfit(gradient: Gradient, control: Controller) -> str | None:
    """Why `gradient` cannot be taken of steps that `control` chooses, or None."""
    own = getattr(gradient, "misfit", None)
    if own is not None:
        said: str | None = own(control)
        return said
    if not getattr(control, "per_sample", False):
        return None
    return "the gradient is not known to go over steps that every sample takes by itself; leave `per_sample` out"
