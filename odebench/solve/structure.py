"""A structure of f that the scheme takes for granted, looked for before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from warnings import warn
from weakref import WeakSet

import torch
from torch import Tensor, nn

from odebench.errors import Refusal
from odebench.gradients import Invert, Sweep
from odebench.solve.pieces import Pair
from odebench.types import Field, Params, Structured, can

# Fields that had the structure when they were looked at. One that loses it later is solved at a lower order, which is
# not worth three evaluations in every solve; where a wrong gradient would come of it they are made.
_SPLIT: WeakSet[Any] = WeakSet()


def look_at_structure(user: Any, f: Field, params: Params, ts: tuple[float, ...], y0: Tensor, pair: Pair) -> None:
    """Warn of an f without the structure that the scheme asks for; `f` is `user`, taking numbers for t.

    Raises:
        Refusal: f has it not, and the gradient lives by undoing steps, which only the structure allows.
    """
    stepper = pair.stepper
    if not can(stepper, Structured):
        return
    undoing = isinstance(pair.gradient, Sweep) and isinstance(pair.gradient.recall, Invert)
    undoing = undoing and torch.is_grad_enabled() and any(x.requires_grad for x in (y0, *params))
    if not undoing and _is_known(user):
        return
    with _buffers_kept(user):
        # Between two times: at the first f may jump.
        fault = stepper.structure_fault(f, (ts[0] + ts[1]) / 2, y0)
    if fault is None:
        _remember(user)
    elif undoing:
        raise Refusal(
            f"{pair.name}: {fault}; steps are then not undone, and the gradient would be wrong: use gradient aca, or a "
            "scheme that undoes its steps whatever f is: alf, reversible_heun or coupled"
        )
    else:
        warn(
            f"{pair.name}: {fault}; the scheme is then of order 1 and keeps no area: use another, such as rk4",
            stacklevel=4,
        )


@contextmanager
def _buffers_kept(user: Callable[..., Any]) -> Iterator[None]:
    """Put back what f counts in its buffers, as BatchNorm does: looks are no calls of the solve."""
    before = [(b, b._version, b.clone()) for b in user.buffers()] if isinstance(user, nn.Module) else []
    yield
    with torch.no_grad():
        for buffer, version, kept in before:
            if buffer._version != version:
                buffer.copy_(kept)


def _is_known(user: Any) -> bool:
    try:
        return user in _SPLIT
    except TypeError:  # cannot be hashed
        return False


def _remember(user: Any) -> None:
    try:
        _SPLIT.add(user)
    except TypeError:  # cannot be hashed, or referred to weakly
        return
