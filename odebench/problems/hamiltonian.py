"""Separable Hamiltonian problems of more than one degree of freedom: state (q…, p…), q' = p, p' = −∇V(q)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.problem import scalars, vector
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

GNI = "Hairer, Lubich & Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006"


@problem(reference=f"{GNI}, section I.2")
@dataclass(frozen=True)
class Kepler:
    """q'' = -mu·q/|q|³ in the plane from perihelion, eccentricity 0.5: an ellipse of period 2π at mu = 1."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)
    separable: ClassVar[bool] = True

    mu: float = 1.0
    eccentricity: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.eccentricity < 1:
            raise ValueError(f"eccentricity must be in [0, 1); got {self.eccentricity!r}")

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(mu=self.mu)

    def start(self, seed: int) -> Array:
        e = self.eccentricity
        return vector(1.0 - e, 0.0, 0.0, ((1.0 + e) / (1.0 - e)) ** 0.5)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        q1, q2, p1, p2 = xp.unstack(y)
        square = q1 * q1 + q2 * q2
        pull = theta[0] / (square * xp.sqrt(square))
        return xp.stack((p1, p2, -pull * q1, -pull * q2))


@problem(reference=f"Hénon & Heiles, Astron. J. 69 (1964); {GNI}, section I.3")
@dataclass(frozen=True)
class HenonHeiles:
    """q1'' = -q1 - 2·strength·q1·q2, q2'' = -q2 - strength·(q1² - q2²): a star in a galaxy, energy 0.1 at the start."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)
    separable: ClassVar[bool] = True

    strength: float = 1.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(strength=self.strength)

    def start(self, seed: int) -> Array:
        return vector(0.0, 0.3, 0.348711915483253857, 0.08)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        q1, q2, p1, p2 = xp.unstack(y)
        strength = theta[0]
        return xp.stack((p1, p2, -q1 - 2.0 * strength * q1 * q2, -q2 - strength * (q1 * q1 - q2 * q2)))
