"""An f whose derivative autograd does not have, or has in part: noticed, and said why a stage is not solved."""

from __future__ import annotations

import torch
from torch import Tensor

from odebench.errors import Refusal
from odebench.solvers.coordinates import columns, drawn, moves, shaped
from odebench.types import Field

_HOW = "(it is computed under no_grad, on detached tensors, or outside of torch)"
_NEWTON = (
    "which implicit schemes need; take finite differences, method={'kvaerno5': {'jacobian': 'differences'}}, or an "
    "explicit scheme"
)
_GRADIENT = (
    "so no gradient can be taken through an implicit stage; write f in differentiable operations of torch, or solve "
    "under torch.no_grad()"
)


def refuse_if_hidden(f: Field, t: float, a: float, x: Tensor, fx: Tensor) -> None:
    """For a tape of f that does not begin at x: one evaluation beside x tells whether f depends on it all the same.

    Raises:
        Refusal: it does.
    """
    if _depends(f, t, a, x, fx):
        raise Refusal(f"f carries no derivative {_HOW}, {_NEWTON}")


def refuse_gradient_if_hidden(f: Field, t: float, a: float, x: Tensor, fx: Tensor, jacobian: Tensor) -> None:
    """The same at a stage that is to be differentiated; a Jacobian of differences, where there is one, tells for free.

    Raises:
        Refusal: f does depend on x.
    """
    if bool(jacobian.any()) if jacobian.numel() else _depends(f, t, a, x, fx):
        raise Refusal(f"f carries no derivative {_HOW}, {_GRADIENT}")


def _depends(f: Field, t: float, a: float, x: Tensor, fx: Tensor) -> bool:
    if not x.numel() or not bool(torch.isfinite(fx).all()):
        return False
    start, slope = columns(x, 1), columns(fx, 1)
    along = moves(a, start, slope) * drawn(start.shape, x)
    with torch.no_grad():
        beside = f(t, shaped(torch.add(start, along, alpha=torch.finfo(start.dtype).eps ** 0.5), x))
    return not torch.equal(beside, fx)


def refuse_if_cut(f: Field, t: float, a: float, x: Tensor, fx: Tensor, jacobian: Tensor) -> None:
    """Two evaluations about a point where f and its Jacobian, as blocks, are known tell whether it is whole.

    Said only where f is smooth, since its differences on both sides agree, and where what is missing slows Newton's
    method: at a kink or a jump no derivative would help.

    Raises:
        Refusal: it is not.
    """
    rows, eps = len(jacobian), torch.finfo(jacobian.dtype).eps
    start, slope = columns(x, rows), columns(fx, rows)
    size = moves(a, start, slope)
    along, h = size * drawn(start.shape, x), eps ** (1 / 3)
    ahead, behind = (columns(f(t, shaped(torch.add(start, along, alpha=k * h), x)), rows) for k in (1, -1))
    ahead, behind = (ahead - slope) / h, (slope - behind) / h
    true, told = (ahead + behind) / 2, torch.einsum("bij,bj->bi", jacobian, along)
    terms = slope.abs() + torch.einsum("bij,bj->bi", jacobian.abs(), start.abs())
    gap, noise = (true - told).abs(), 100 * eps / h * terms.amax(1, keepdim=True)
    smooth = (ahead - behind).abs() <= 0.1 * true.abs()
    wrong = (gap > 0.1 * (true.abs() + told.abs()) + noise) & (abs(a) * gap > 0.01 * size)
    if bool((smooth & wrong).any()):
        raise Refusal(f"a part of f carries no derivative {_HOW}, {_NEWTON}")
