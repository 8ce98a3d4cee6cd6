"""Systems whose structure is known: which variable each derivative reads, and what holding a variable does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from odebench.workloads.workload import streams

Slope = Callable[[Tensor], Tensor]

_WIRING, _STARTS = 1, 2


class System(Protocol):
    """An autonomous ODE, drawn in float64 on the CPU.

    A state has the variables first and then, of second order, their speeds.
    """

    @property
    def variables(self) -> int:
        """How many are observed."""

    @property
    def second_order(self) -> bool:
        """A state is (variables, speeds), and what is to be learnt are the accelerations."""

    @property
    def span(self) -> float:
        """Length of time that trajectories are observed for."""

    @property
    def adjacency(self) -> Tensor:
        """Entry (i, j) is true where what is to be learnt of variable i reads component j of the state."""

    def slope(self, y: Tensor) -> Tensor:
        """Time derivatives of states (n, components)."""

    def starts(self, seed: int, stream: int, count: int) -> Tensor:
        """States to start from, shape (count, components)."""

    def held(self, variable: int) -> float:
        """The value at which an intervention holds a variable."""


@dataclass(frozen=True)
class LotkaVolterra:
    """Logarithms u, v of prey and predators, in pairs that know nothing of each other: u' = a − eᵛ, v' = −c + eᵘ.

    The first pair has a = 1.5 and c = 3; each further one is slower by a third, so that no two move alike. In
    logarithms a variable does not read itself, and one entry of a row is true. Starts are even within ±0.8 of rest in
    every component; an intervention holds a population at e^−0.3 of its value at rest.
    """

    variables: int = 4
    second_order: bool = False
    span: float = 6.0

    @property
    def adjacency(self) -> Tensor:
        found = torch.zeros((self.variables, self.variables), dtype=torch.bool)
        for prey in range(0, self.variables, 2):
            found[prey, prey + 1] = found[prey + 1, prey] = True
        return found

    @property
    def rates(self) -> tuple[Tensor, Tensor]:
        """(a, c), each of shape (pairs,)."""
        slower = (2 / 3) ** torch.arange(self.variables // 2, dtype=torch.float64)
        return 1.5 * slower, 3 * slower

    def slope(self, y: Tensor) -> Tensor:
        a, c = (rate.to(y) for rate in self.rates)
        amounts = y.exp()
        return torch.stack((a - amounts[..., 1::2], amounts[..., ::2] - c), -1).flatten(-2)

    def starts(self, seed: int, stream: int, count: int) -> Tensor:
        drawn = torch.rand((count, self.variables), generator=streams(seed, _STARTS, stream), dtype=torch.float64)
        return self._rest() + 0.8 * (2 * drawn - 1)

    def held(self, variable: int) -> float:
        return float(self._rest()[variable]) - 0.3

    def _rest(self) -> Tensor:
        a, c = self.rates
        return torch.stack((c, a), -1).log().flatten()


@dataclass(frozen=True)
class GeneNetwork:
    """Amounts of gene products: x' = 3·Π h(x_j) − x, the product over a gene's regulators j.

    h is 1/(1 + x⁴) where j represses and x⁴/(1 + x⁴) where it activates. Genes 0, 1 and 2 repress one another in a
    ring, which keeps them oscillating; every further gene has one or two regulators among those before it, and the sign
    of each, from the seed. A gene reads itself and its regulators. Starts are even in [0.2, 2.5]; an intervention
    knocks a gene out, at 0.
    """

    variables: int
    wiring: Tensor  # (genes, genes): −1 where j represses i, 1 where it activates i, 0 elsewhere
    second_order: bool = False
    span: float = 5.0

    @classmethod
    def drawn(cls, genes: int, seed: int) -> GeneNetwork:
        """The network of a seed."""
        wiring = torch.zeros((genes, genes), dtype=torch.float64)
        for gene in range(3):
            wiring[gene, gene - 1] = -1
        draw = streams(seed, _WIRING)
        for gene in range(3, genes):
            count = int(torch.randint(1, 3, (), generator=draw))
            regulators = torch.randperm(gene, generator=draw)[:count]
            wiring[gene, regulators] = 2.0 * torch.randint(2, (count,), generator=draw).double() - 1
        return cls(genes, wiring)

    @property
    def adjacency(self) -> Tensor:
        return (self.wiring != 0) | torch.eye(self.variables, dtype=torch.bool)

    def slope(self, y: Tensor) -> Tensor:
        wiring = self.wiring.to(y)
        # log h is −log(1 + x⁴) or 4·log x − log(1 + x⁴); as 1/(1 + x⁴) and its complement nothing is lost at 0.
        off = 1 / (1 + y**4)
        on = 1 - off
        factor = torch.where(wiring < 0, off.unsqueeze(-2), torch.where(wiring > 0, on.unsqueeze(-2), 1.0))
        return 3 * factor.prod(-1) - y

    def starts(self, seed: int, stream: int, count: int) -> Tensor:
        drawn = torch.rand((count, self.variables), generator=streams(seed, _STARTS, stream), dtype=torch.float64)
        return 0.2 + 2.3 * drawn

    def held(self, variable: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Springs:
    """Masses in a row, each tied to its place and to the next one: x'' = −x − 0.2·x' + Σ (x_j − x).

    What is learnt is x'' of the state (x, x'): mass i reads its own x and x' and the x of its neighbours. Starts are
    standard normal; an intervention holds a mass at 1.
    """

    variables: int = 4
    second_order: bool = True
    span: float = 4.0

    @property
    def adjacency(self) -> Tensor:
        return self.matrix != 0

    @property
    def matrix(self) -> Tensor:
        """x'' of (x, x'), shape (masses, 2·masses)."""
        n = self.variables
        ties = torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
        ties = ties + ties.T
        eye = torch.eye(n, dtype=torch.float64)
        return torch.cat((ties - torch.diag(ties.sum(1)) - eye, -0.2 * eye), 1)

    def slope(self, y: Tensor) -> Tensor:
        return torch.cat((y[..., self.variables :], y @ self.matrix.T.to(y)), -1)

    def starts(self, seed: int, stream: int, count: int) -> Tensor:
        return torch.randn((count, 2 * self.variables), generator=streams(seed, _STARTS, stream), dtype=torch.float64)

    def held(self, variable: int) -> float:
        return 1.0


def system_of(name: str, variables: int, seed: int) -> System:
    """The system of a name, of so many variables."""
    if name == "gene_network":
        return GeneNetwork.drawn(variables, seed)
    return LotkaVolterra(variables) if name == "lotka_volterra" else Springs(variables)


@dataclass(frozen=True)
class Hold:
    """An intervention: one variable of a system is held at a value, whatever drives it, and the others go on."""

    system: System
    variable: int

    def start(self, y0: Tensor) -> Tensor:
        """`y0`, shape (count, components), with the variable at its value and at rest."""
        y0 = y0.clone()
        y0[:, self._components] = 0
        y0[:, self.variable] = self.system.held(self.variable)
        return y0

    def slope(self, slope: Slope, like: Tensor) -> Slope:
        """`slope` but for what is held, which does not move; on the device and in the dtype of `like`."""
        moves = torch.ones(like.shape[-1], dtype=like.dtype)
        moves[self._components] = 0
        moves = moves.to(like.device)
        return lambda y: slope(y) * moves

    @property
    def others(self) -> list[int]:
        """The variables that go on moving."""
        return [i for i in range(self.system.variables) if i != self.variable]

    @property
    def _components(self) -> list[int]:
        n = self.system.variables
        return [self.variable, n + self.variable] if self.system.second_order else [self.variable]
