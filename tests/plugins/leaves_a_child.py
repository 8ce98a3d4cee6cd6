"""A hostile solver: it leaves processes that keep every pipe open, two of them hidden in sessions of their own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("leaves_a_child")
@dataclass(frozen=True)
class LeavesAChild:
    """Leaves processes behind."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Leaves three processes, and takes an Euler step."""
        _leave()
        return Step((state[0] + dt * f(t, state[0]),))


@cache
def _leave() -> None:
    subprocess.Popen(["sleep", "600"], close_fds=False)
    subprocess.Popen(["sleep", "600"], close_fds=False, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "600"])
        os._exit(0)
