"""∂f/∂x at a stage, as blocks: by autograd, or by differences of f where f carries no derivative.

Where f treats the samples of a batch independently it takes one VJP, or one difference, for each component of a sample,
and that is found out by a product with a random vector rather than believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.solvers.coordinates import columns, drawn, moves, shaped
from odebench.solvers.derivative_faults import refuse_if_hidden
from odebench.types import Field

_LARGEST = 256  # columns of a Jacobian, unless it is asked for


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
        right = columns(r, self.jacobian.shape[0]).unsqueeze(-1)
        return shaped(torch.linalg.lu_solve(*self.factors, right, adjoint=transposed), r)


@dataclass(frozen=True)
class Linearised:
    """f and its Jacobian at `x`, as blocks; an empty one where the state is too large to form it."""

    x: Tensor
    fx: Tensor
    jacobian: Tensor
    taped: bool  # by autograd


def linearise(f: Field, t: float, a: float, x: Tensor, linear: str, differences: bool) -> Linearised:
    """f at `x` and its Jacobian there. `linear` as the solver's option of that name; `a` sets the scale of a move.

    Raises:
        Refusal: f depends on x, and autograd cannot tell how.
    """
    # Under inference mode there is no autograd, whatever f is made of.
    if differences or torch.is_inference_mode_enabled():
        fx = f(t, x)
        return Linearised(x, fx, _by_parts(_Differences(f, t, a, x, fx), x, linear), False)
    at, fx = taped(f, t, x)
    jacobian = _by_parts(_Products(f, t, a, at, fx), x, linear)
    return Linearised(x, fx.detach(), jacobian, True)


def taped(f: Field, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """(a leaf at `x`, f there with its graph); without one where f takes no tensor that requires a gradient."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        try:
            return at, f(t, at)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            # numpy takes no such tensor, and that is autograd's affair, not the user's. An f with a fault of its own
            # says so again.
            return at, f(t, x.detach())


def product(fx: Tensor, x: Tensor, bar: Tensor) -> Tensor | None:
    """(∂f/∂x)ᵀ·bar, from a tape that stays; None where the tape of `fx` does not begin at x."""
    if not fx.requires_grad:
        return None
    (found,) = torch.autograd.grad(fx, x, bar, retain_graph=True, allow_unused=True)
    return found


def _by_parts(source: _Products | _Differences, x: Tensor, linear: str) -> Tensor:
    """The Jacobian sample by sample where samples are independent, else as a whole; empty where that is too large."""
    numbers = x.numel() * (2 if x.is_complex() else 1)
    limit = {"dense": numbers, "krylov": 0}.get(linear, _LARGEST)
    rows = x.shape[0] if x.ndim > 1 else 1
    if numbers // max(1, rows) <= limit:
        blocks = source.blocks(rows)
        if rows == 1 or source.stands(blocks):
            return blocks
        if numbers <= limit:
            return source.blocks(1)
    return torch.empty(0, dtype=x.dtype.to_real(), device=x.device)


@dataclass(frozen=True)
class _Products:
    """The Jacobian by VJPs."""

    f: Field
    t: float
    a: float
    x: Tensor
    fx: Tensor

    def blocks(self, rows: int) -> Tensor:
        """∂f/∂x as (rows, n, n), if no row of f depends on another row of x; the sum over rows of f if one does.

        Raises:
            Refusal: f depends on x, and the tape of f does not.
        """
        like = columns(self.x.detach(), rows)
        found = []
        for i in range(like.shape[1]):
            bar = torch.zeros_like(like)
            bar[:, i] = 1
            row = product(self.fx, self.x, shaped(bar, self.x))
            if row is None:  # of one cotangent as of all
                refuse_if_hidden(self.f, self.t, self.a, self.x.detach(), self.fx.detach())
                return like.new_zeros(rows, like.shape[1], like.shape[1])
            found.append(columns(row, rows))
        return torch.stack(found, 1)

    def stands(self, blocks: Tensor) -> bool:
        """Whether the blocks are all there is of the Jacobian: one random product tells, but for a set of measure 0."""
        draw = drawn(blocks.shape[:2], self.x)
        found = product(self.fx, self.x, shaped(draw, self.x))
        if found is None:
            return True
        true = columns(found, len(blocks))
        guess = torch.einsum("bi,bij->bj", draw, blocks)
        size = torch.einsum("bi,bij->bj", draw.abs(), blocks.abs())
        return bool(((true - guess).abs() <= 1e3 * torch.finfo(blocks.dtype).eps * size.max()).all())


@dataclass(frozen=True)
class _Differences:
    """The Jacobian by forward differences. They have half of the digits, which costs iterations and no accuracy."""

    f: Field
    t: float
    a: float
    x: Tensor
    fx: Tensor

    def blocks(self, rows: int) -> Tensor:
        """As those of `_Products`; of dependent rows the sum over rows of x."""
        start, slope = columns(self.x, rows), columns(self.fx, rows)
        reach = torch.finfo(start.dtype).eps ** 0.5 * moves(self.a, start, slope)
        found = []
        for i in range(start.shape[1]):
            moved = start.clone()
            moved[:, i] += reach[:, i]
            length = moved[:, i] - start[:, i]  # as rounding left it
            found.append((columns(self.f(self.t, shaped(moved, self.x)), rows) - slope) / length[:, None])
        return torch.stack(found, 2)

    def stands(self, blocks: Tensor) -> bool:
        """Whether the blocks are all there is of the Jacobian, to the digits that a difference has."""
        rows, reach = len(blocks), torch.finfo(blocks.dtype).eps ** 0.5
        start, slope = columns(self.x, rows), columns(self.fx, rows)
        along = drawn(start.shape, self.x) * moves(self.a, start, slope)
        true = (columns(self.f(self.t, shaped(start + reach * along, self.x)), rows) - slope) / reach
        guess = torch.einsum("bij,bj->bi", blocks, along)
        size = torch.einsum("bij,bj->bi", blocks.abs(), along.abs())
        return bool(((true - guess).abs() <= 1e-2 * size.max()).all())
