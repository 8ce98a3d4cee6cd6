"""Neural fields with seeded weights: what a Neural ODE integrates, without the training around it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from odebench.problems.problem import PARAMETERS, START, generator, uniform
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

Activation = Literal["tanh", "relu", "softplus", "elu", "gelu", "silu", "sigmoid"]
CHEN = "Chen, Rubanova, Bettencourt & Duvenaud, Neural Ordinary Differential Equations, NeurIPS 2018"


@problem(reference=CHEN)
@dataclass(frozen=True)
class Mlp:
    """y' = Linear(act(… act(Linear(y)))): dim -> hidden (depth times, an activation after each) -> dim; t is not fed.

    `augment` components that start at 0 are added to those of `dim`, as in an augmented neural ODE (Dupont, Doucet &
    Teh, NeurIPS 2019). Weights and biases uniform within ±1/√fan_in; row 0 of the start is standard normal.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    dim: int = 2
    hidden: int = 32
    depth: int = 1
    activation: Activation = "tanh"
    augment: int = 0

    def __post_init__(self) -> None:
        positive(dim=self.dim, hidden=self.hidden, depth=self.depth)
        known(self.activation)
        if self.augment < 0:
            raise ValueError(f"augment must be at least 0, got {self.augment}")

    def parameters(self, seed: int) -> dict[str, Array]:
        draw, theta = generator(seed, PARAMETERS), {}
        size = self.dim + self.augment
        widths = (size, *(self.hidden,) * self.depth, size)
        for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
            theta[f"weight_{index}"] = uniform(draw, fan_in, (fan_out, fan_in))
            theta[f"bias_{index}"] = uniform(draw, fan_in, (fan_out,))
        return theta

    def start(self, seed: int) -> Array:
        import numpy as np

        return np.append(generator(seed, START).standard_normal(self.dim), np.zeros(self.augment))

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        linear, activation = xp.linear, getattr(xp, self.activation)
        y = linear(y, theta[0], theta[1])
        for at in range(2, len(theta), 2):
            y = linear(activation(y), theta[at], theta[at + 1])
        return y


@problem(reference=f"{CHEN}, section 3")
@dataclass(frozen=True)
class Conv:
    """y' = conv(act(… act(conv(y)))) on images (channels, size, size): channels -> hidden (depth times) -> channels.

    Zero padding keeps the size; weights and biases uniform within ±1/√fan_in; row 0 of the start is standard normal.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    channels: int = 4
    hidden: int = 8
    size: int = 8
    kernel: int = 3
    depth: int = 1
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        positive(channels=self.channels, hidden=self.hidden, size=self.size, kernel=self.kernel, depth=self.depth)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that padding can keep the size; got {self.kernel}")
        known(self.activation)

    def parameters(self, seed: int) -> dict[str, Array]:
        draw, theta = generator(seed, PARAMETERS), {}
        widths = (self.channels, *(self.hidden,) * self.depth, self.channels)
        for index, (before, after) in enumerate(pairwise(widths)):
            fan_in = before * self.kernel**2
            theta[f"weight_{index}"] = uniform(draw, fan_in, (after, before, self.kernel, self.kernel))
            theta[f"bias_{index}"] = uniform(draw, fan_in, (after,))
        return theta

    def start(self, seed: int) -> Array:
        return generator(seed, START).standard_normal((self.channels, self.size, self.size))

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        conv, activation = xp.conv2d, getattr(xp, self.activation)
        y = conv(y, theta[0], theta[1])
        for at in range(2, len(theta), 2):
            y = conv(activation(y), theta[at], theta[at + 1])
        return y


@problem(reference="Jin, Zhang, Zhu, Tang & Karniadakis, SympNets, Neural Networks 132 (2020): gradient modules")
@dataclass(frozen=True)
class NeuralHamiltonian:
    """q' = K₀ᵀ(a₀·tanh(K₀p + b₀)), p' = −K₁ᵀ(a₁·tanh(K₁q + b₁)): of H = T(p) + V(q), each Σ a·log cosh(K· + b).

    State (q, p), each of `dim` components. a uniform within [0, 1], so that V and T are convex; K and b uniform within
    ±1/√dim; row 0 of the start is standard normal.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, 10.0)
    separable: ClassVar[bool] = True

    dim: int = 1
    hidden: int = 8

    def __post_init__(self) -> None:
        positive(dim=self.dim, hidden=self.hidden)

    def parameters(self, seed: int) -> dict[str, Array]:
        draw, theta = generator(seed, PARAMETERS), {}
        for index in range(2):
            theta[f"weight_{index}"] = uniform(draw, self.dim, (self.hidden, self.dim))
            theta[f"bias_{index}"] = uniform(draw, self.dim, (self.hidden,))
            theta[f"scale_{index}"] = draw.uniform(0.0, 1.0, (self.hidden,))
        return theta

    def start(self, seed: int) -> Array:
        return generator(seed, START).standard_normal(2 * self.dim)

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        def slope(x: Any, weight: Any, bias: Any, scale: Any) -> Any:
            return xp.linear(scale * xp.tanh(xp.linear(x, weight, bias)), weight.T)

        q, p = y[..., : self.dim], y[..., self.dim :]
        return xp.stack((*xp.unstack(slope(p, *theta[:3])), *xp.unstack(-slope(q, *theta[3:]))))


def positive(**sizes: int) -> None:
    """Raise ValueError unless all of them are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def known(activation: str) -> None:
    """Raise ValueError unless there is such an activation."""
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}; got {activation!r}")
