"""A hostile solver: it ends the process as if all were well."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("exits")
@dataclass(frozen=True)
class Exits:
    """Ends the process."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Never returns."""
        os._exit(0)
