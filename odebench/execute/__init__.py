"""Cells -> records: worker processes, the folder they are stored in, and the run that ties them together.

The names below are imported when they are asked for: this package is also what every worker starts from.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odebench.execute.observer import Observer, Silence
    from odebench.execute.planning import prepare_plan
    from odebench.execute.run import RunResult, run_suites, select

__all__ = ["Observer", "RunResult", "Silence", "prepare_plan", "run_suites", "select"]
_ROOMS = {"Observer": "observer", "Silence": "observer", "prepare_plan": "planning"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'run')}"), name)
