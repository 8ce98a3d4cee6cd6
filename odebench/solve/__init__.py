"""`odeint` and what stands beside it: torchdiffeq's signatures over odebench's pairs of solver and gradient."""

from __future__ import annotations

from odebench.solve.adjoint import odeint_adjoint
from odebench.solve.call import odeint
from odebench.solve.left_out import odeint_dense, odeint_event

__all__ = ["odeint", "odeint_adjoint", "odeint_dense", "odeint_event"]
