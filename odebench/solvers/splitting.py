"""Symplectic schemes for separable problems: the two halves of the state move in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from odebench.errors import UsageError
from odebench.registry import Entry, solvers
from odebench.solvers.separable import structure_fault
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params, State

Q, P = 0, 1  # the halves of the last axis, by their place


@dataclass(frozen=True)
class Splitting:
    """A chain of shears for q' = g(t, p), p' = h(t, q), q and p the halves of the state's last axis.

    A shear (half, weight) moves that half by weight·dt times its slope, which depends on the other half only. So it is
    undone to rounding by the same slope, evaluated after it instead of before it. Each asks for one evaluation of f, of
    which it uses one half. Where the chain begins and ends with the same half the last slope is the next step's first:
    the state is (y, slope of that half), else (y,).

    An f of another structure is solved at a lower order, and nothing is undone: `structure_fault` looks for that. Where
    a problem is known, it must declare itself separable.

    Source: E. Hairer, Ch. Lubich, G. Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006, sections I.1.4
    and II.5.
    """

    order: int
    shears: tuple[tuple[int, float], ...]

    @property
    def error_order(self) -> None:
        """No estimate."""

    @cached_property
    def fsal(self) -> bool:
        """First same as last: the chain ends with the half it begins with."""
        return self.shears[0][0] == self.shears[-1][0]

    @cached_property
    def chain(self) -> tuple[tuple[int, float, float], ...]:
        """(half, weight, time of its slope): a half's slope belongs to the time that the other half has reached."""
        reached, found = [0.0, 0.0], []
        for half, weight in self.shears:
            at = reached[1 - half]
            found.append((half, weight, 1.0 if abs(at - 1.0) < 1e-13 else at))
            reached[half] += weight
        return tuple(found)

    @property
    def reach(self) -> tuple[float, float]:
        """Of the times of the slopes; a chain that goes back and forth has some before the step and behind it."""
        times = [at for _, _, at in self.chain]
        return min(0.0, *times), max(1.0, *times)

    def refusal(self, problem: Any) -> str | None:
        """A problem must declare that its state splits."""
        if getattr(problem, "separable", False):
            return None
        return (
            "it moves two halves of the state in turn, q by a slope of p and p by a slope of q, and this problem does "
            "not split so; use a problem that does (harmonic_oscillator, pendulum, kepler, henon_heiles, "
            "neural_hamiltonian), or rk4"
        )

    def structure_fault(self, f: Field, t: float, y: Tensor) -> str | None:
        """Which half's slope depends on that half; None where neither does, or f cannot be asked near `y`.

        Three evaluations: at `y`, and with either half moved by a twentieth of its size. Moving sees what a derivative
        at `y` does not: a dependence that vanishes there, and one that carries no graph.
        """
        return structure_fault(f, t, y)

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y,), or (y, slope of the first half).

        Raises:
            UsageError: the last axis has no two halves.
        """
        if y.ndim == 0 or y.shape[-1] % 2:
            raise UsageError(
                f"the state must have two halves, q and p, along its last axis; got shape {tuple(y.shape)}"
            )
        return (y, self._slope(f, t, y, self.shears[0][0])) if self.fsal else (y,)

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """All shears."""
        return Step(self.advance(f, t, dt, state))

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """All shears."""
        y, k = state[0], state[-1]
        for i, (half, weight, c) in enumerate(self.chain):
            if i or not self.fsal:
                k = self._slope(f, t + c * dt, y, half)
            y = _shear(y, half, weight * dt, k)
        return (y, k) if self.fsal else (y,)

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The shears undone, last first."""
        y, k = state[0], state[-1]
        for i, (half, weight, c) in reversed(list(enumerate(self.chain))):
            if i < len(self.chain) - 1 or not self.fsal:
                k = self._slope(f, t + c * dt, y, half)
            y = _shear(y, half, -weight * dt, k)
        return (y, k) if self.fsal else (y,)

    def unpull(
        self, f: Field, t: float, dt: float, state: State, bar: State, params: Params
    ) -> tuple[State, State, Params]:
        """Inverse and transpose together: each slope is taped once, after its shear, and serves both."""
        from odebench.autodiff import add_into, zeros

        y, y_bar, k_bar, params_bar = state[0], bar[0], bar[-1] if self.fsal else None, zeros(params)
        for i, (half, weight, c) in reversed(list(enumerate(self.chain))):
            dt_i = weight * dt
            if self.fsal and i == 0:
                k = self._slope(f, t, y, half)
                return (_shear(y, half, -dt_i, k), k), (y_bar, _half(y_bar, half) * dt_i), params_bar
            k, y_bar, share = self._pulled(f, t + c * dt, y, half, dt_i, (y_bar, k_bar), params)
            add_into(params_bar, share)
            y, k_bar = _shear(y, half, -dt_i, k), None
        return (y,), (y_bar,), params_bar

    def pull(self, f: Field, t: float, dt: float, state: State, bar: State, params: Params) -> tuple[State, Params]:
        """The transpose of one step, taping one slope at a time."""
        import torch

        from odebench.autodiff import add_into, zeros

        with torch.no_grad():
            y, points = state[0], []
            for i, (half, weight, c) in enumerate(self.chain):
                points.append(y)
                if i < len(self.chain) - 1:  # a slope sees the other half only: the last one needs no last shear
                    k = state[1] if self.fsal and i == 0 else self._slope(f, t + c * dt, y, half)
                    y = _shear(y, half, weight * dt, k)
        y_bar, k_bar, params_bar = bar[0], bar[-1] if self.fsal else None, zeros(params)
        for i, (half, weight, c) in reversed(list(enumerate(self.chain))):
            if self.fsal and i == 0:
                return (y_bar, _half(y_bar, half) * (weight * dt)), params_bar
            _, y_bar, share = self._pulled(f, t + c * dt, points[i], half, weight * dt, (y_bar, k_bar), params)
            add_into(params_bar, share)
            k_bar = None
        return (y_bar,), params_bar

    @staticmethod
    def _pulled(
        f: Field, t: float, y: Tensor, half: int, dt: float, bars: tuple[Tensor, Tensor | None], params: Params
    ) -> tuple[Tensor, Tensor, Params]:
        """(slope at y, cotangent before the shear by dt times it, share of the parameters)."""
        import torch

        from odebench.autodiff import tape

        y_bar, k_bar = bars
        moved = _half(y_bar, half) * dt
        moved = moved if k_bar is None else moved + k_bar
        still = torch.zeros_like(moved)
        dy, pull = tape(partial(f, t), y, params)
        share, params_bar = pull(torch.cat((still, moved) if half == P else (moved, still), -1))
        return _half(dy, half), y_bar + share, params_bar

    @staticmethod
    def _slope(f: Field, t: float, y: Tensor, half: int) -> Tensor:
        return _half(f(t, y), half)


