"""Measures Neural-ODE solvers and gradient methods: exactness, memory, work and time.

Public names load on first use, so that `import odebench` imports neither torch nor anything else that is slow.
"""

from __future__ import annotations

# As type checkers know it. `typing` itself takes as long to import as Python takes to start, and until it is there a
# Ctrl-C is still Python's.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from odebench.api import run
    from odebench.errors import (
        Divergence,
        NothingSelected,
        OdebenchError,
        OptionError,
        Refusal,
        ResultsError,
        SolveError,
        SuiteError,
        UnknownName,
        UsageError,
    )
    from odebench.record import Cell, Record
    from odebench.registry import gradient, metric, problem, regulariser, solver, workload
    from odebench.solve import odeint, odeint_adjoint, odeint_dense, odeint_event
    from odebench.types import Step, Tick

    __version__: str

__all__ = [
    "Cell",
    "Divergence",
    "NothingSelected",
    "OdebenchError",
    "OptionError",
    "Record",
    "Refusal",
    "ResultsError",
    "SolveError",
    "Step",
    "SuiteError",
    "Tick",
    "UnknownName",
    "UsageError",
    "__version__",
    "gradient",
    "metric",
    "odeint",
    "odeint_adjoint",
    "odeint_dense",
    "odeint_event",
    "problem",
    "regulariser",
    "run",
    "solver",
    "workload",
]

_HOMES = {
    **dict.fromkeys(("odeint", "odeint_adjoint", "odeint_dense", "odeint_event"), "solve"),
    "run": "api",
    "Step": "types",
    "Tick": "types",
    "Cell": "record",
    "Record": "record",
    **dict.fromkeys(("gradient", "metric", "problem", "regulariser", "solver", "workload"), "registry"),
}

# Not in `__all__`: `from odebench import *` must not take the name of a library that the program has imported.
_MODULES = frozenset({"torchdiffeq"})


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        return importlib.import_module(f"{__name__}.machine").version()
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
