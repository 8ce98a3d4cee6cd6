"""How stiff a step is: an estimate that a Runge–Kutta scheme gives away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odebench.solvers.runge_kutta import RungeKutta, combine
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.solvers.tableau import Tableau
    from odebench.types import Field, State, Stepper

# What OrdinaryDiffEq takes for the size of the stability region of Tsit5; released code divides stiffness by it.
STABILITY = 3.5068


def twins(stepper: Stepper) -> tuple[int, int] | None:
    """The last two stages of an explicit Runge–Kutta scheme that lie at one time, if it has such."""
    if not isinstance(stepper, RungeKutta):
        return None
    tableau: Tableau = stepper.tableau
    pairs = [(i, j) for j in range(len(tableau.c)) for i in range(1, j) if tableau.c[i] == tableau.c[j]]
    return pairs[-1] if pairs else None


def judged_with_stiffness(f: Field, stepper: RungeKutta, t: float, dt: float, state: State) -> tuple[Step, Tensor]:
    """(the step, ‖k_j − k_i‖ / ‖g_j − g_i‖): two slopes at one time over the points they were taken at.

    It approaches the largest |eigenvalue| of the Jacobian where that is large; 0 where both points are one. A 0-dim
    tensor over the whole batch, of the first components that `state[0]` has.

    Source: L. F. Shampine, Stiffness and nonstiff differential equation solvers II: detecting stiffness with
    Runge–Kutta methods, ACM TOMS 3 (1977).
    """
    import torch

    pair = twins(stepper)
    assert pair is not None, "who asks has looked for twins"
    y1, ks = stepper.stages(f, t, dt, state, len(stepper.tableau.c))
    points = [combine(state[0], dt, stepper.tableau.rows[stage], ks) for stage in pair]
    apart = ks[pair[1]] - ks[pair[0]]
    size = torch.linalg.vector_norm(points[1] - points[0])
    if not bool(size.detach() > 0):  # not torch.where, whose unused branch would be differentiated to NaN
        return stepper.judged(dt, y1, ks), torch.zeros_like(size)
    return stepper.judged(dt, y1, ks), torch.linalg.vector_norm(apart) / size
