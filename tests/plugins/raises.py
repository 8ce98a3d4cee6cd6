"""A hostile solver: it raises in its third step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("raises")
@dataclass(frozen=True)
class Raises:
    """Raises."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Raises once time has gone on."""
        if t > 0.2:
            raise ValueError("this scheme\ncannot go on")
        return Step((state[0] + dt * f(t, state[0]),))
