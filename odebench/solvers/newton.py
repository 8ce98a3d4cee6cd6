"""x = z + a·f(t, x) for x: the equation of one implicit stage, and its transpose.

Newton's method with a kept Jacobian. It is formed by VJPs, one for each component; where f treats the samples of a
batch independently, one for each component of a sample, and that is found out by a product with a random vector rather
than believed. States too large for that get their Newton steps from GMRES on differences of f. Whatever the Jacobian is
worth, the residual decides when the iteration ends: a poor one costs iterations, never digits.

Sources: E. Hairer, G. Wanner, Solving ODEs II, IV.8; D. A. Knoll, D. E. Keyes, J. Comput. Phys. 193 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log

import torch
from torch import Tensor

from odebench.errors import SolveError
from odebench.solvers.krylov import gmres
from odebench.types import Field

MOST_ITERATIONS = 50
_MOST_JACOBIANS = 15  # in one stage; a poor start is halved by each, and then doubles its digits
_LARGEST = 256  # columns of a Jacobian, unless it is asked for
_SLOW = 3  # iterations that are saved by nothing but a better Jacobian


class Unsolved(SolveError):
    """Newton's method found no solution of a stage; `finite` says whether f was finite all along."""

    def __init__(self, message: str, finite: bool) -> None:
        super().__init__(message)
        self.finite = finite


@dataclass(frozen=True)
class Kept:
    """A Jacobian of f, shape (blocks, n, n), and I − a·J in factors. `jacobian` is empty where none is formed."""

    jacobian: Tensor
    factors: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, jacobian: Tensor, a: float) -> Kept:
        """Factored; a singular matrix gives solutions that are not finite."""
        if not jacobian.numel():
            return cls(jacobian, None)
        eye = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
        lu, pivots, _ = torch.linalg.lu_factor_ex(torch.sub(eye, jacobian, alpha=a))
        return cls(jacobian, (lu, pivots))

    def solve(self, r: Tensor, transposed: bool = False) -> Tensor:
        """(I − a·J)⁻¹·r, or its transpose's; r itself where no Jacobian is formed."""
        if self.factors is None:
            return r
        columns = r.reshape(*self.jacobian.shape[:2], 1)
        solved: Tensor = torch.linalg.lu_solve(*self.factors, columns, adjoint=transposed)
        return solved.reshape(r.shape)


