"""Whether a field splits into halves: q' = g(t, p), p' = h(t, q). Importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field

_MOVE = 0.05  # of the size of an entry and of all: enough to be seen, and near enough for f to be defined there
_ROUNDING = 1e3  # units in the last place of the largest slope, for an f in which the other half cancels


def structure_fault(f: Field, t: float, y: Tensor) -> str | None:
    """In words, which half of the last axis has a slope that depends on itself; None where neither has."""
    import torch

    y = y.detach()
    if not y.numel() or not bool(torch.isfinite(y).all()):
        return None
    q, p = y.chunk(2, -1)
    try:
        still = _asked(f, t, y).chunk(2, -1)
        first = _asked(f, t, torch.cat((moved_half(q), p), -1)).chunk(2, -1)[0]
        second = _asked(f, t, torch.cat((q, moved_half(p)), -1)).chunk(2, -1)[1]
    except Exception:  # an f that is not defined beside y: a fault at y itself shows in the solve
        return None
    found = [
        words
        for words, a, b in (("q' depends on q", still[0], first), ("p' depends on p", still[1], second))
        if _differ(a, b)
    ]
    if not found:
        return None
    return f"f does not split into q' = g(t, p) and p' = h(t, q), q and p the halves of the last axis: {_and(found)}"


def _asked(f: Field, t: float, y: Tensor) -> Tensor:
    """f's answer, copied; every call sees the random numbers that the solve will see, and leaves them so."""
    import torch

    devices = [y.device] if y.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        return f(t, y).detach().clone()


def moved_half(half: Tensor) -> Tensor:
    """Somewhere near, every entry moved."""
    from odebench.solvers.coordinates import drawn

    size = half.abs()
    largest = float(size.max())
    return half + _MOVE * (size + (largest or 1.0)) * drawn(half.shape, half)


def _differ(a: Tensor, b: Tensor) -> bool:
    import torch

    gap, size = (a - b).abs().max(), torch.maximum(a.abs(), b.abs()).max()
    return bool(gap > _ROUNDING * torch.finfo(a.dtype).eps * size)  # False where f is not finite


def _and(parts: list[str]) -> str:
    return ", and ".join(parts)
