"""The forward solution between the steps of a walk that is over."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from odebench.solvers.hermite import cubic
from odebench.solvers.runge_kutta import RungeKutta, combine
from odebench.types import Field, Mesh, Sloped, State, Stepper, can

Curve = Callable[[float], Tensor]


@dataclass
class Track:
    """y at any time of the walk: a kept state at a node, else interpolated.

    By the continuous extension that belongs to an explicit Runge–Kutta scheme, whose stages are evaluated anew in a
    step that is looked into; else by Hermite's cubic, whose slopes are those that the states hold, or evaluated. What
    was made of a step is let go when it is two steps away, so that beside the states two steps' slopes are held.
    """

    f: Field
    stepper: Stepper
    mesh: Mesh
    states: list[State]  # at every node, one more than steps
    places: list[float]  # of the nodes, times turned so that they increase
    sign: float
    curves: dict[int, Curve] = field(default_factory=dict)
    slopes: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, f: Field, stepper: Stepper, mesh: Mesh, states: list[State]) -> Track:
        """Of a walk over `mesh` through `states`."""
        sign = 1.0 if mesh[0].dt > 0 else -1.0
        nodes = [*(tick.t for tick in mesh), mesh[-1].t + mesh[-1].dt]
        return cls(f, stepper, mesh, states, [sign * t for t in nodes], sign)

    def __call__(self, t: float) -> Tensor:
        """y(t)."""
        index = min(max(bisect_left(self.places, self.sign * t), 1), len(self.mesh)) - 1
        tick = self.mesh[index]
        place = (t - tick.t) / tick.dt
        # A node reached from both sides may differ in its last bit.
        for node, at in ((index, 0.0), (index + 1, 1.0)):
            if abs(place - at) < 1e-10:
                return self.states[node][0].detach()
        if index not in self.curves:
            self.curves = {near: curve for near, curve in self.curves.items() if abs(near - index) < 2}
            self.curves[index] = self._curve(index)
        return self.curves[index](place)

    def _curve(self, index: int) -> Curve:
        (t, dt, _), state = self.mesh[index], self.states[index]
        y = state[0].detach()
        dense = self.stepper.tableau.dense if isinstance(self.stepper, RungeKutta) else None
        if dense is None:
            inside = cubic(dt, y, self._slope(index), self.states[index + 1][0].detach(), self._slope(index + 1))
            return lambda place: inside((place,))[0]
        assert isinstance(self.stepper, RungeKutta)
        _, ks = self.stepper.stages(self.f, t, dt, state, len(self.stepper.tableau.b))
        for c, row in zip(dense.c, dense.rows, strict=True):
            ks.append(self.f(t + c * dt, combine(y, dt, row, ks)))
        return lambda place: combine(y, dt, dense.weights(place), ks)

    def _slope(self, node: int) -> Tensor:
        """f at a node."""
        held = self.stepper.slope(self.states[node]) if can(self.stepper, Sloped) else None
        if held is not None:
            return held.detach()
        if node not in self.slopes:
            self.slopes = {near: slope for near, slope in self.slopes.items() if abs(near - node) < 3}
            self.slopes[node] = self.f(self.sign * self.places[node], self.states[node][0].detach())
        return self.slopes[node]
