"""Arenstorf's orbit: the restricted three-body problem, which asks a step-size controller for everything it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.problem import scalars, vector
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

PERIOD = 17.0652165601579625588917206249


@problem(reference="Arenstorf 1963; Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, section II.0")
@dataclass(frozen=True)
class Arenstorf:
    """A satellite of earth and moon in their rotating frame, over one period: it returns to where it started.

    State (x, y, x', y'). The orbit closes only for row 0 of a batch, in float64 and at the default mu.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, PERIOD)

    mu: float = 0.012277471

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(mu=self.mu)

    def start(self, seed: int) -> Array:
        return vector(0.994, 0.0, 0.0, -2.00158510637908252240537862224)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        mu = theta[0]
        x, y_, vx, vy = xp.unstack(y)
        earth, moon = x + mu, x - 1.0 + mu
        near = earth * earth + y_ * y_
        far = moon * moon + y_ * y_
        pull_earth = (1.0 - mu) / (near * xp.sqrt(near))
        pull_moon = mu / (far * xp.sqrt(far))
        return xp.stack(
            (
                vx,
                vy,
                x + 2.0 * vy - pull_earth * earth - pull_moon * moon,
                y_ - 2.0 * vx - (pull_earth + pull_moon) * y_,
            )
        )
