"""A batch of which one sample is stiff, and all the others are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.problem import PARAMETERS, ROWS, START, generator
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array


@problem(
    reference="Why samples are to step by themselves: M. Lienen, S. Günnemann, torchode: A parallel ODE solver for "
    "PyTorch, 2022 (arXiv 2210.12375)"
)
@dataclass(frozen=True)
class OneStiff:
    """z' = r·(B·tanh(A·z + a) + b − z), r' = 0: every sample at a rate r of its own.

    r is `stiffness` in row 0 and 1 in the others. State (z, r), z of `dim` components. A sample comes to rest in a time
    of some 1/r, and an explicit solver must go on in steps of some 3/r. A, a, B and b are as in `mlp` with one layer of
    width `hidden`; z starts standard normal in each row.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    dim: int = 16
    hidden: int = 256
    stiffness: float = 300.0

    def __post_init__(self) -> None:
        for name in ("dim", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.stiffness < math.inf:
            raise ValueError(f"stiffness must be positive, got {self.stiffness}")

    def parameters(self, seed: int) -> dict[str, Array]:
        draw, theta = generator(seed, PARAMETERS), {}
        for index, (fan_in, fan_out) in enumerate(((self.dim, self.hidden), (self.hidden, self.dim))):
            bound = 1.0 / math.sqrt(fan_in)
            theta[f"weight_{index}"] = draw.uniform(-bound, bound, (fan_out, fan_in))
            theta[f"bias_{index}"] = draw.uniform(-bound, bound, (fan_out,))
        return theta

    def start(self, seed: int) -> Array:
        import numpy as np

        return np.append(generator(seed, START).standard_normal(self.dim), self.stiffness)

    def rows(self, batch: int, seed: int) -> Array:
        """The stiff sample, then those that are not."""
        import numpy as np

        mild = generator(seed, ROWS).standard_normal((batch - 1, self.dim))
        return np.concatenate((self.start(seed)[None], np.concatenate((mild, np.ones((batch - 1, 1))), 1)))

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        z, rate = y[..., :-1], y[..., -1:]
        pull = xp.linear(xp.tanh(xp.linear(z, theta[0], theta[1])), theta[2], theta[3]) - z
        return xp.concat((rate * pull, 0.0 * rate))
