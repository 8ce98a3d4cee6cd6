"""Stiff problems of the literature, with published end values. Van der Pol's is among the classical ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.problem import scalars, vector
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

HAIRER_II = "Hairer & Wanner, Solving Ordinary Differential Equations II, 2nd ed., Springer 1996"
# Rates of HIRES, in the order in which its equations name them first; the last one is a source, not a rate.
_HIRES = (1.71, 0.43, 8.32, 8.75, 10.03, 0.035, 1.12, 1.745, 280.0, 0.69, 1.81, 0.0007)


@problem(
    reference=f"H. H. Robertson, The solution of a set of reaction rate equations, 1966; {HAIRER_II}, section IV.10"
)
@dataclass(frozen=True)
class Robertson:
    """y1' = -k1·y1 + k3·y2·y3, y3' = k2·y2², y2' = -(y1' + y3') from (1, 0, 0): rates nine orders of magnitude apart.

    The published end value is at t = 1e11.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 40.0)
    stiff: ClassVar[bool] = True

    k1: float = 0.04
    k2: float = 3e7
    k3: float = 1e4

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(k1=self.k1, k2=self.k2, k3=self.k3)

    def start(self, seed: int) -> Array:
        return vector(1.0, 0.0, 0.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        k1, k2, k3 = theta
        y1, y2, y3 = xp.unstack(y)
        first, third = k3 * y2 * y3 - k1 * y1, k2 * y2 * y2
        return xp.stack((first, -(first + third), third))


@problem(
    reference="R. J. Field, R. M. Noyes, Oscillations in chemical systems IV, J. Chem. Phys. 60 (1974); "
    f"{HAIRER_II}, section IV.10"
)
@dataclass(frozen=True)
class Oregonator:
    """y1' = s·(y2 + y1·(1 - q·y1 - y2)), y2' = (y3 - (1 + y1)·y2)/s, y3' = w·(y1 - y3) from (1, 2, 3): OREGO.

    The published end value is at t = 360.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 360.0)
    stiff: ClassVar[bool] = True

    s: float = 77.27
    q: float = 8.375e-6
    w: float = 0.161

    def __post_init__(self) -> None:
        if self.s == 0:
            raise ValueError("s must not be 0: the field divides by it")

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(s=self.s, q=self.q, w=self.w)

    def start(self, seed: int) -> Array:
        return vector(1.0, 2.0, 3.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        s, q, w = theta
        y1, y2, y3 = xp.unstack(y)
        return xp.stack((s * (y2 + y1 * (1.0 - q * y1 - y2)), (y3 - (1.0 + y1) * y2) / s, w * (y1 - y3)))


@problem(reference=f"E. Schäfer, J. Math. Biol. 2 (1975); {HAIRER_II}, section IV.10")
@dataclass(frozen=True)
class Hires:
    """A plant's response to light, eight substances from (1, 0, …, 0, 0.0057); the rates take gradients as a whole."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 321.8122)
    stiff: ClassVar[bool] = True

    def parameters(self, seed: int) -> dict[str, Array]:
        return {"rates": vector(*_HIRES)}

    def start(self, seed: int) -> Array:
        return vector(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        a, b, c, d, e, g, h, k, m, n, p, source = xp.unstack(theta[0])
        y1, y2, y3, y4, y5, y6, y7, y8 = xp.unstack(y)
        met = m * y6 * y8
        return xp.stack(
            (
                -a * y1 + b * y2 + c * y3 + source,
                a * y1 - d * y2,
                -e * y3 + b * y4 + g * y5,
                c * y2 + a * y3 - h * y4,
                -k * y5 + b * (y6 + y7),
                -met + n * y4 + a * y5 - b * y6 + n * y7,
                met - p * y7,
                -met + p * y7,
            )
        )