def _half(y: Tensor, half: int) -> Tensor:
    return y.chunk(2, -1)[half]


def _shear(y: Tensor, half: int, dt: float, slope: Tensor) -> Tensor:
    """y with one half moved by dt·slope."""
    import torch

    q, p = y.chunk(2, -1)
    return torch.cat((q.add(slope, alpha=dt), p) if half == Q else (q, p.add(slope, alpha=dt)), -1)


def _triple_jump() -> tuple[tuple[int, float], ...]:
    """Three Verlet steps, the middle one backwards, neighbouring kicks joined."""
    w = 1 / (2 - 2 ** (1 / 3))
    v = 1 - 2 * w
    return (P, w / 2), (Q, w), (P, (w + v) / 2), (Q, v), (P, (w + v) / 2), (Q, w), (P, w / 2)


_GNI = "E. Hairer, Ch. Lubich, G. Wanner, Geometric Numerical Integration, 2nd ed., Springer 2006"
_VERLET = "C. Störmer (1907); L. Verlet, Phys. Rev. 159 (1967); E. Hairer, Ch. Lubich, G. Wanner, Acta Numer. 12 (2003)"


def symplectic_euler() -> Splitting:
    """Symplectic Euler for separable problems: p by the slope of q, then q by that of the new p; order 1."""
    return Splitting(1, ((P, 1.0), (Q, 1.0)))


def stormer_verlet() -> Splitting:
    """Störmer–Verlet for separable problems, kick–drift–kick (velocity Verlet): order 2, symplectic, symmetric."""
    return Splitting(2, ((P, 0.5), (Q, 1.0), (P, 0.5)))


def leapfrog() -> Splitting:
    """Leapfrog for separable problems, drift–kick–drift (position Verlet): order 2, symplectic, symmetric."""
    return Splitting(2, ((Q, 0.5), (P, 1.0), (Q, 0.5)))


def yoshida4() -> Splitting:
    """Yoshida's triple jump of Störmer–Verlet for separable problems: order 4, symplectic, symmetric."""
    return Splitting(4, _triple_jump())


for _factory, _reference, _aliases in (
    (symplectic_euler, f"{_GNI}, section I.1.2", ("semi_implicit_euler",)),
    (stormer_verlet, _VERLET, ("velocity_verlet", "verlet")),
    (leapfrog, _VERLET, ("position_verlet",)),
    (yoshida4, "H. Yoshida, Phys. Lett. A 150 (1990)", ()),
):
    _summary = (_factory.__doc__ or "").strip()
    solvers.add(Entry("solver", _factory.__name__, _factory, _summary, _reference, _aliases))
