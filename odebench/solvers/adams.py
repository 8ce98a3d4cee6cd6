"""Adams methods: polynomials through the slopes of the last steps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import pairwise
from math import isnan, nan
from typing import TYPE_CHECKING

from odebench.registry import solver
from odebench.solvers import tableaus
from odebench.solvers.runge_kutta import RungeKutta, combine
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, State

_STARTERS = (tableaus.EULER, tableaus.HEUN, tableaus.HEUN3, tableaus.RK4, tableaus.DOPRI5.plain)
HIGHEST = len(_STARTERS)  # order
# Gaps between nodes, in steps, that differ this little are equal: times are known to their last bit only.
_EQUAL = 1e-9
# Where past slopes lie closer together than this share of the step, extrapolating them that far multiplies rounding.
_CROWDED = 0.1


@dataclass(frozen=True)
class Adams:
    """Adams–Bashforth of `order` 1 to 5, or with `corrected` Adams–Bashforth–Moulton as predictor and corrector (PECE).

    State (y, slopes at the last order − 1 nodes, newest first, and the times of these: float64, on the CPU, nan where
    there is none yet). A step costs one evaluation of f, corrected two. The first order − 1 steps are those of a
    Runge–Kutta scheme of the same order. Steps may differ: weights are those of the nodes as they lie. Where these are
    crowded, after a step that was cut short to less than a tenth, Runge–Kutta steps in again until they are not.

    Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, 2nd ed., Springer 1993,
    sections III.1 and III.5.

    Raises:
        ValueError: `order` is not 1 to 5.
    """

    order: int = 4
    corrected: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= HIGHEST:
            raise ValueError(f"order must be 1 to {HIGHEST}; got {self.order!r}")

    @property
    def error_order(self) -> None:
        """No estimate: a change of step would be paid for with new start-up steps, or with weights for each."""

    @cached_property
    def starter(self) -> RungeKutta:
        """Takes the steps that have no history yet."""
        return RungeKutta(_STARTERS[self.order - 1])

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """No history."""
        import torch

        past = self.order - 1
        empty = torch.zeros_like(y, requires_grad=False)
        return y, *(empty,) * past, torch.full((past,), nan, dtype=torch.float64, device="cpu")

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step."""
        return Step(self.advance(f, t, dt, state))

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """One step."""
        import torch

        y, past, times = state[0], list(state[1:-1]), state[-1].tolist()
        nodes = _nodes(t, dt, times)
        if nodes is None:
            y1, slopes = self.starter.stages(f, t, dt, (y,), self.starter.tableau.size)
            k = slopes[0]
        else:
            k = f(t, y)
            y1 = combine(y, dt, tuple(enumerate(weights(nodes))), [k, *past])
            if self.corrected:
                k1 = f(t + dt, y1)
                inner = (Fraction(1), *nodes[: self.order - 1])
                y1 = combine(y, dt, tuple(enumerate(weights(inner))), [k1, k, *past])
        if not past:
            return y1, state[-1]
        return y1, k, *past[:-1], torch.tensor([t, *times[:-1]], dtype=torch.float64, device="cpu")


def _nodes(t: float, dt: float, times: list[float]) -> tuple[Fraction | float, ...] | None:
    """Where the slopes are, in steps from t: 0, −1, −2, … on equal steps; None if too few or too crowded to be used."""
    if any(map(isnan, times)):
        return None
    nodes = [0.0, *((past - t) / dt for past in times)]
    gaps = [a - b for a, b in pairwise(nodes)]
    if any(gap < _CROWDED for gap in gaps):
        return None
    if all(abs(gap - 1.0) < _EQUAL for gap in gaps):
        return tuple(Fraction(-i) for i in range(len(nodes)))
    return tuple(nodes)


@lru_cache(maxsize=64)
def weights(nodes: tuple[Fraction | float, ...]) -> tuple[float, ...]:
    """∫₀¹ of the polynomials of Lagrange on `nodes`: exact for fractions."""
    found = []
    for j, node in enumerate(nodes):
        polynomial: list[Fraction | float] = [Fraction(1)]  # its coefficients, the constant first
        for m, other in enumerate(nodes):
            if m != j:
                scale = node - other
                shifted = [Fraction(0), *polynomial]
                polynomial = [
                    (high - other * low) / scale for high, low in zip(shifted, [*polynomial, Fraction(0)], strict=True)
                ]
        found.append(float(sum(c / (power + 1) for power, c in enumerate(polynomial))))
    return tuple(found)


@solver(
    "adams_bashforth",
    aliases=("explicit_adams",),
    reference="F. Bashforth, J. C. Adams (1883); E. Hairer, S. P. Nørsett, G. Wanner, Solving ODEs I, section III.1",
)
def adams_bashforth(order: int = 4) -> Adams:
    """Explicit Adams of `order` 1 to 5: one evaluation per step, started by Runge–Kutta; fixed steps only."""
    return Adams(order)


@solver(
    "abm",
    aliases=("adams_bashforth_moulton", "implicit_adams", "fixed_adams"),
    reference="F. R. Moulton, New methods in exterior ballistics (1926); E. Hairer, S. P. Nørsett, G. Wanner, "
    "Solving ODEs I, section III.1",
)
def abm(order: int = 4) -> Adams:
    """Adams–Bashforth–Moulton of `order` 1 to 5 as PECE: two evaluations per step; fixed steps only.

    torchdiffeq's `implicit_adams` iterates the corrector instead, and goes up to order 12.
    """
    return Adams(order, corrected=True)
