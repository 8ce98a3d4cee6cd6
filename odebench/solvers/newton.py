"""x = z + a·f(t, x) for x: the equation of one implicit stage, and its transpose.

Newton's method with a kept Jacobian; states too large for one get their Newton steps from GMRES on differences of f.
Whatever the Jacobian is worth, the residual decides when the iteration ends: a poor one costs iterations, never digits.

Sources: E. Hairer, G. Wanner, Solving ODEs II, IV.8; D. A. Knoll, D. E. Keyes, J. Comput. Phys. 193 (2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, log

import torch
from torch import Tensor

from odebench.errors import SolveError
from odebench.solvers.derivative_faults import refuse_if_cut
from odebench.solvers.jacobian import Kept, Linearised, linearise, product
from odebench.solvers.krylov import gmres
from odebench.types import Field

MOST_ITERATIONS = 50
_MOST_JACOBIANS = 15  # in one stage; a poor start is halved by each, and then doubles its digits
_SLOW = 3  # iterations that are saved by nothing but a better Jacobian
# A step of this size in every component, from a new Jacobian, is to leave less than this share of itself for the next.
_NEAR, _LEFT = 1e-2, 0.1


class Unsolved(SolveError):
    """Newton's method found no solution of the stage at `t`; `finite` says whether f was finite all along, `start` is
    where it set out from.
    """

    def __init__(self, t: float, a: float, start: Tensor, finite: bool) -> None:
        super().__init__(f"the equation of an implicit stage at t = {t:.6g} was not solved (dt·γ = {a:.3g})")
        self.t, self.a, self.start, self.finite = t, a, start, finite


@dataclass(frozen=True)
class Newton:
    """How stages are solved. `tolerance` is relative, by component; the others as the solver's options of that name."""

    tolerance: float | None
    linear: str
    jacobian: str = "autodiff"

    def solve(self, f: Field, t: float, a: float, z: Tensor, x: Tensor, kept: Kept | None) -> tuple[Tensor, Kept]:
        """(the solution near `x`, the Jacobian it was found with). Call it without grad.

        Raises:
            Unsolved: no convergence, or f is not finite.
            Refusal: f carries no derivative, or a part of it does not.
        """
        if not x.numel():
            return x, Kept.of(torch.empty(0, dtype=x.dtype.to_real(), device=x.device), a)
        eps, tiny = torch.finfo(x.dtype).eps, torch.finfo(x.dtype).tiny
        goal = max(4 * eps, self.tolerance or 0.0)
        start, size, before, jacobians, since = x, 0.0, 0.0, 0, 0
        new: Linearised | None = None
        for _ in range(MOST_ITERATIONS):
            if kept is None:
                new = self._linearise(f, t, a, x)
                fx, kept, jacobians, before, since = new.fx, Kept.of(new.jacobian, a), jacobians + 1, 0.0, 0
            else:
                fx = f(t, x)
            d = self._step(f, t, a, x, fx, z + a * fx - x, kept)
            x1 = x + d
            size = float((d.abs() / torch.maximum(x.abs(), x1.abs()).clamp_min_(tiny)).max())
            if not isfinite(size):
                if jacobians or not bool(torch.isfinite(fx).all()):
                    break
                kept = None  # the matrix at hand may be singular at this step size
                continue
            x, since, rate = x1, since + 1, size / before if before else 1.0
            if size <= goal or (rate < 1 and size * rate <= goal * (1 - rate)):
                return x, kept
            if before and rate >= 0.5 and _is_noise(d, x, z, a, fx):
                return x, kept
            if new is not None and since == 2 and before <= _NEAR and rate >= _LEFT:
                _refuse_if_cut(f, t, a, new)
            if before and _is_slow(size, goal, rate, kept):
                if jacobians == _MOST_JACOBIANS:
                    break
                kept = None if kept.factors is not None else kept
            before = size
        else:
            if size <= _NEAR:
                _refuse_if_cut(f, t, a, self._linearise(f, t, a, x))
        raise Unsolved(t, a, start, bool(torch.isfinite(f(t, x)).all()))

    def refuse_if_cut(self, f: Field, unsolved: Unsolved) -> None:
        """Look for a fault of f where that is the end: beside a solve that goes on these evaluations would count.

        Raises:
            Refusal: a part of f carries no derivative.
        """
        _refuse_if_cut(f, unsolved.t, unsolved.a, self._linearise(f, unsolved.t, unsolved.a, unsolved.start))

    def _linearise(self, f: Field, t: float, a: float, x: Tensor) -> Linearised:
        return linearise(f, t, a, x, self.linear, self.jacobian == "differences")

    def _step(self, f: Field, t: float, a: float, x: Tensor, fx: Tensor, r: Tensor, kept: Kept) -> Tensor:
        if kept.factors is not None:
            return kept.solve(r)
        # Differences of f see only half of the digits; so much per Newton step is enough.
        eps = torch.finfo(x.dtype).eps
        reach = (eps * (1 + float(torch.linalg.vector_norm(x)))) ** 0.5 if eps else 0.0

        def applied(v: Tensor) -> Tensor:
            h = reach / float(torch.linalg.vector_norm(v))
            return torch.sub(v, f(t, torch.add(x, v, alpha=h)) - fx, alpha=a / h)

        return gmres(applied, r, max(1e-4, 10 * eps**0.5), inner=100)[0]


def _refuse_if_cut(f: Field, t: float, a: float, new: Linearised) -> None:
    if new.taped and new.jacobian.numel():
        refuse_if_cut(f, t, a, new.x, new.fx, new.jacobian)


def _is_noise(d: Tensor, x: Tensor, z: Tensor, a: float, fx: Tensor) -> bool:
    """Steps that no longer shrink, and are what rounding makes of the terms of the equation."""
    rows = x.shape[0] if x.ndim > 1 else 1
    terms = torch.maximum(torch.maximum(x.abs(), z.abs()), (a * fx).abs()).reshape(rows, -1).amax(1)
    return bool((d.abs().reshape(rows, -1).amax(1) <= 100 * torch.finfo(x.dtype).eps * terms).all())


def _is_slow(size: float, goal: float, rate: float, kept: Kept) -> bool:
    """A new Jacobian, and the few steps it then takes, cost less than going on at this rate."""
    if rate >= 1:
        return True
    columns = kept.jacobian.shape[-1] if kept.factors is not None else 0
    return log(goal / size) / log(rate) > _SLOW + 2 * columns


def solve_transposed(
    fx: Tensor, x: Tensor, a: float, kept: Kept, bar: Tensor, hidden: Callable[[], None] = lambda: None
) -> Tensor:
    """(I − a·∂f/∂x)⁻ᵀ·bar at the solved stage, to rounding: GMRES on VJPs, with the kept factors before it.

    `hidden` is called where the tape of `fx` does not begin at x, and may raise.

    Raises:
        SolveError: it did not converge.
    """
    eps = torch.finfo(bar.dtype).eps

    def applied(v: Tensor) -> Tensor:
        pulled = product(fx, x, v)
        if pulled is None:
            hidden()
        return kept.solve(v if pulled is None else torch.sub(v, pulled, alpha=a), transposed=True)

    found, left = gmres(applied, kept.solve(bar, transposed=True), 2 * eps, cycles=20)
    if not left <= 1e4 * eps and bool(torch.isfinite(bar).all()):
        raise SolveError(f"the transposed stage equation was solved to {left:.1e} only; take smaller steps")
    return found
