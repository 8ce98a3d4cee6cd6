"""Problems with a closed form: their gradients are known to rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.problem import PARAMETERS, generator, scalars, vector
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

DETEST = "Hull, Enright, Fellen & Sedgwick, Comparing numerical methods for ODEs, SIAM J. Numer. Anal. 9 (1972)"


@problem(reference=f"{DETEST}, problem A1")
@dataclass(frozen=True)
class LinearDecay:
    """y' = -rate·y from 1: what a contracting flow does to methods that run it backwards."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    rate: float = 1.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(rate=self.rate)

    def start(self, seed: int) -> Array:
        return vector(1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return -theta[0] * y

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: tuple[Any, ...]) -> Any:
        return y0 * xp.exp(-theta[0] * (t - t0))


@problem(
    reference="Zhuang, Dvornek, Tatikonda & Duncan, MALI: a memory efficient and reverse accurate integrator for "
    "Neural ODEs, ICLR 2021, section 4.1"
)
@dataclass(frozen=True)
class Growth:
    """z' = α·z from 1 with loss z(T)²: the MALI paper's toy, with analytic gradients."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)

    alpha: float = 0.1

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(alpha=self.alpha)

    def start(self, seed: int) -> Array:
        return vector(1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return theta[0] * y

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: tuple[Any, ...]) -> Any:
        return y0 * xp.exp(theta[0] * (t - t0))


@problem(
    aliases=("rotation",),
    reference="Hairer, Lubich & Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006, section I.1.2",
)
@dataclass(frozen=True)
class HarmonicOscillator:
    """q' = p, p' = -omega²·q from (1, 0): neither contracts nor grows; omega = 1 is a rotation."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)
    separable: ClassVar[bool] = True

    omega: float = 1.0

    def __post_init__(self) -> None:
        if self.omega == 0:
            raise ValueError("omega must not be 0: the closed form divides by it")

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(omega=self.omega)

    def start(self, seed: int) -> Array:
        return vector(1.0, 0.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        q, p = xp.unstack(y)
        omega = theta[0]
        return xp.stack((p, -(omega * omega) * q))

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: tuple[Any, ...]) -> Any:
        q, p = xp.unstack(y0)
        omega = theta[0]
        cos, sin = xp.cos(omega * (t - t0)), xp.sin(omega * (t - t0))
        return xp.stack((q * cos + p * sin / omega, p * cos - q * sin * omega))


@problem(reference=f"{DETEST}, problem A4")
@dataclass(frozen=True)
class Logistic:
    """y' = rate·y·(1 - y/capacity) from 1."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)

    rate: float = 0.25
    capacity: float = 20.0

    def __post_init__(self) -> None:
        if self.capacity == 0:
            raise ValueError("capacity must not be 0: the field divides by it")

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(rate=self.rate, capacity=self.capacity)

    def start(self, seed: int) -> Array:
        return vector(1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        rate, capacity = theta
        return rate * y * (1.0 - y / capacity)

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: tuple[Any, ...]) -> Any:
        rate, capacity = theta
        return capacity * y0 / (y0 + (capacity - y0) * xp.exp(-rate * (t - t0)))


@problem(reference="Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 2nd ed., Springer 1993, I.12")
@dataclass(frozen=True)
class LinearSystem:
    """y' = A·y from (1, …, 1): A has the eigenvalues asked for in a seeded orthogonal basis, and takes gradients whole.

    `frequencies`, where given, are as many as `eigenvalues`; one that is not 0 turns its eigenvalue a into the pair
    a ± i·frequency, which takes two components of the state.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    eigenvalues: tuple[float, ...] = (-0.1, -0.5, -1.0)
    frequencies: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.eigenvalues:
            raise ValueError("eigenvalues must hold at least one number")
        if self.frequencies and len(self.frequencies) != len(self.eigenvalues):
            raise ValueError(
                f"frequencies must be as many as eigenvalues ({len(self.eigenvalues)}), got {len(self.frequencies)}; "
                "give 0 where an eigenvalue is real"
            )
        if not all(math.isfinite(value) for value in (*self.eigenvalues, *self.frequencies)):
            raise ValueError("eigenvalues and frequencies must be finite")

    @property
    def dim(self) -> int:
        """Components of the state."""
        return len(self.eigenvalues) + sum(1 for frequency in self.frequencies if frequency)

    def parameters(self, seed: int) -> dict[str, Array]:
        import numpy as np

        blocks, at = np.zeros((self.dim, self.dim)), 0
        for real, frequency in zip(self.eigenvalues, self.frequencies or (0.0,) * len(self.eigenvalues), strict=True):
            blocks[at, at] = real
            if frequency:
                blocks[at + 1, at + 1] = real
                blocks[at, at + 1], blocks[at + 1, at] = frequency, -frequency
                at += 1
            at += 1
        basis, triangle = np.linalg.qr(generator(seed, PARAMETERS).standard_normal((self.dim, self.dim)))
        basis = basis * np.where(np.diag(triangle) < 0, -1.0, 1.0)  # LAPACKs differ in signs, and only in these
        return {"matrix": basis @ blocks @ basis.T}

    def start(self, seed: int) -> Array:
        return vector(*(1.0,) * self.dim)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return xp.linear(y, theta[0])

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: tuple[Any, ...]) -> Any:
        return xp.linear(y0, xp.expm(theta[0] * (t - t0)))
