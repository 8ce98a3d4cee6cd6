"""torchdiffeq's names and defaults over odebench's solvers, so that changing the import is all:

    import odebench.torchdiffeq as torchdiffeq

`rk4` is torchdiffeq's here, Kutta's 3/8 rule, and `gradient=` is added to both solves.
"""

from __future__ import annotations

from odebench.torchdiffeq.calls import odeint, odeint_adjoint, odeint_dense, odeint_event

__all__ = ["odeint", "odeint_adjoint", "odeint_dense", "odeint_event"]

__version__ = "0.2.5"  # of torchdiffeq, whose names these are
