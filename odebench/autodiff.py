"""Vector–Jacobian products, and sums of parameter cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Pull = Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]]


def tape(fn: Callable[[Tensor], Tensor], x: Tensor, params: Sequence[Tensor]) -> tuple[Tensor, Pull]:
    """(fn(x), its transpose); the transpose maps a cotangent to those of x and of `params`, once."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = fn(x)

    def pull(bar: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x_bar, *params_bar = gradients(out, (x, *params), bar)
        return x_bar, tuple(params_bar)

    return out.detach(), pull


def gradients(out: Tensor, wrt: Sequence[Tensor], bar: Tensor, again: bool = False) -> list[Tensor]:
    """Cotangents of `wrt`; zeros where `out` does not depend on one. Differentiable themselves if `again`."""
    if not out.requires_grad:
        return [torch.zeros_like(x) for x in wrt]
    found = torch.autograd.grad(out, wrt, bar, allow_unused=True, create_graph=again)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(wrt, found, strict=True)]


def vjp(
    fn: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], bar: Sequence[Tensor], params: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Cotangents of `inputs` and of `params` through `fn(*inputs)`; zeros where nothing depends on one."""
    with torch.enable_grad():
        inputs = tuple(x.detach().requires_grad_() for x in inputs)
        out = fn(*inputs)
    wrt = (*inputs, *params)
    live = [i for i, o in enumerate(out) if o.requires_grad]
    if not live:
        return tuple(map(torch.zeros_like, inputs)), tuple(map(torch.zeros_like, params))
    found = torch.autograd.grad([out[i] for i in live], wrt, [bar[i] for i in live], allow_unused=True)
    full = tuple(torch.zeros_like(x) if g is None else g for x, g in zip(wrt, found, strict=True))
    return full[: len(inputs)], full[len(inputs) :]


def zeros(params: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A fresh total to add shares into. Never a share itself: autograd may hand out one tensor twice."""
    return tuple(map(torch.zeros_like, params))


def add_into(total: Sequence[Tensor], share: Sequence[Tensor]) -> None:
    """total += share, in one fused call."""
    if total:
        torch._foreach_add_(list(total), list(share))


def add(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """xs + ys as fresh tensors."""
    return tuple(torch._foreach_add(list(xs), list(ys))) if xs else ()


def leaves(outs: Sequence[Tensor]) -> list[Tensor]:
    """The leaf tensors that `outs` depend on and that require a gradient."""
    found = {id(out): out for out in outs if out.is_leaf and out.requires_grad}
    stack: list[Any] = [out.grad_fn for out in outs if out.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        leaf = getattr(node, "variable", None)  # of autograd's AccumulateGrad
        if isinstance(leaf, Tensor):
            found[id(leaf)] = leaf
        fresh = {below for below, _ in node.next_functions if below is not None} - seen
        seen |= fresh
        stack += fresh
    return list(found.values())
