"""A stand-in for torchdiffeq that solves everything by fine steps of rk4, its state in double precision.

f is called in the program's own precision, so that what is left are its roundings. Gradients are torchdiffeq's by
backpropagation through those steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
import torchdiffeq
from torch import Tensor

STEPS = 120
ACROSS = 1e-6  # of the whole span, from a jump to the steps' ends beside it; f's single precision tells them apart
State = Tensor | tuple[Tensor, ...]


def fine(func: Callable[..., Any], y0: State, t: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The solution at `t`, whatever method and tolerances are asked for."""
    if kwargs.get("event_fn") is not None:
        raise NotImplementedError("the truth of an event is not reckoned")
    options = kwargs.get("options") or (args[3] if len(args) > 3 else None) or {}
    dtypes = [each.dtype for each in _tuple(y0)]

    def in_double(time: Tensor, state: State) -> State:
        slopes = func(time.to(t.dtype), _cast(state, dtypes, like=y0))
        return _cast(slopes, [torch.float64] * len(dtypes), like=y0, shapes=[each.shape for each in _tuple(state)])

    def grid(_: object, __: object, times: Tensor) -> Tensor:
        return _grid(times, options)

    start = _cast(y0, [torch.float64] * len(dtypes), like=y0)
    ys = torchdiffeq.odeint(in_double, start, t.double(), method="rk4", options={"grid_constructor": grid})
    return _cast(ys, dtypes, like=y0)


def library() -> ModuleType:
    """A module with torchdiffeq's names."""
    module = ModuleType("fine")
    module.odeint = module.odeint_adjoint = fine
    module._impl = torchdiffeq._impl
    return module


def _grid(times: Tensor, options: Mapping[str, Any]) -> Tensor:
    """At least eight steps between two saved times or jumps, and `STEPS` in all; differentiable in `times`."""
    jumps = [options[name].to(times) for name in ("jump_t", "grid_points") if options.get(name) is not None]
    low, high = times.min(), times.max()
    # What f says at a jump itself is of one of its sides; both are met next to it.
    jumps = [torch.cat([each - ACROSS * (high - low), each + ACROSS * (high - low)]) for each in jumps]
    inner = torch.cat([times, *(each[(each > low) & (each < high)] for each in jumps)])
    nodes = torch.unique_consecutive(inner.sort(descending=bool(times[0] > times[-1])).values) if jumps else inner
    parts = max(8, -(-STEPS // (len(nodes) - 1)))
    share = torch.arange(parts).to(times) / parts
    return torch.cat([(nodes[:-1, None] + (nodes[1:] - nodes[:-1])[:, None] * share).flatten(), nodes[-1:]])


def _tuple(state: State) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else tuple(state)


def _cast(state: State, dtypes: list[torch.dtype], like: State, shapes: list[torch.Size] | None = None) -> State:
    parts = tuple(each.to(dtype) for each, dtype in zip(_tuple(state), dtypes, strict=True))
    if shapes is not None:
        parts = tuple(each.reshape(shape) for each, shape in zip(parts, shapes, strict=True))
    return parts[0] if isinstance(like, Tensor) else parts
