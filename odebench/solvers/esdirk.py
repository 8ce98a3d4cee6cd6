"""L-stable diagonally implicit Runge–Kutta schemes, for stiff problems. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from odebench.errors import Divergence, SolveError
from odebench.registry import solver
from odebench.solvers.implicit_tableaus import IMPLICIT_EULER, KVAERNO3, KVAERNO4, KVAERNO5, ImplicitTableau
from odebench.solvers.runge_kutta import combine, weighted
from odebench.types import Step

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.solvers.newton import Newton
    from odebench.types import Extension, Field, State

Linear = Literal["auto", "dense", "krylov"]
_LINEAR: tuple[Linear, ...] = ("auto", "dense", "krylov")
Jacobian = Literal["autodiff", "differences"]
_JACOBIAN: tuple[Jacobian, ...] = ("autodiff", "differences")

KVAERNO = (
    "A. Kværnø, Singly diagonally implicit Runge–Kutta methods with an explicit first stage, BIT Numer. Math. 44 (2004)"
)


@dataclass(frozen=True)
class DiagonallyImplicit:
    """Each stage is solved by Newton's method to rounding, and has the gradient of the implicit function theorem.

    State (y, slope at y, Jacobian of f): the Jacobian goes from stage to stage and from step to step for as long as
    Newton's method converges with it; I − dt·γ·J is factored once a step. `linear`: `dense` forms the Jacobian by one
    VJP for each component of a sample (of the batch, where samples depend on one another), `krylov` never forms it and
    uses GMRES on differences of f, `auto` is dense up to 256 columns. `tolerance` ends Newton's method earlier, at this
    relative error of every component; the gradient is then exact to about as much. `jacobian`: `autodiff` forms it by
    VJPs, `differences` by as many evaluations of f, for an f whose derivative autograd does not have; with `autodiff`
    such an f is refused, and with either of them a gradient through it. A complex state is solved in its real and
    imaginary parts, and f need not be holomorphic.

    Raises:
        ValueError: `linear` or `jacobian` is none of these, or `tolerance` is not in (0, 1).
    """

    # Rounding is the default also under adaptive steps, where a fraction of rtol would do: the gradient is that of the
    # steps taken only as far as the stages are solved, and exact gradients are what is compared here.

    tableau: ImplicitTableau
    linear: Linear = "auto"
    tolerance: float | None = None
    jacobian: Jacobian = "autodiff"

    def __post_init__(self) -> None:
        if self.linear not in _LINEAR:
            raise ValueError(f"linear must be one of {', '.join(_LINEAR)}; got {self.linear!r}")
        if self.jacobian not in _JACOBIAN:
            raise ValueError(f"jacobian must be one of {', '.join(_JACOBIAN)}; got {self.jacobian!r}")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be in (0, 1), or left out for rounding; got {self.tolerance!r}")

    @property
    def order(self) -> int:
        """The tableau's."""
        return self.tableau.order

    @property
    def error_order(self) -> int:
        """The tableau's."""
        return self.tableau.error_order

    @property
    def extension_order(self) -> int:
        """Of Hermite's cubic, or of the scheme where it is less."""
        return min(3, self.tableau.order)

    @property
    def reach(self) -> tuple[float, float]:
        """Of the nodes of the tableau; in Kværnø's pairs of orders 4 and 5 one lies behind the end of the step."""
        return min(0.0, *self.tableau.c), max(1.0, *self.tableau.c)

    def init(self, f: Field, t: float, y: Tensor) -> State:
        """(y, f(t, y), no Jacobian yet)."""
        return y, f(t, y), y.new_empty(0, dtype=y.dtype.to_real(), requires_grad=False)

    def slope(self, state: State) -> Tensor:
        """f at the solution."""
        return state[1]

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        """One step; the error is dt·Σ(b − b_low)k.

        Where a stage is not solved the error is beyond every tolerance, and nan where f is not finite.
        """
        import torch

        from odebench.solvers.newton import Unsolved

        try:
            after, ks = self._stages(f, t, dt, state)
        except Unsolved as unsolved:
            y = state[0].detach()
            return Step(state, torch.full_like(y, torch.finfo(y.dtype).max if unsolved.finite else torch.nan))
        return Step(after, weighted(dt, self.tableau.error_weights, ks))

    def extend(self, f: Field, t: float, dt: float, state: State) -> tuple[Step, Extension]:
        """The same, and Hermite's cubic."""
        from odebench.solvers.hermite import cubic

        step = self.step(f, t, dt, state)
        return step, cubic(dt, state[0], state[1], step.state[0], step.state[1])

    def advance(self, f: Field, t: float, dt: float, state: State) -> State:
        """The same without the estimate.

        Raises:
            Divergence: f or the solution is not finite.
            SolveError: Newton's method does not converge.
            Refusal: f carries no derivative.
        """
        import torch

        from odebench.solvers.newton import Unsolved

        try:
            return self._stages(f, t, dt, state)[0]
        except Unsolved as unsolved:
            if not unsolved.finite:
                raise Divergence(f"f or the solution is not finite just after t = {t:.6g}") from unsolved
            with torch.no_grad():
                self._newton.refuse_if_cut(f, unsolved)
            raise SolveError(f"{unsolved}; take smaller steps, or adaptive ones") from unsolved

    @property
    def _newton(self) -> Newton:
        from odebench.solvers.newton import Newton

        return Newton(self.tolerance, self.linear, self.jacobian)

    def _stages(self, f: Field, t: float, dt: float, state: State) -> tuple[State, list[Tensor]]:
        """(the state after the step, all slopes)."""
        import torch

        from odebench.solvers.implicit_stage import attach
        from odebench.solvers.jacobian import Kept

        tableau, newton = self.tableau, self._newton
        y, slope, jacobian = state
        a, ks, x = dt * tableau.gamma, [slope], y
        with torch.no_grad():
            kept = Kept.of(jacobian.detach(), a) if jacobian.numel() else None
        for c, row, guess in zip(tableau.c[1:], tableau.rows[1:], tableau.guesses[1:], strict=True):
            z = combine(y, dt, row, ks) if row else y
            with torch.no_grad():
                start = combine(z, a, guess, ks)  # of 10 to 15 % fewer iterations than the last slope alone
                found, kept = newton.solve(f, t + c * dt, a, z, start, kept)
            x = attach(f, t + c * dt, a, z, found, kept)
            # Not f(t, x): a stiff f would magnify what is left of the rounding in x.
            ks.append((x - z) / a)
        assert kept is not None, "there is at least one implicit stage"
        return (x, ks[-1], kept.jacobian), ks


