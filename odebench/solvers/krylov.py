"""GMRES, for linear systems of which only products are known."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot

import torch
from torch import Tensor

Linear = Callable[[Tensor], Tensor]


def gmres(product: Linear, b: Tensor, tolerance: float, *, inner: int = 60, cycles: int = 1) -> tuple[Tensor, float]:
    """(x with product(x) ≈ b, the residual relative to b), both shaped like `b`; stops at `tolerance` if it can.

    Of complex vectors `product` need only be linear over the real numbers: their parts are solved for.

    Restarted after `inner` products, at most `cycles` times. One device sync a product. Vectors are orthogonalised
    twice: once loses what the last digits of an adjoint need.

    Source: Y. Saad, M. H. Schultz, SIAM J. Sci. Stat. Comput. 7 (1986).
    """
    if b.is_complex():
        parts, left = gmres(
            lambda v: torch.view_as_real(product(torch.view_as_complex(v)).resolve_conj()),
            torch.view_as_real(b.resolve_conj()),
            tolerance,
            inner=inner,
            cycles=cycles,
        )
        return torch.view_as_complex(parts), left
    size = float(torch.linalg.vector_norm(b))
    x, residual, left = torch.zeros_like(b), b, size
    if size == 0:
        return x, 0.0
    for cycle in range(cycles):
        x = x + _cycle(product, residual, left, tolerance * size, inner)
        if cycle + 1 == cycles:
            break
        before = left
        residual = b - product(x)
        left = float(torch.linalg.vector_norm(residual))
        if not tolerance * size < left < 0.5 * before:  # there, or as near as rounding lets it, or not finite
            break
    return x, left / size


def _cycle(product: Linear, residual: Tensor, size: float, enough: float, inner: int) -> Tensor:
    """The correction from one Krylov space."""
    basis = residual.new_empty((0, residual.numel()))
    following = residual.reshape(-1) / size
    triangle: list[list[float]] = []  # columns of R in H = QR, Q being the rotations
    turns: list[tuple[float, float]] = []
    right = [size]  # Qᵀ·(size, 0, …)
    for _ in range(min(inner, residual.numel())):
        basis = torch.cat([basis, following.unsqueeze(0)])
        w = product(following.view_as(residual)).reshape(-1)
        once = basis @ w
        w = w - once @ basis
        twice = basis @ w
        w = w - twice @ basis
        column = torch.cat([once + twice, torch.linalg.vector_norm(w).unsqueeze(0)]).tolist()
        for i, (c, s) in enumerate(turns):
            column[i], column[i + 1] = c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]
        length = hypot(column[-2], column[-1])
        if not length > 0:  # no further direction, or not finite
            break
        turns.append((column[-2] / length, column[-1] / length))
        height = column.pop()
        column[-1] = length
        triangle.append(column)
        c, s = turns[-1]
        right[-1:] = [c * right[-1], -s * right[-1]]
        norm = float(height)
        if abs(right[-1]) <= enough or norm <= 0:
            break
        following = w / torch.linalg.vector_norm(w)
    weights: list[float] = []  # of the basis, last first
    for i in reversed(range(len(triangle))):
        known = sum(
            triangle[j][i] * weight for j, weight in zip(reversed(range(i + 1, len(triangle))), weights, strict=True)
        )
        weights.append((right[i] - known) / triangle[i][i])
    if not weights:
        return torch.zeros_like(residual)
    return (basis.new_tensor(weights[::-1]) @ basis[: len(weights)]).view_as(residual)
