"""Explicit schemes that are run backwards by stepping with −dt: nearly undone, not exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from odebench.errors import OptionError
from odebench.registry import solver, solvers
from odebench.solvers import tableaus
from odebench.solvers.runge_kutta import RungeKutta
from odebench.spec import Spec
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params, State


@dataclass(frozen=True)
class Backstep:
    """`base` with its step by −dt for an inverse. State (y,).

    The way back misses the way there by O(dt^reverse_order) over a fixed span, so that gradients by `reversible` are
    exact to that order and no further. In return nothing of the scheme's stability is given away, and no second track
    can grow.
    """

    base: RungeKutta
    reverse_order: int

    @property
    def order(self) -> int:
        """The order of `base`."""
        return self.base.order

    @property
    def error_order(self) -> int | None:
        """That of `base`."""
        return self.base.error_order

    @property
    def reach(self) -> tuple[float, float]:
        """That of `base`, there and back."""
        early, late = self.base.reach
        return min(early, 1 - late), max(late, 1 - early)

    @cached_property
    def walker(self) -> RungeKutta:
        """`base` without its estimate, and so with y alone for a state."""
        return RungeKutta(self.base.tableau.plain)

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y,)."""
        return (y,)

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """A step of `base`."""
        if self.error_order is None:
            return Step(self.advance(f, t, dt, state))
        increment, error = self.base.increment(f, t, dt, state[0], True)
        return Step((state[0] + increment,), error)

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """The same without the estimate."""
        return self.walker.advance(f, t, dt, state)

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """A step by −dt."""
        return self.walker.advance(f, t + dt, -dt, state)

    def pull(self, f: Field, t: float, dt: float, state: State, bar: State, params: Params) -> tuple[State, Params]:
        """The transpose of `base`."""
        return self.walker.pull(f, t, dt, state, bar, params)


_RK4 = Spec("rk4")
_EES = "D. Shmelev, K. Ebrahimi-Fard, N. Tapia, C. Salvi, Explicit and effectively symmetric Runge–Kutta methods "
_EES += "(arXiv 2507.21006)"


@solver("ees25", reference=_EES)
def ees25() -> Backstep:
    """EES(2,5), explicit and effectively symmetric: order 2, three stages, undone by −dt up to order 5."""
    return Backstep(RungeKutta(tableaus.EES25), 5)


@solver("ees27", reference=_EES)
def ees27() -> Backstep:
    """EES(2,7), explicit and effectively symmetric: order 2, four stages, undone by −dt up to order 7."""
    return Backstep(RungeKutta(tableaus.EES27), 7)


@solver("backstep", reference="The baseline of every reversible scheme; no paper of its own")
def backstep(base: Spec = _RK4) -> Backstep:
    """An explicit Runge–Kutta scheme run backwards by its step with −dt, which undoes it up to order p or p + 1.

    `base` is a solver in the suite grammar. Of even order p the leading errors of the two ways cancel, and the way back
    is good to order p + 1.

    Raises:
        OptionError: `base` is unknown or no explicit Runge–Kutta scheme.
    """
    try:
        scheme = solvers.build(base)
    except OptionError as error:
        raise OptionError(str(error), ("base", *error.path)) from error
    if not isinstance(scheme, RungeKutta):
        wanted = "an explicit Runge–Kutta base such as rk4 or dopri5"
        raise OptionError(f"backstep needs {wanted}; {base} is none", ("base",))
    return Backstep(scheme, scheme.order + 1 - scheme.order % 2)
