"""Any one-step scheme made reversible by walking two copies that lean on each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from odebench.errors import OptionError
from odebench.registry import solver, solvers
from odebench.spec import Spec
from odebench.types import Noded, Step, Stepper, can

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, Params, State


@runtime_checkable
class OneStep(Stepper, Protocol):
    """A scheme whose step is a function of y alone."""

    def increment(self, f: Field, t: float, dt: float, y: Tensor, judged: bool) -> tuple[Tensor, Tensor | None]:
        """(y1 − y, error estimate or None); the estimate only if `judged` and the scheme makes one."""


@dataclass(frozen=True)
class Coupled:
    """A reversible scheme of the order of `base`. State (y, z), started with z = y.

    y1 = λ·y + (1 − λ)·z + Ψ_dt(t, z),  z1 = z − Ψ_{−dt}(t + dt, y1), with Ψ the increment of `base`.

    λ = 1 has no stable region off the imaginary axis; λ < 1 has one, of real extent about −ln λ, and its inverse
    amplifies rounding by 1/λ each step. Two bounds to keep: N·(1 − λ) ≲ 20 in float64 and ≲ 7 in float32. With `reset`
    the N of these bounds is that of the steps between two stored states: see `Reversible`.
    """

    base: OneStep
    coupling: float
    reset: int | None = None

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
        """That of `base`, which steps from both ends; a base that does not tell is taken to stay inside its steps."""
        early, late = self.base.reach if can(self.base, Noded) else (0.0, 1.0)
        return min(early, 1 - late), max(late, 1 - early)

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y, y)."""
        return y, y

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step; the error is that of the increment which moves y."""
        ahead, error = self.base.increment(f, t, dt, state[1], self.error_order is not None)
        return Step(self._after(f, t, dt, state, ahead), error)

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """The same without the estimate."""
        return self._after(f, t, dt, state, self.base.increment(f, t, dt, state[1], False)[0])

    def unstep(self, f: Field, t: float, dt: float, state: State) -> State:
        """The inverse, in closed form."""
        y1, z1 = state
        z = z1 + self.base.increment(f, t + dt, -dt, y1, False)[0]
        return self._before(y1, z, self.base.increment(f, t, dt, z, False)[0]), z

    def unpull(
        self, f: Field, t: float, dt: float, state: State, bar: State, params: Params
    ) -> tuple[State, State, Params]:
        """Inverse and transpose together: each of the two increments is taped once and serves both."""
        from odebench.autodiff import add, tape

        (y1, z1), (y_bar, z_bar) = state, bar
        back, pull = tape(lambda y: self.base.increment(f, t + dt, -dt, y, False)[0], y1, params)
        z = z1 + back
        share, params_bar = pull(z_bar.neg())
        y_bar = y_bar + share
        ahead, pull = tape(lambda z: self.base.increment(f, t, dt, z, False)[0], z, params)
        y = self._before(y1, z, ahead)
        share, params_share = pull(y_bar)
        z_bar = z_bar.add(y_bar, alpha=1 - self.coupling).add_(share)
        return (y, z), (y_bar * self.coupling, z_bar), add(params_bar, params_share)

    def _after(self, f: Field, t: float, dt: float, state: State, ahead: Tensor) -> State:
        y, z = state
        y1 = z.lerp(y, self.coupling).add_(ahead)
        return y1, z - self.base.increment(f, t + dt, -dt, y1, False)[0]

    def _before(self, y1: Tensor, z: Tensor, ahead: Tensor) -> Tensor:
        return (y1 - ahead).sub_(z, alpha=1 - self.coupling).div_(self.coupling)


_RK4 = Spec("rk4")


@solver(
    "coupled",
    reference="S. McCallum, J. Foster, Efficient, accurate and stable gradients for Neural ODEs (arXiv 2410.11648)",
)
def coupled(base: Spec = _RK4, coupling: float = 0.999, reset: int | None = None) -> Coupled:
    """Any explicit one-step scheme made reversible (McCallum & Foster): order of its base, twice its evaluations.

    `base` is a solver in the suite grammar, `coupling` is the paper's λ in (0, 1]. With `reset`, gradient `reversible`
    stores the state every so many steps and goes on from it on the way back, so that rounding grows no further than
    over `reset` steps; nothing else changes.

    Raises:
        OptionError: `base` is unknown or no one-step scheme, or `coupling` or `reset` is out of range.
    """
    try:
        scheme = solvers.build(base)
    except OptionError as error:
        raise OptionError(str(error), ("base", *error.path)) from error
    if not can(scheme, Stepper):
        raise OptionError(f"coupled walks one of odebench's own schemes, and {base} is none", ("base",))
    if not can(scheme, OneStep):
        raise OptionError(f"coupled needs a one-step base such as rk4 or dopri5; {base} carries more than y", ("base",))
    if not 0 < coupling <= 1:
        raise OptionError(f"coupling must be in (0, 1]; got {coupling!r}", ("coupling",))
    if reset is not None and reset < 1:
        raise OptionError(f"reset must be at least 1 step; got {reset!r}", ("reset",))
    return Coupled(scheme, coupling, reset)