@solver(
    "implicit_euler", reference="A.-L. Cauchy (1824); Hairer, Wanner, Solving Ordinary Differential Equations II, IV.3"
)
def implicit_euler(
    linear: Linear = "auto", tolerance: float | None = None, jacobian: Jacobian = "autodiff"
) -> DiagonallyImplicit:
    """Implicit Euler, L-stable, of order 1; its error is estimated against the trapezoidal rule."""
    return DiagonallyImplicit(IMPLICIT_EULER, linear, tolerance, jacobian)


@solver("kvaerno3", reference=KVAERNO)
def kvaerno3(
    linear: Linear = "auto", tolerance: float | None = None, jacobian: Jacobian = "autodiff"
) -> DiagonallyImplicit:
    """Kværnø 3(2), L-stable, three implicit stages."""
    return DiagonallyImplicit(KVAERNO3, linear, tolerance, jacobian)


@solver("kvaerno4", reference=KVAERNO)
def kvaerno4(
    linear: Linear = "auto", tolerance: float | None = None, jacobian: Jacobian = "autodiff"
) -> DiagonallyImplicit:
    """Kværnø 4(3), L-stable, four implicit stages."""
    return DiagonallyImplicit(KVAERNO4, linear, tolerance, jacobian)


@solver("kvaerno5", reference=KVAERNO)
def kvaerno5(
    linear: Linear = "auto", tolerance: float | None = None, jacobian: Jacobian = "autodiff"
) -> DiagonallyImplicit:
    """Kværnø 5(4), L-stable, six implicit stages."""
    return DiagonallyImplicit(KVAERNO5, linear, tolerance, jacobian)
