"""The parts of torchdiffeq's own inside that programs reach for."""

from __future__ import annotations

# Relative, so that a program which puts `odebench.torchdiffeq` in torchdiffeq's place in `sys.modules` gets here the
# names of torchdiffeq's, and `odeint` stays the function when the module of that name is imported after it.
from .adjoint import odeint_adjoint
from .odeint import odeint, odeint_dense, odeint_event

__all__ = ["odeint", "odeint_adjoint", "odeint_dense", "odeint_event"]
