"""Fields that move from call to call, among those that a suite or a training run brings along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from odebench.closure import Closure
from odebench.gradients.guard import Guard
from odebench.surroundings import Surroundings, moves
from odebench.types import Asking, Gradient, Params, can


@dataclass(frozen=True)
class Moving:
    """An f that draws random numbers, or writes to its buffers, at every call."""

    f: Callable[[Tensor, Tensor], Tensor]
    written: tuple[Tensor, ...]

    @classmethod
    def of(cls, f: Callable[[Tensor, Tensor], Tensor], t: float, y: Tensor) -> Moving | None:
        """None for a field that does not move."""
        drew, written = moves(f, t, y)
        return cls(f, tuple(written)) if drew or written else None

    def under(self, gradient: Gradient, y0: Tensor, params: Params, name: str) -> Gradient:
        """`gradient` for one solve, finding f as it was, if it evaluates f again."""
        if not can(gradient, Asking):
            return gradient
        world = Surroundings.of(Closure.of(self.f), y0)
        world.after, world.written, world.moving = world.before.random, list(self.written), True
        return gradient.within(Guard(world, name, known=params))
