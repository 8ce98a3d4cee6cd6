"""A hostile solver: it asks for more memory than there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odebench.registry import solver
from odebench.types import Step


@solver("huge")
@dataclass(frozen=True)
class Huge:
    """Asks for 8 TiB, in pieces that each could be had."""

    order: int = 1
    error_order: None = None

    def init(self, f: Any, t: float, y: Any) -> Any:
        """The solution is all there is."""
        return (y,)

    def step(self, f: Any, t: float, dt: float, state: Any) -> Step:
        """Never returns."""
        import torch

        kept = []
        while True:
            kept.append(torch.empty(1 << 33, dtype=torch.uint8))
