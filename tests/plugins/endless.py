"""A hostile solver: a step that never ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("endless")
@dataclass(frozen=True)
class Endless:
    """Never ends."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Never returns."""
        while True:
            t += dt * 1e-300
