"""Explicit Runge–Kutta schemes, driven by a tableau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from odebench.solvers.tableau import Row, Tableau
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Extension, Field, Params, State


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge–Kutta scheme. State: (y,), or (y, slope at y) for an FSAL tableau."""

    tableau: Tableau

    @property
    def order(self) -> int:
        """The tableau's."""
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        """The tableau's; None without embedded weights."""
        return self.tableau.error_order

    @property
    def reach(self) -> tuple[float, float]:
        """Of the nodes of the tableau."""
        return min(0.0, *self.tableau.c), max(1.0, *self.tableau.c)

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y,) or (y, f(t, y))."""
        return (y, f(t, y)) if self.tableau.fsal else (y,)

    def slope(self, state: State) -> Tensor | None:
        """f at the solution, where the state holds it."""
        return state[1] if self.tableau.fsal else None

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step; the error is dt·Σ(b − b_low)k."""
        return self.judged(dt, *self.stages(f, t, dt, state, len(self.tableau.b)))

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """The same, and the tableau's continuous extension."""
        y, dense = state[0], self.tableau.interpolant
        y1, ks = self.stages(f, t, dt, state, len(self.tableau.b))

        def inside(places: Sequence[float]) -> list[Tensor]:
            more = [*ks]
            for c, row in zip(dense.c, dense.rows, strict=True):
                more.append(f(t + c * dt, combine(y, dt, row, more)))
            return [combine(y, dt, dense.weights(place), more) for place in places]

        return self.judged(dt, y1, ks), inside

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """One step without its error estimate, nor the stages that only serve it."""
        y1, ks = self.stages(f, t, dt, state, self._needed)
        return (y1, ks[-1]) if self.tableau.fsal else (y1,)

    def increment(self, f: Field, t: float, dt: float, y: Tensor, judged: bool) -> tuple[Tensor, Tensor | None]:
        """(y1 − y, error estimate), from y alone; the estimate only if `judged`.

        Last stages without weight in the solution are evaluated only for the estimate.
        """
        tableau, ks = self.tableau, [f(t, y)]
        for c, row in zip(tableau.c[1 : tableau.size], tableau.rows[1 : tableau.size], strict=True):
            ks.append(f(t + c * dt, combine(y, dt, row, ks)))
        increment = weighted(dt, tableau.weights, ks)
        if not judged:
            return increment, None
        if tableau.fsal:
            ks.append(f(t + dt, y + increment))
        for c, row in zip(tableau.c[len(ks) :], tableau.rows[len(ks) :], strict=True):
            ks.append(f(t + c * dt, combine(y, dt, row, ks)))
        return increment, weighted(dt, tableau.error_weights, ks)

    def pull(self, f: Field, t: float, dt: float, state: State, bar: State, params: Params) -> tuple[State, Params]:
        """The transpose of one step, taping one evaluation of f at a time (Matsubara, Miyatake & Yaguchi 2021).

        With k̄_i = dt·b_i·ȳ + dt·Σ_{j>i} a_ji ξ_j and ξ_i = J_iᵀ k̄_i the cotangent pulled back is ȳ + Σ ξ_i. It equals
        the symplectic partner method, and never divides by b_i, so that weights of zero need no special case.
        """
        from odebench.autodiff import add_into, tape, zeros

        tableau, y_bar, needed = self.tableau, bar[0], self._needed
        xs = self._stage_points(f, t, dt, state)
        total, params_bar = y_bar, zeros(params)
        xis: dict[int, Tensor] = {}
        for i in reversed(range(needed)):
            k_bar = y_bar * (dt * float(tableau.b[i]))
            for j, a in tableau.columns[i]:
                if j in xis:
                    k_bar = k_bar.add_(xis[j], alpha=dt * a)
            if tableau.fsal and i == needed - 1:
                k_bar = k_bar.add_(bar[1])
            if tableau.fsal and i == 0:
                return (total, k_bar), params_bar
            _, pull = tape(partial(f, t + tableau.c[i] * dt), xs[i], params)
            xis[i], share = pull(k_bar)
            add_into(params_bar, share)
            total = total + xis[i]
        return (total,), params_bar

    def judged(self, dt: float, y1: Tensor, ks: list[Tensor]) -> Step:
        """What `step` gives, of what `stages` gave for all stages."""
        tableau = self.tableau
        error = weighted(dt, tableau.error_weights, ks) if tableau.b_low is not None else None
        return Step((y1, ks[-1]) if tableau.fsal else (y1,), error)

    @cached_property
    def _needed(self) -> int:
        """The stages of a step that nobody judges."""
        return len(self.tableau.b) if self.tableau.fsal else self.tableau.size

    def stages(self, f: Field, t: float, dt: float, state: State, count: int) -> tuple[Tensor, list[Tensor]]:
        """(y1, the first `count` slopes)."""
        tableau, y = self.tableau, state[0]
        ks = [state[1] if tableau.fsal else f(t, y)]
        x = y
        for c, row in zip(tableau.c[1:count], tableau.rows[1:count], strict=True):
            x = combine(y, dt, row, ks)
            ks.append(f(t + c * dt, x))
        return (x if tableau.fsal else combine(y, dt, tableau.weights, ks)), ks

    def _stage_points(self, f: Field, t: float, dt: float, state: State) -> list[Tensor]:
        """Where f is evaluated, without evaluating it at the last of these points."""
        import torch

        tableau, y = self.tableau, state[0]
        with torch.no_grad():
            xs, ks = [y], [state[1]] if tableau.fsal else []
            for i in range(1, self._needed):
                if len(ks) < i:
                    ks.append(f(t + tableau.c[i - 1] * dt, xs[i - 1]))
                xs.append(combine(y, dt, tableau.rows[i], ks))
        return xs


def combine(y: Tensor, dt: float, row: Row, ks: list[Tensor]) -> Tensor:
    """y + dt·Σ w k, as one fresh tensor that the further terms are added into.

    In place is safe under autograd too: an addition saves nothing. One fused product of the stacked slopes was tried
    and loses: f returns fresh tensors, and copying them into the stack costs more than it saves.
    """
    (j, w), *rest = row
    x = y.add(ks[j], alpha=dt * w)
    for j, w in rest:
        x = x.add_(ks[j], alpha=dt * w)
    return x


def weighted(dt: float, row: Row, ks: list[Tensor]) -> Tensor:
    """dt·Σ w k."""
    (j, w), *rest = row
    x = ks[j] * (dt * w)
    for j, w in rest:
        x = x.add_(ks[j], alpha=dt * w)
    return x
