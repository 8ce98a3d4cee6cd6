"""A hostile solver: it reads where it may not."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("segfaults")
@dataclass(frozen=True)
class Segfaults:
    """Reads address 0."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Never returns."""
        ctypes.string_at(0)
        return Step(state)
