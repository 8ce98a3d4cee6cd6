"""Explicit Runge–Kutta schemes, driven by a tableau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from odebench.solvers.tableau import Row, Stages, Tableau
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
    def extension_order(self) -> int:
        """That of the tableau's continuous extension."""
        return self.tableau.interpolant.order

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
        y, weights = state[0], self.tableau.interpolant.weights
        y1, ks = self.stages(f, t, dt, state, len(self.tableau.b))

        def inside(places: Sequence[float]) -> list[Tensor]:
            return combined(y, dt, list(map(weights, places)), self._more(f, t, dt, y, ks))

        return self.judged(dt, y1, ks), inside

    def looked_into(self, f: Field, t: float, dt: float, state: State) -> tuple[State, list[Tensor]]:
        """(the state after a step that nobody judges, the slopes that its extension is made of)."""
        y1, ks = self.stages(f, t, dt, state, len(self.tableau.b))
        more = self._more(f, t, dt, state[0], ks)
        return self.judged(dt, y1, ks).state, [more[i] for i, _ in self.tableau.interpolant.heights]

    def spread(self, dt: float, places: Sequence[float], ys_bar: Tensor) -> list[Tensor]:
        """The cotangents of those slopes, from those of the solution at these places, shape (len(places), *y.shape)."""
        found: list[Tensor] = []
        for weights in zip(*(self.tableau.interpolant.weights(place) for place in places), strict=True):
            bar = ys_bar[0] * (dt * weights[0][1])
            for each, (_, w) in zip(ys_bar[1:], weights[1:], strict=True):
                bar.add_(each, alpha=dt * w)
            found.append(bar)
        return found

    def _more(self, f: Field, t: float, dt: float, y: Tensor, ks: list[Tensor]) -> list[Tensor]:
        """`ks` and the slopes that only the extension needs."""
        dense, more = self.tableau.interpolant, [*ks]
        for c, row in zip(dense.c, dense.rows, strict=True):
            more.append(f(t + c * dt, combine(y, dt, row, more)))
        return more

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """One step without its error estimate, nor the stages that only serve it."""
        y1, ks = self.stages(f, t, dt, state, len(self.tableau.unjudged.c))
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
        return self._transposed(f, t, dt, state, bar, params, self.tableau.unjudged, {}, bar[0])

    def pull_inside(
        self,
        f: Field,
        t: float,
        dt: float,
        state: State,
        bar: State,
        places: Sequence[float],
        ys_bar: Tensor,
        params: Params,
    ) -> tuple[State, Params]:
        """The same of a step whose inside was given too: k̄_i is dt·Σ b_i(θ)·ȳ(θ) more, and the result Σ ȳ(θ)."""
        slopes = [i for i, _ in self.tableau.interpolant.heights]
        more = dict(zip(slopes, self.spread(dt, places, ys_bar), strict=True))
        total = bar[0] + ys_bar.sum(0)
        return self._transposed(f, t, dt, state, bar, params, self.tableau.looked_into, more, total)

    def _transposed(
        self,
        f: Field,
        t: float,
        dt: float,
        state: State,
        bar: State,
        params: Params,
        stages: Stages,
        more: dict[int, Tensor],
        total: Tensor,
    ) -> tuple[State, Params]:
        """`more` are cotangents of slopes and `total` that of y, beside what comes by way of the step."""
        from odebench.autodiff import add_into, tape, zeros

        fsal, last, params_bar = self.tableau.fsal, len(self.tableau.b) - 1, zeros(params)
        xs = self._stage_points(f, t, dt, state, stages)
        xis: dict[int, Tensor] = {}
        for i in reversed(range(len(stages.c))):
            k_bar = bar[0] * (dt * stages.weights[i])
            for j, a in stages.columns[i]:
                if j in xis:
                    k_bar = k_bar.add_(xis[j], alpha=dt * a)
            if fsal and i == last:
                k_bar = k_bar.add_(bar[1])
            if i in more:
                k_bar = k_bar.add_(more.pop(i))
            if fsal and i == 0:
                return (total, k_bar), params_bar
            _, pull = tape(partial(f, t + stages.c[i] * dt), xs[i], params)
            xis[i], share = pull(k_bar)
            add_into(params_bar, share)
            total = total + xis[i]
        return (total,), params_bar

    def judged(self, dt: float, y1: Tensor, ks: list[Tensor]) -> Step:
        """What `step` gives, of what `stages` gave for all stages."""
        tableau = self.tableau
        error = weighted(dt, tableau.error_weights, ks) if tableau.b_low is not None else None
        return Step((y1, ks[-1]) if tableau.fsal else (y1,), error)

    def stages(self, f: Field, t: float, dt: float, state: State, count: int) -> tuple[Tensor, list[Tensor]]:
        """(y1, the first `count` slopes)."""
        tableau, y = self.tableau, state[0]
        ks = [state[1] if tableau.fsal else f(t, y)]
        x = y
        for c, row in zip(tableau.c[1:count], tableau.rows[1:count], strict=True):
            x = combine(y, dt, row, ks)
            ks.append(f(t + c * dt, x))
        return (x if tableau.fsal else combine(y, dt, tableau.weights, ks)), ks

    def _stage_points(self, f: Field, t: float, dt: float, state: State, stages: Stages) -> list[Tensor]:
        """Where f is evaluated, without evaluating it at the last of these points."""
        import torch

        y = state[0]
        with torch.no_grad():
            xs, ks = [y], [state[1]] if self.tableau.fsal else []
            for i in range(1, len(stages.c)):
                if len(ks) < i:
                    ks.append(f(t + stages.c[i - 1] * dt, xs[i - 1]))
                xs.append(combine(y, dt, stages.rows[i], ks))
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


# As many sums or more are made together, a stage at a time: below that the fewer, larger operations cost more.
_TOGETHER = 4


def combined(y: Tensor, dt: float, rows: Sequence[Row], ks: list[Tensor]) -> list[Tensor]:
    """`combine` for each of `rows`, which have weights of the same slopes.

    Not a product of matrices, which would be faster: autocast and TF32 take half of the digits of those.
    """
    import torch

    if len(rows) < _TOGETHER:
        return [combine(y, dt, row, ks) for row in rows]
    table = torch.tensor([[dt * w for _, w in row] for row in rows], dtype=y.dtype, device=y.device)
    (j, w), *rest = zip([j for j, _ in rows[0]], table.view(*table.shape, *(1,) * y.ndim).unbind(1), strict=True)
    x = torch.addcmul(y, w, ks[j])
    for j, w in rest:
        x = x.addcmul_(w, ks[j])
    return list(x.unbind())


def weighted(dt: float, row: Row, ks: list[Tensor]) -> Tensor:
    """dt·Σ w k."""
    (j, w), *rest = row
    x = ks[j] * (dt * w)
    for j, w in rest:
        x = x.add_(ks[j], alpha=dt * w)
    return x