@dataclass(frozen=True)
class Newton:
    """How stages are solved. `tolerance` is relative, by component; `linear` as the solver's option of that name."""

    tolerance: float | None
    linear: str

    def solve(self, f: Field, t: float, a: float, z: Tensor, x: Tensor, kept: Kept | None) -> tuple[Tensor, Kept]:
        """(the solution near `x`, the Jacobian it was found with). Call it without grad.

        Raises:
            Unsolved: no convergence, or f is not finite.
        """
        eps = torch.finfo(x.dtype).eps
        goal = max(4 * eps, self.tolerance or 0.0)
        before, jacobians = 0.0, 0
        tiny = torch.finfo(x.dtype).tiny
        for _ in range(MOST_ITERATIONS):
            if kept is None:
                fx, jacobian = self._linearise(f, t, x)
                kept, jacobians, before = Kept.of(jacobian, a), jacobians + 1, 0.0
            else:
                fx = f(t, x)
            d = self._step(f, t, a, x, fx, z + a * fx - x, kept)
            x1 = x + d
            size = float((d.abs() / torch.maximum(x.abs(), x1.abs()).clamp_min_(tiny)).max()) if d.numel() else 0.0
            if not isfinite(size):
                if jacobians or not bool(torch.isfinite(fx).all()):
                    break
                kept = None  # the matrix at hand may be singular at this step size
                continue
            x, rate = x1, size / before if before else 1.0
            if size <= goal or (rate < 1 and size * rate <= goal * (1 - rate)):
                return x, kept
            if before and rate >= 0.5 and _is_noise(d, x, z, a, fx):
                return x, kept
            if before and _is_slow(size, goal, rate, kept):
                if jacobians == _MOST_JACOBIANS:
                    break
                kept = None if kept.factors is not None else kept
            before = size
        finite = bool(torch.isfinite(f(t, x)).all())
        raise Unsolved(f"the equation of an implicit stage at t = {t:.6g} was not solved (dt·γ = {a:.3g})", finite)

    def _step(self, f: Field, t: float, a: float, x: Tensor, fx: Tensor, r: Tensor, kept: Kept) -> Tensor:
        if kept.factors is not None:
            return kept.solve(r)
        # Differences of f see only half of the digits; so much per Newton step is enough.
        eps = torch.finfo(x.dtype).eps
        reach = (eps * (1 + float(torch.linalg.vector_norm(x)))) ** 0.5 if eps else 0.0

        def product(v: Tensor) -> Tensor:
            h = reach / float(torch.linalg.vector_norm(v))
            return torch.sub(v, f(t, torch.add(x, v, alpha=h)) - fx, alpha=a / h)

        return gmres(product, r, max(1e-4, 10 * eps**0.5), inner=100)[0]

    def _linearise(self, f: Field, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
        """(f, its Jacobian as blocks); an empty one where the state is too large to form it."""
        limit = {"dense": x.numel(), "krylov": 0}.get(self.linear, _LARGEST)
        rows = x.shape[0] if x.ndim > 1 else 1
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            fx = f(t, x)
        if x.numel() and x.numel() // rows <= limit:
            blocks = _blocks(fx, x, rows)
            if rows == 1 or _stands(blocks, fx, x):
                return fx.detach(), blocks
            if x.numel() <= limit:
                return fx.detach(), _blocks(fx, x, 1)
        return fx.detach(), x.new_empty(0)


def _blocks(fx: Tensor, x: Tensor, rows: int) -> Tensor:
    """∂f/∂x as (rows, n, n), if no row of f depends on another row of x; the sum over rows of f if one does."""
    n = x.numel() // max(1, rows)
    found = []
    for i in range(n):
        bar = torch.zeros(rows, n, dtype=x.dtype, device=x.device)
        bar[:, i] = 1
        found.append(transposed(fx, x, bar.view(x.shape)).reshape(rows, n))
    return torch.stack(found, 1) if found else x.new_empty(0)


def _stands(blocks: Tensor, fx: Tensor, x: Tensor) -> bool:
    """Whether the blocks are all there is of the Jacobian: one random product tells, but for a set of measure 0."""
    draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(x)
    true = transposed(fx, x, draw).reshape(blocks.shape[:2])
    guess = torch.einsum("bi,bij->bj", draw.reshape(blocks.shape[:2]), blocks)
    size = torch.einsum("bi,bij->bj", draw.reshape(blocks.shape[:2]).abs(), blocks.abs())
    return bool(((true - guess).abs() <= 1e3 * torch.finfo(x.dtype).eps * size.max()).all())


def transposed(fx: Tensor, x: Tensor, bar: Tensor) -> Tensor:
    """(∂f/∂x)ᵀ·bar, from a tape that stays."""
    if not fx.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(fx, x, bar, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


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


def solve_transposed(fx: Tensor, x: Tensor, a: float, kept: Kept, bar: Tensor) -> Tensor:
    """(I − a·∂f/∂x)⁻ᵀ·bar at the solved stage, to rounding: GMRES on VJPs, with the kept factors before it.

    Raises:
        SolveError: it did not converge.
    """
    eps = torch.finfo(bar.dtype).eps

    def product(v: Tensor) -> Tensor:
        return kept.solve(torch.sub(v, transposed(fx, x, v), alpha=a), transposed=True)

    found, left = gmres(product, kept.solve(bar, transposed=True), 2 * eps, cycles=20)
    if not left <= 1e4 * eps and bool(torch.isfinite(bar).all()):
        raise SolveError(f"the transposed stage equation was solved to {left:.1e} only; take smaller steps")
    return found
