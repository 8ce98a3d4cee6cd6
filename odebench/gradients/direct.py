"""Backpropagation through the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odebench.controllers import Adaptive
from odebench.solvers.alf import ALF
from odebench.solvers.backstep import Backstep
from odebench.solvers.coupled import Coupled
from odebench.solvers.reversible_heun import ReversibleHeun
from odebench.solvers.runge_kutta import RungeKutta
from odebench.types import Controller, Stepper, Trace

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params


@dataclass(frozen=True)
class Direct:
    """Backpropagation through every step: exact for the steps taken, memory grows with steps × stages.

    The step-size search is not differentiated: accepted steps count as constants, as is usual. With `control` it is, as
    in the `naive` method of the ACA paper: the length of a step is then a function of the errors before it, rejected
    trials included, and the gradient is that of the whole program but for its first step, which counts as given. On
    fixed steps both are the same.

    Source: `control`: J. Zhuang et al., Adaptive checkpoint adjoint method for gradient estimation in Neural ODE, ICML
    2020 (arXiv 2006.02493), section 3.
    """

    control: bool = False

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme can be taped; with `control` its steps must be known to scale with dt·f."""
        if self.control and stepper.error_order is not None and slopes(stepper) is None:
            return (
                "what its state holds is not known to scale with the step, so `control` cannot be differentiated "
                "through; use an explicit Runge–Kutta scheme, or leave `control` out"
            )
        return None

    def misfit(self, control: Controller) -> str | None:
        """Through the choice of steps it goes where the whole batch takes them, and lands on the saved times."""
        if not (self.control and isinstance(control, Adaptive)):
            return None
        if control.dense:
            return "`control` is differentiated through where saved times are landed on; leave out `dense`"
        if control.per_sample:
            return "`control` is differentiated through where the whole batch takes one step; leave out `per_sample`"
        return None

    def solve(
        self,
        f: Field,
        params: Params,
        y0: Tensor,
        ts: tuple[float, ...],
        stepper: Stepper,
        control: Controller,
        trace: Trace | None = None,
    ) -> Tensor:
        """The solution at `ts`, shape (len(ts), *y0.shape)."""
        import torch

        from odebench.integrate import walk

        if self.control and isinstance(control, Adaptive) and torch.is_grad_enabled():
            from odebench.gradients.control_function import solve

            return solve(f, y0, ts, stepper, control, trace)
        return torch.stack(walk(f, stepper, control, ts, stepper.init(f, ts[0], y0), trace=trace).ys)


def slopes(stepper: Stepper) -> tuple[int, ...] | None:
    """Which leaves of the state are slopes, all others being solutions; None where that is not known."""
    if isinstance(stepper, RungeKutta):
        return (1,) if stepper.tableau.fsal else ()
    if isinstance(stepper, (Coupled, Backstep)):
        return ()
    return {ALF: (1,), ReversibleHeun: (2,)}.get(type(stepper))
