"""Asynchronous leapfrog, the scheme that MALI inverts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.registry import solver
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Extension, Field, Params, State


@solver(
    "alf",
    reference="U. Mutze, An asynchronous leap-frog method (2008); J. Zhuang et al., MALI: a memory efficient and "
    "reverse accurate integrator for Neural ODEs, ICLR 2021 (arXiv 2102.04668)",
)
@dataclass(frozen=True)
class ALF:
    """Asynchronous leapfrog with damping eta: one evaluation per step, reversible in closed form.

    State (y, v), v ≈ dy/dt. Second order for eta = 1, and then stable on the imaginary segment [−i, i] only, like
    leapfrog. Any eta < 1 gives real stability and costs an order, and its inverse amplifies rounding by
    1/|1 − 2·eta| each step: after about ln(1/eps)/ln(1/|1 − 2·eta|) steps nothing is left of the reverse trajectory.

    Raises:
        ValueError: eta is 1/2, where the step has no inverse, or outside (0, 1].
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.eta <= 1 or self.eta == 0.5:
            raise ValueError(f"eta must be in (0, 1] and not 0.5, where the step has no inverse; got {self.eta!r}")

    @property
    def order(self) -> int:
        """2, or 1 when damped."""
        return 2 if self.eta == 1 else 1

    @property
    def error_order(self) -> int:
        """2: the estimate dt·(u − v) is the difference to the Euler step along v."""
        return 2

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y, f(t, y))."""
        return y, f(t, y)

    def slope(self, state: State) -> Tensor:
        """v."""
        return state[1]

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """Half a drift, a reflection of v about f, half a drift."""
        y, v = state
        half = y.add(v, alpha=0.5 * dt)
        u = f(t + 0.5 * dt, half)
        v1 = v.lerp(u, 2 * self.eta)
        return Step((half.add(v1, alpha=0.5 * dt), v1), (u - v).mul_(dt))

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """The same, and Hermite's cubic."""
        from odebench.solvers.hermite import cubic

        step = self.step(f, t, dt, state)
        return step, cubic(dt, state[0], state[1], step.state[0], step.state[1])

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """The same without the estimate."""
        y, v = state
        half = y.add(v, alpha=0.5 * dt)
        v1 = v.lerp(f(t + 0.5 * dt, half), 2 * self.eta)
        return half.add(v1, alpha=0.5 * dt), v1

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The inverse; f is evaluated where the step evaluated it."""
        y1, v1 = state
        half = y1.sub(v1, alpha=0.5 * dt)
        v = v1.lerp(f(t + 0.5 * dt, half), self._undo)
        return half.sub(v, alpha=0.5 * dt), v

    def unpull(
        self, f: Field, t: float, dt: float, state: State, bar: State, params: Params
    ) -> tuple[State, State, Params]:
        """Inverse and transpose at the cost of one taped evaluation: both meet f at the same point."""
        from odebench.autodiff import tape

        (y1, v1), (y_bar, v_bar) = state, bar
        half = y1.sub(v1, alpha=0.5 * dt)
        u, pull = tape(lambda x: f(t + 0.5 * dt, x), half, params)
        v = v1.lerp(u, self._undo)
        v_bar = v_bar.add(y_bar, alpha=0.5 * dt)
        half_bar, params_bar = pull(v_bar * (2 * self.eta))
        half_bar = half_bar + y_bar
        v_bar = v_bar.mul_(1 - 2 * self.eta).add_(half_bar, alpha=0.5 * dt)
        return (half.sub(v, alpha=0.5 * dt), v), (half_bar, v_bar), params_bar

    @property
    def _undo(self) -> float:
        # v1 = lerp(v, u, 2·eta) solved for v is again a lerp, from v1 towards u by this weight.
        return 2 * self.eta / (2 * self.eta - 1)
