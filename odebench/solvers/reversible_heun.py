"""Reversible Heun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.registry import solver
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Extension, Field, Params, State


@solver(
    "reversible_heun",
    reference="P. Kidger, J. Foster, X. Li, T. Lyons, Efficient and accurate gradients for neural SDEs, NeurIPS 2021 "
    "(arXiv 2105.13493)",
)
@dataclass(frozen=True)
class ReversibleHeun:
    """Reversible Heun: order 2, one evaluation per step, undone by the same step with −dt.

    State (y, z, k): the solution, a second track on which f is evaluated, and k = f(t, z). Stable on the imaginary
    segment [−i, i] only: any decaying mode grows like exp(|λ|T) on the second track.
    """

    @property
    def order(self) -> int:
        """2."""
        return 2

    @property
    def error_order(self) -> int:
        """2: half of dt·(k1 − k)."""
        return 2

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y, y, f(t, y))."""
        return y, y, f(t, y)

    def slope(self, state: State) -> Tensor:
        """k."""
        return state[2]

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """A leapfrog of z about y, and a trapezoidal step of y."""
        after = self.advance(f, t, dt, state)
        return Step(after, (after[2] - state[2]).mul_(0.5 * dt))

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """The same, and Hermite's cubic."""
        from odebench.solvers.hermite import cubic

        step = self.step(f, t, dt, state)
        return step, cubic(dt, state[0], state[2], step.state[0], step.state[2])

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """The same without the estimate."""
        y, z, k = state
        z1 = z.lerp(y, 2.0).add_(k, alpha=dt)
        k1 = f(t + dt, z1)
        return y.add(k, alpha=0.5 * dt).add_(k1, alpha=0.5 * dt), z1, k1

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The step with −dt."""
        return self.advance(f, t + dt, -dt, state)

    def unpull(
        self, f: Field, t: float, dt: float, state: State, bar: State, params: Params
    ) -> tuple[State, State, Params]:
        """Undo and transpose with one evaluation per step.

        The transpose needs f taped at z1, where the undoing of the step after this one has evaluated it already. So the
        z and k handed back carry that tape; at the newest step, where there is none yet, f is evaluated once more.
        """
        import torch

        from odebench.autodiff import gradients

        (y1, z1, k1), (y_bar, z_bar, k_bar) = state, bar
        if not (z1.requires_grad and k1.requires_grad):  # k1 alone may be a parameter that f handed out
            z1, k1 = self._taped(f, t + dt, z1)
        k_bar = k_bar.add(y_bar, alpha=0.5 * dt)
        (share, *params_bar) = gradients(k1, (z1, *params), k_bar)
        z1_bar = z_bar + share
        with torch.no_grad():
            z = z1.lerp(y1, 2.0).sub_(k1, alpha=dt)
            slope1 = k1.detach()
        z, k = self._taped(f, t, z)
        y = y1.sub(slope1, alpha=0.5 * dt).sub_(k.detach(), alpha=0.5 * dt)
        # y1 = y + dt/2 (k + k1) and z1 = 2y − z + dt·k, read column by column.
        before = (
            y_bar.add(z1_bar, alpha=2.0),
            z1_bar.neg(),
            (y_bar * (0.5 * dt)).add_(z1_bar, alpha=dt),
        )
        return (y, z, k), before, tuple(params_bar)

    @staticmethod
    def _taped(f: Field, t: float, z: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return z, f(t, z)
