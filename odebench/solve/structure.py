"""A structure of f that the scheme takes for granted, looked for before the first step."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from odebench.autodiff import gradients, graphs_kept
from odebench.errors import Refusal
from odebench.gradients import Invert, Sweep
from odebench.solve.pieces import Pair
from odebench.solve.warned import warn_caller
from odebench.solvers.separable import moved_half
from odebench.surroundings import undisturbed
from odebench.types import Field, Params, Structured, can

# Fields that had the structure when they were looked at. One that loses it later is solved at a lower order, which is
# not worth three evaluations in every solve; where a wrong gradient would come of it they are made.
_SPLIT: WeakSet[Any] = WeakSet()
_ROUNDING = 1e3  # units in the last place of the largest derivative


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
    between = (ts[0] + ts[1]) / 2  # at the first of the times f may jump
    with undisturbed(user, y0) as again:

        def same(t: float | Tensor, y: Tensor) -> Tensor:
            again()  # every call draws the same numbers
            return f(t, y)

        fault = stepper.structure_fault(same, between, y0)
        if fault is None and undoing and y0.numel():
            with graphs_kept(pair.guard is not None and pair.guard.keeps):
                fault = _parameter_fault(same, params, between, y0)
    if fault is None:
        _remember(user)
    elif undoing:
        raise Refusal(
            f"{pair.name}: {fault}; steps are then not undone, and the gradient would be wrong: use gradient aca, or a "
            "scheme that undoes its steps whatever f is: alf, reversible_heun or coupled"
        )
    else:
        warn_caller(f"{pair.name}: {fault}; the scheme is then of order 1 and keeps no area: use another, such as rk4")


def _parameter_fault(f: Field, params: Params, t: float, y: Tensor) -> str | None:
    """In words, which half has a slope whose derivative in a parameter depends on that half; None where neither has.

    A field may split for the parameters as they are, friction of 0 say, and not for others; its steps are then undone,
    and the derivative in the friction is wrong.
    """
    if not params:
        return None
    y = y.detach()
    q, p = y.chunk(2, -1)
    for half, words, moved in (
        (0, "q' depends on q", torch.cat((moved_half(q), p), -1)),
        (1, "p' depends on p", torch.cat((q, moved_half(p)), -1)),
    ):
        for still, other in zip(*(_pulled(f, params, t, each, half) for each in (y, moved)), strict=True):
            gap, size = (still - other).abs().max(), torch.maximum(still.abs(), other.abs()).max()
            if bool(gap > _ROUNDING * torch.finfo(y.dtype).eps * size):
                return f"the derivative of f in a parameter does not split: of {words} after a change of it"
    return None


def _pulled(f: Field, params: Params, t: float, y: Tensor, half: int) -> list[Tensor]:
    """The derivative of the sum of a half of f in the parameters that are not empty."""
    with torch.enable_grad():
        slope = f(t, y).chunk(2, -1)[half]
    found = gradients(slope, params, torch.ones_like(slope))
    return [x.abs() if x.is_complex() else x for x in found if x.numel()]


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
