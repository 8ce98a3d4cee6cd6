"""Where torchdiffeq keeps its table of methods."""

from __future__ import annotations

from odebench.torchdiffeq.calls import odeint, odeint_dense, odeint_event
from odebench.torchdiffeq.methods import SOLVERS

__all__ = ["SOLVERS", "odeint", "odeint_dense", "odeint_event"]
