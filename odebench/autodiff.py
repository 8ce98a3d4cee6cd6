"""Vector–Jacobian products and their transposes, and sums of parameter cotangents."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor

from odebench.errors import Refusal

Pull = Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]]
Backward = Callable[..., tuple[Tensor | None, ...]]
Edge = tuple[Any, int]  # a node of a graph, and which of its outputs

# Whether a transpose leaves the graph that it goes through as it is, for the next one to go through again.
_KEEPS: ContextVar[bool] = ContextVar("keeps", default=False)


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
    found = torch.autograd.grad(
        out, wrt, bar, allow_unused=True, create_graph=again, retain_graph=again or _KEEPS.get()
    )
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
    found = torch.autograd.grad(
        [out[i] for i in live], wrt, [bar[i] for i in live], allow_unused=True, retain_graph=_KEEPS.get()
    )
    full = tuple(torch.zeros_like(x) if g is None else g for x, g in zip(wrt, found, strict=True))
    return full[: len(inputs)], full[len(inputs) :]


def jvps(
    fn: Callable[[Tensor], Tensor], y: Tensor, params: Sequence[Tensor], tangents: Sequence[tuple[Tensor, int, int]]
) -> tuple[Tensor, list[Tensor]]:
    """(fn(y), its derivative along each tangent): a tangent of y, and with it that of real number j of parameter i, if
    i ≥ 0.

    By transposing the transpose, so that parameters which `fn` reaches in any way take part, as they do in every other
    gradient; the price is one VJP for all directions together. Differentiable where grad is on and y requires it.
    """
    again = torch.is_grad_enabled() and (y.requires_grad or any(v.requires_grad for v, _, _ in tangents))
    with torch.enable_grad():
        at = y if y.requires_grad and again else y.detach().requires_grad_()
        out = fn(at)
        if not out.requires_grad:
            return out, [torch.zeros_like(y) for _ in tangents]
        bar = torch.zeros_like(out, requires_grad=True)
        pulled = torch.autograd.grad(out, (at, *params), bar, allow_unused=True, create_graph=True)
    found = []
    for v, i, j in tangents:
        pairs = [(pulled[0], v)]
        if i >= 0 and pulled[1 + i] is not None:
            pairs.append((pulled[1 + i], _unit(params[i], j)))
        live = [(x, w) for x, w in pairs if x is not None and x.requires_grad]
        if not live:
            found.append(torch.zeros_like(y))
            continue
        xs, ws = zip(*live, strict=True)
        (pushed,) = torch.autograd.grad(xs, bar, ws, retain_graph=True, create_graph=again, allow_unused=True)
        found.append(torch.zeros_like(y) if pushed is None else pushed)
    return (out if again else out.detach()), found


def _unit(like: Tensor, j: int) -> Tensor:
    x = torch.zeros_like(like, requires_grad=False, memory_format=torch.contiguous_format)
    real_numbers(x)[j] = 1
    return x


def real_numbers(x: Tensor) -> Tensor:
    """The entries of `x` in one row; of a complex one real and imaginary parts in turn. A view where `x` is contiguous.

    autograd's products and cotangents are those of these numbers, whether or not a function is holomorphic.
    """
    return (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x).reshape(-1)


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


def once(backward: Backward) -> Backward:
    """The `backward` of an autograd function that cannot be differentiated itself, and says so when it is tried.

    What it gives hangs on all that was saved and on the cotangents. torch's own `once_differentiable` looks at the
    cotangents alone: where these are constant, as those of a sum are, it takes the gradient for a constant too, and a
    second derivative through it is silently left out.

    Raises:
        Refusal: what it gave is differentiated.
    """

    @wraps(backward)
    def guarded(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            outs = backward(ctx, *bars)
        if not torch.is_grad_enabled():
            return outs
        found = [out for out in outs if out is not None]
        fixed = iter(_Once.apply(len(found), *found, *ctx.saved_tensors, *bars))  # type: ignore[no-untyped-call]
        return tuple(None if out is None else next(fixed) for out in outs)

    return guarded


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, *xs: Tensor) -> tuple[Tensor, ...]:
        return xs[:count]

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[None, ...]:
        raise Refusal("this gradient gives first derivatives only; take second ones by gradient `direct`")


@contextmanager
def graphs_kept(kept: bool) -> Iterator[None]:
    """Where `kept`, transposes in here may go through a graph that is older than they are, one after the other.

    Not always so: a graph that is let go of as it is gone through takes less memory.
    """
    token = _KEEPS.set(kept)
    try:
        yield
    finally:
        _KEEPS.reset(token)


class Ancestry(NamedTuple):
    """What tensors were made of: the leaves that require a gradient, the edges to what is older, the stops met."""

    leaves: list[Tensor]
    edges: list[Edge]
    stops: list[Tensor]


def leaves(outs: Sequence[Tensor], stops: Sequence[Tensor] = ()) -> list[Tensor]:
    """The leaf tensors that `outs` depend on and that require a gradient, but by way of `stops`."""
    return ancestry(outs, stops).leaves


def ancestry(outs: Sequence[Tensor], stops: Sequence[Tensor] = (), since: int | None = None) -> Ancestry:
    """What `outs` were made of.

    A graph is walked no further than `stops`, nor beyond an edge to a node that was made before the moment `since`, as
    `moment` gives it, in this thread.
    """
    barred = {(stop.grad_fn, stop.output_nr): stop for stop in stops}
    found = {id(out): out for out in outs if out.is_leaf and out.requires_grad}
    edges: dict[Edge, None] = {}
    met: dict[int, Tensor] = {}
    seen: set[Any] = set()
    stack: list[Edge] = [(out.grad_fn, out.output_nr) for out in outs if out.grad_fn is not None]
    while stack:
        node, output = stack.pop()
        if (node, output) in barred:
            stop = barred[node, output]
            met[id(stop)] = stop
            continue
        leaf = getattr(node, "variable", None)  # of autograd's AccumulateGrad
        if isinstance(leaf, Tensor):
            found[id(leaf)] = leaf
        elif since is not None and node._sequence_nr() < since:
            edges[node, output] = None
        elif node not in seen:
            seen.add(node)
            stack += [(below, nr) for below, nr in node.next_functions if below is not None]
    return Ancestry(list(found.values()), list(edges), list(met.values()))


def made_of(made: Sequence[Tensor]) -> Tensor | None:
    """One of these tensors that another of them was made of, if there is one."""
    own = {(x.grad_fn, x.output_nr): x for x in made if x.grad_fn is not None}
    stack = [edge for node, _ in own for edge in node.next_functions]
    seen: set[Any] = set()
    while stack:
        node, output = stack.pop()
        if node is None:
            continue
        if (node, output) in own:
            return own[node, output]
        if node not in seen:
            seen.add(node)
            stack += node.next_functions
    return None


def held_by_somebody(found: list[Tensor]) -> list[Tensor]:
    """Of the leaves that `ancestry` found those that somebody else holds: one that f made in its call is nobody's."""
    return [found[i] for i in range(len(found)) if sys.getrefcount(found[i]) > _hands_of_nobody()]


@cache
def _hands_of_nobody() -> int:
    """References to such a leaf: measured, since it depends on the versions of Python and of torch."""
    with torch.enable_grad():
        out = torch.zeros((), requires_grad=True) * 1.0
    found = ancestry([out]).leaves  # while the graph is there: it has a hand on its leaves too
    return sys.getrefcount(found[0])


def moment() -> int:
    """Graph nodes that this thread makes from now on have this sequence number or a higher one."""
    number: int = torch._C._autograd._get_sequence_nr()
    return number


def kept_for_more() -> bool:
    """Inside a backward pass: whether its graph is kept for another one. Where torch does not tell, it may be."""
    try:
        kept: bool = torch._C._autograd._get_current_graph_task_keep_graph()
    except (AttributeError, RuntimeError):
        return True
    return kept


@contextmanager
def unhooked(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Hooks on these tensors rest: they are meant for a gradient as a whole, and a share of one must not meet them."""
    resting = [(hooks, dict(hooks)) for x in tensors if (hooks := x._backward_hooks)]
    for hooks, _ in resting:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, held in resting:
            hooks.update(held)
