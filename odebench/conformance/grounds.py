"""Problems with known answers that claims are tried on, and one that takes gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from odebench.problems import Bound
from odebench.types import Selective, Stepper

# Starts that are solved at once: an error is the root mean square over all of them, in which the leading term of none
# happens to vanish.
ROWS = 8


@dataclass(frozen=True)
class Ground:
    """A bound problem and its solution at the end of its span."""

    name: str
    bound: Bound
    answer: Tensor


class Limit(nn.Module):
    """r' = r(1 − r²), φ' = 2 in Cartesian coordinates: a nonlinear system onto a limit cycle, in closed form."""

    name: ClassVar[str] = "limit cycle"
    separable: ClassVar[bool] = False
    span: ClassVar[tuple[float, float]] = (0.0, 1.5)

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        u, v = y.unbind(-1)
        left = 1.0 - u * u - v * v
        return torch.stack((left * u - self.turn * v, left * v + self.turn * u), -1)

    @classmethod
    def exact(cls, t: float) -> Tensor:
        radius, angle = (
            torch.linspace(0.3, 1.5, ROWS, dtype=torch.float64),
            torch.arange(ROWS, dtype=torch.float64) + 2.0 * t,
        )
        radius = (1.0 + (radius**-2 - 1.0) * math.exp(-2.0 * t)) ** -0.5
        return torch.stack((radius * angle.cos(), radius * angle.sin()), -1)


class Driven(nn.Module):
    """y' = −2·t·y²: depends on t, which a wrong node of a scheme shows on, in closed form 1/y = 1/y0 + t² − t0²."""

    name: ClassVar[str] = "driven decay"
    separable: ClassVar[bool] = False
    span: ClassVar[tuple[float, float]] = (0.3, 1.3)

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate * t * y * y

    @classmethod
    def exact(cls, t: float) -> Tensor:
        start = torch.linspace(0.5, 2.0, 2 * ROWS, dtype=torch.float64).reshape(ROWS, 2)
        return 1.0 / (1.0 / start + t * t - cls.span[0] ** 2)


class Swing(nn.Module):
    """q' = p, p' = −q: neither contracts nor grows."""

    name: ClassVar[str] = "oscillator"
    separable: ClassVar[bool] = True
    span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, p = y.unbind(-1)
        return torch.stack((p, -self.stiffness * q), -1)

    @classmethod
    def exact(cls, t: float) -> Tensor:
        angle = torch.arange(ROWS, dtype=torch.float64) - t
        return torch.stack((angle.cos(), angle.sin()), -1)


class Ellipse(nn.Module):
    """q'' = −q/|q|³ from perihelion, eccentricities 0.1 to 0.5; the place after a while is Kepler's equation's."""

    name: ClassVar[str] = "Kepler ellipses"
    separable: ClassVar[bool] = True
    span: ClassVar[tuple[float, float]] = (0.0, 1.7)

    def __init__(self) -> None:
        super().__init__()
        self.mass = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, p = y[..., :2], y[..., 2:]
        return torch.cat((p, -self.mass * q * (q * q).sum(-1, keepdim=True) ** -1.5), -1)

    @classmethod
    def exact(cls, t: float) -> Tensor:
        e = torch.linspace(0.1, 0.5, ROWS, dtype=torch.float64)
        angle = torch.full_like(e, t)
        for _ in range(30):  # Newton's method on E − e·sin E = t
            angle = angle - (angle - e * angle.sin() - t) / (1.0 - e * angle.cos())
        cos, sin, flat, slow = angle.cos(), angle.sin(), (1.0 - e * e).sqrt(), 1.0 / (1.0 - e * angle.cos())
        return torch.stack((cos - e, flat * sin, -sin * slow, flat * cos * slow), -1)


class Net(nn.Module):
    """y' = W₂·tanh(W₁·y + t·u) with fixed weights: what gradients are compared on."""

    name: ClassVar[str] = "neural field"
    separable: ClassVar[bool] = False
    start: ClassVar[tuple[float, ...]] = (0.4, -0.7)
    span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def __init__(self) -> None:
        super().__init__()
        wave = torch.arange(6, dtype=torch.float64)
        self.inner = nn.Parameter(torch.sin(1.0 + 3.1 * wave).reshape(3, 2))
        self.outer = nn.Parameter(torch.cos(2.0 + 1.7 * wave).reshape(2, 3))
        self.drive = nn.Parameter(torch.sin(1.0 + wave[:3]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ self.inner.T + t * self.drive) @ self.outer.T


class Star(nn.Module):
    """The field of Hénon and Heiles with a free strength: what gradients are compared on where the state must split."""

    name: ClassVar[str] = "Hénon–Heiles"
    separable: ClassVar[bool] = True
    start: ClassVar[tuple[float, ...]] = (0.1, 0.3, 0.35, 0.08)
    span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q1, q2, p1, p2 = y.unbind(-1)
        pull = self.strength * (q1 * q1 - q2 * q2)
        return torch.stack((p1, p2, -q1 - 2.0 * self.strength * q1 * q2, -q2 - pull), -1)


class Unsuited(Exception):
    """The scheme refuses every problem of the checks; its sentence."""


def grounds(stepper: Stepper) -> tuple[Ground, Ground]:
    """Two problems with known answers that `stepper` solves.

    Raises:
        Unsuited: it refuses them.
    """
    found = _suited(stepper, (Limit, Driven, Swing, Ellipse))
    if len(found) < 2:
        raise Unsuited(_sentence(stepper, Limit))
    first, second = found[:2]
    return _known(first), _known(second)


def trainable(stepper: Stepper, saves: int = 3, rows: int = 2) -> Bound:
    """A problem with parameters, and a loss of all its saved times.

    Raises:
        Unsuited: `stepper` refuses it.
    """
    found = _suited(stepper, (Net, Star))
    if not found:
        raise Unsuited(_sentence(stepper, Net))
    kind = found[0]
    f = kind()
    spread = torch.linspace(1.0, 1.1, rows, dtype=torch.float64)[:, None]
    y0 = (torch.tensor(kind.start, dtype=torch.float64) * spread).requires_grad_()
    t0, t1 = kind.span
    ts = (*(t0 + (t1 - t0) * k / saves for k in range(saves)), t1)
    return Bound(f, tuple(f.parameters()), y0, ts, weighed)


def swing(turns: float) -> Bound:
    """An oscillation over so long a time, which every scheme solves."""
    f = Swing()
    y0 = Swing.exact(0.0)[:1].requires_grad_()
    return Bound(f, tuple(f.parameters()), y0, (0.0, turns), weighed)


def weighed(ys: Tensor) -> Tensor:
    """Σ of weighed squares of every saved state, so that each of them has a cotangent of its own."""
    weights = 1.0 + 0.3 * torch.arange(ys.numel(), dtype=ys.dtype, device=ys.device).reshape(ys.shape) / ys.numel()
    return (ys.square() * weights).sum()


def _known(kind: Any) -> Ground:
    f, (t0, t1) = kind(), kind.span
    bound = Bound(f, tuple(f.parameters()), kind.exact(t0).requires_grad_(), kind.span, weighed)
    return Ground(kind.name, bound, kind.exact(t1))


def _suited(stepper: Stepper, kinds: tuple[Any, ...]) -> list[Any]:
    return [kind for kind in kinds if not isinstance(stepper, Selective) or not stepper.refusal(kind)]


def _sentence(stepper: Stepper, kind: Any) -> str:
    return str(stepper.refusal(kind)) if isinstance(stepper, Selective) else ""
