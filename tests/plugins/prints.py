"""A hostile solver: it prints 100 MB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("prints")
@dataclass(frozen=True)
class Prints:
    """Prints 100 MB and then solves as Euler does."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Prints, and takes an Euler step."""
        _shout()
        return Step((state[0] + dt * f(t, state[0]),))


@cache
def _shout() -> None:
    for _ in range(100):
        print("x" * (1 << 20))
