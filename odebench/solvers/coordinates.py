"""A state as real numbers, sample by sample, for the linear algebra of implicit stages.

A complex state is the real one of twice its size, since f need not be holomorphic; autograd's products are those of its
real and imaginary parts already.
"""

from __future__ import annotations

import torch
from torch import Tensor


def columns(x: Tensor, rows: int) -> Tensor:
    """The real numbers of `x`, shape (rows, n)."""
    real = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
    return real.reshape(rows, -1)


def shaped(numbers: Tensor, like: Tensor) -> Tensor:
    """The inverse of `columns`: shape and kind of `like`."""
    if not like.is_complex():
        return numbers.reshape(like.shape)
    return torch.view_as_complex(numbers.reshape(*like.shape, 2).contiguous())


def moves(a: float, x: Tensor, slope: Tensor) -> Tensor:
    """How far each of the `columns` may be said to move: its size, or its way in a step, or a share of the largest."""
    size = torch.maximum(x.abs(), (a * slope).abs())
    size = torch.maximum(size, 1e-3 * size.amax(1, keepdim=True))
    return torch.where((size > 0) & torch.isfinite(size), size, 1.0)


def drawn(shape: torch.Size | tuple[int, ...], like: Tensor) -> Tensor:
    """The same random numbers each time, drawn on the CPU and from a generator of their own."""
    draw = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float64, device="cpu")
    return draw.to(like.device, like.dtype.to_real())
