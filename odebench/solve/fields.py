"""The user's f: what it depends on, and its first answer, looked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.autodiff import leaves
from odebench.errors import UsageError
from odebench.spec import Spec
from odebench.types import Params

Asked = Callable[[Tensor, Any], Any]


def is_direct(gradient: Spec) -> bool:
    """Backpropagation finds by itself what f depends on."""
    return registry.gradients.get(gradient.name).name == "direct"


def params_of(f: Callable[..., Any], params: Sequence[Tensor] | None, gradient: Spec) -> tuple[Tensor, ...]:
    """What to differentiate; asked for rather than guessed, since a silent zero gradient is the worst answer.

    Raises:
        UsageError: it is not known.
    """
    if params is None and isinstance(f, nn.Module):
        params = tuple(f.parameters())
    if params is not None:
        # A tensor named twice would get its gradient twice.
        return tuple({id(p): p for p in params if p.requires_grad}.values())
    if is_direct(gradient):
        return ()
    raise UsageError(
        f"f is no torch.nn.Module, so gradient {gradient} needs params=(…), the tensors f depends on; () for none"
    )


def checked(f: Asked, known: tuple[Tensor, ...] | None) -> Asked:
    """f, its first call looked at: that it answers in the shapes of y (broadcasting would turn another one into a wrong
    solution) and on its device; that it leaves y alone; and, where `known` is given, that nothing else it depends on
    needs a gradient. An answer in another floating-point dtype is cast to that of y, here and in all later calls.
    """
    seen = narrow = False

    def call(t: Tensor, y: Any) -> Any:
        nonlocal seen, narrow
        if seen:
            return _cast(f(t, y), y) if narrow else f(t, y)
        before = _parts(y)
        versions = [None if part.is_inference() else part._version for part in before]
        if known is None:
            dy = f(t, y)
        else:
            dy = _without_strangers(f, t, tuple(part.detach() for part in before), isinstance(y, tuple), known)
        _look(dy, y)
        if any(v is not None and part._version != v for part, v in zip(before, versions, strict=True)):
            raise UsageError("f changed y in place; it must return dy/dt as a tensor of its own")
        narrow = any(d.dtype != part.dtype for d, part in zip(_parts(dy), before, strict=True))
        seen = True
        return _cast(dy, y) if narrow else dy

    return call


def _look(dy: Any, y: Any) -> None:
    before, answer = _parts(y), _parts(dy)
    shapes, wanted = [getattr(d, "shape", type(d)) for d in answer], [part.shape for part in before]
    if shapes != wanted or isinstance(y, Tensor) is not isinstance(dy, Tensor):
        tell = "a tensor" if isinstance(y, Tensor) else "a tuple of tensors"
        raise UsageError(f"f must return {tell} shaped like y, {[*map(tuple, wanted)]}; got {shapes}")
    for d, part in zip(answer, before, strict=True):
        if d.device != part.device:
            raise UsageError(f"f answered on {d.device} and y is on {part.device}; move f and its parameters there")
        if not (d.dtype.is_floating_point or d.dtype.is_complex) or (d.dtype.is_complex and not part.dtype.is_complex):
            raise UsageError(f"f answered in {d.dtype} and y is {part.dtype}; cast the answer, or y0, to the other's")


def _cast(dy: Any, y: Any) -> Any:
    if isinstance(y, Tensor):
        return _parts(dy)[0].to(y.dtype)
    return tuple(d.to(part.dtype) for d, part in zip(dy, y, strict=True))


def _without_strangers(f: Callable[..., Any], t: Tensor, y: tuple[Tensor, ...], many: bool, known: Params) -> Any:
    """f(t, y) without a graph.

    Raises:
        UsageError: it depends on a leaf that requires a gradient and is not `known`: that gradient would be lost.
    """
    with torch.enable_grad():
        dy = _parts(f(t.detach(), y if many else y[0]))
    named = {id(p) for p in known}
    for leaf in leaves([d for d in dy if isinstance(d, Tensor)]):
        if id(leaf) not in named:
            raise UsageError(
                f"f depends on a tensor of shape {tuple(leaf.shape)} that requires a gradient and is none of its "
                "parameters; name all that f depends on in params=(…), or detach it"
            )
    dy = tuple(d.detach() if isinstance(d, Tensor) else d for d in dy)
    return dy if many else dy[0]


def _parts(y: Any) -> tuple[Any, ...]:
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)
