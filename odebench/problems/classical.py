"""Test problems of the literature in one to three variables; their constants are parameters that take gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from odebench.problems.problem import scalars, vector
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

HAIRER = "Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 2nd ed., Springer 1993"


@problem(reference="Lotka, Elements of Physical Biology, 1925; constants and start as in the SciML problem library")
@dataclass(frozen=True)
class LotkaVolterra:
    """x' = alpha·x - beta·x·y, y' = -gamma·y + delta·x·y from (1, 1): predators and prey, periodic."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)

    alpha: float = 1.5
    beta: float = 1.0
    gamma: float = 3.0
    delta: float = 1.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(alpha=self.alpha, beta=self.beta, gamma=self.gamma, delta=self.delta)

    def start(self, seed: int) -> Array:
        return vector(1.0, 1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        alpha, beta, gamma, delta = theta
        prey, predators = xp.unstack(y)
        met = prey * predators
        return xp.stack((alpha * prey - beta * met, delta * met - gamma * predators))


@problem(reference="van der Pol, On relaxation-oscillations, Phil. Mag. 2 (1926); convention `aca`: Zhuang et al., "
         "Adaptive checkpoint adjoint method for gradient estimation in Neural ODE, ICML 2020")  # fmt: skip
@dataclass(frozen=True)
class VanDerPol:
    """x'' = mu·(1 - x²)·x' - x from (2, 0); with `convention: aca`, x'' = (mu - x²)·x' - x.

    The second is the one of the ACA and MALI papers; at mu = 1 both are the same equation. State (x, x').
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)

    mu: float = 1.0
    convention: Literal["standard", "aca"] = "standard"

    def __post_init__(self) -> None:
        if self.convention not in ("standard", "aca"):
            raise ValueError(f"convention must be 'standard' or 'aca', got {self.convention!r}")

    @property
    def stiff(self) -> bool:
        """From mu = 100 on."""
        return abs(self.mu) >= 100

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(mu=self.mu)

    def start(self, seed: int) -> Array:
        return vector(2.0, 0.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        x, v = xp.unstack(y)
        mu = theta[0]
        damping = mu * (1.0 - x * x) if self.convention == "standard" else mu - x * x
        return xp.stack((v, damping * v - x))


@problem(reference="Lorenz, Deterministic nonperiodic flow, J. Atmos. Sci. 20 (1963)")
@dataclass(frozen=True)
class Lorenz:
    """x' = sigma·(y - x), y' = x·(rho - z) - y, z' = x·y - beta·z from (1, 0, 0): chaotic, errors grow like e^0.9t."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8.0 / 3.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(sigma=self.sigma, rho=self.rho, beta=self.beta)

    def start(self, seed: int) -> Array:
        return vector(1.0, 0.0, 0.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        sigma, rho, beta = theta
        x, v, z = xp.unstack(y)
        return xp.stack((sigma * (v - x), x * (rho - z) - v, x * v - beta * z))


@problem(reference="FitzHugh, Impulses and physiological states in theoretical models of nerve membrane, Biophys. J. 1 "
         "(1961); constants and start as in the SciML problem library")  # fmt: skip
@dataclass(frozen=True)
class FitzhughNagumo:
    """v' = v - v³/3 - w + current, w' = (v + a - b·w)/tau from (1, 1): a spiking neuron, fast and slow."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)

    a: float = 0.7
    b: float = 0.8
    tau: float = 12.5
    current: float = 0.5

    def __post_init__(self) -> None:
        if self.tau == 0:
            raise ValueError("tau must not be 0: the field divides by it")

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(a=self.a, b=self.b, tau=self.tau, current=self.current)

    def start(self, seed: int) -> Array:
        return vector(1.0, 1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        a, b, tau, current = theta
        v, w = xp.unstack(y)
        return xp.stack((v - v * v * v / 3.0 - w + current, (v + a - b * w) / tau))


@problem(reference=f"{HAIRER}, section I.16")
@dataclass(frozen=True)
class Brusselator:
    """u' = a + u²·v - (b + 1)·u, v' = b·u - u²·v from (1.5, 3): a chemical limit cycle."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)

    a: float = 1.0
    b: float = 3.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(a=self.a, b=self.b)

    def start(self, seed: int) -> Array:
        return vector(1.5, 3.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        a, b = theta
        u, v = xp.unstack(y)
        autocatalysis = u * u * v
        fed = b * u
        return xp.stack((a + autocatalysis - fed - u, fed - autocatalysis))


@problem(reference="Chen, Rubanova, Bettencourt & Duvenaud, Neural Ordinary Differential Equations, NeurIPS 2018; the "
         "demo of torchdiffeq")  # fmt: skip
@dataclass(frozen=True)
class CubicSpiral:
    """y' = M·y³ from (2, 0), M = ((-damping, -twist), (twist, -damping)): a spiral inwards; M takes gradients whole."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 25.0)

    damping: float = 0.1
    twist: float = 2.0

    def parameters(self, seed: int) -> dict[str, Array]:
        import numpy as np

        return {"matrix": np.array([[-self.damping, -self.twist], [self.twist, -self.damping]], dtype=np.float64)}

    def start(self, seed: int) -> Array:
        return vector(2.0, 0.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        return xp.linear(y * y * y, theta[0])


@problem(reference="Hairer, Lubich & Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006, section VII.5; "
         "constants and start as in the SciML problem library")  # fmt: skip
@dataclass(frozen=True)
class RigidBody:
    """y1' = a·y2·y3, y2' = b·y1·y3, y3' = c·y1·y2 from (1, 0, 0.9): Euler's equations of a free top, periodic."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 20.0)

    a: float = -2.0
    b: float = 1.25
    c: float = -0.5

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(a=self.a, b=self.b, c=self.c)

    def start(self, seed: int) -> Array:
        return vector(1.0, 0.0, 0.9)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        a, b, c = theta
        y1, y2, y3 = xp.unstack(y)
        return xp.stack((a * y2 * y3, b * y1 * y3, c * y1 * y2))


@problem(reference="Hairer, Lubich & Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006, section I.1.2")
@dataclass(frozen=True)
class Pendulum:
    """q' = p, p' = -gravity·sin q from (0, 1): swings to 60 degrees, periodic and not harmonic."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)
    separable: ClassVar[bool] = True

    gravity: float = 1.0

    def parameters(self, seed: int) -> dict[str, Array]:
        return scalars(gravity=self.gravity)

    def start(self, seed: int) -> Array:
        return vector(0.0, 1.0)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        q, p = xp.unstack(y)
        return xp.stack((p, -theta[0] * xp.sin(q)))
