"""A hostile solver: its solution is not a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("not_a_number")
@dataclass(frozen=True)
class NotANumber:
    """Loses the solution."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Not a number."""
        return Step((state[0] * float("nan"),))
