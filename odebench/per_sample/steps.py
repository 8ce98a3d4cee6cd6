"""One step of some samples, each from a time of its own and by a length of its own.

A step of an explicit scheme depends on dt and f by their product alone. So samples step together as unit steps of dt·f,
dt and t columns, and slopes in the state, all leaves but the first, are multiplied by dt for the step and divided by it
after. The state holds the samples that are under way and no others: what is done costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from odebench.controllers.by_sample import column
from odebench.per_sample.rounds import Inside, Round, Rounds
from odebench.per_sample.rows import RowField
from odebench.solvers.runge_kutta import combine
from odebench.types import Field, State, Step, Tabled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


class Stride(NamedTuple):
    """What a scheme is given for a step of some samples: a field, a time and a length.

    With `h`, their lengths as a column, the field is dt·f as a function of the place in the step, 0 its start and 1 its
    end. A sample that is tried alone steps as ever; one that is all that was accepted of several keeps the form in
    which it was tried, so that its slopes mean the same in the trial, in its interpolant and on the way back.
    """

    field: Field
    t: float
    dt: float
    h: Tensor | None

    @classmethod
    def of(cls, f: RowField, each: Round, like: Tensor) -> Stride:
        """Of those that step in a round; `like` is their y."""
        return cls.tried(f, each.rows, each.t, each.dt, like, each.several)

    @classmethod
    def tried(cls, f: RowField, rows: Places, t: Floats, dt: Floats, like: Tensor, several: bool) -> Stride:
        """Of the samples `rows`, from times `t` by lengths `dt`; `several` tells whether they are tried with others."""
        own = f.of(rows)
        if not several:
            return cls(own, float(t[0]), float(dt[0]), None)
        start, along = column(t, like), column(dt, like)
        h = along.to(like.real.dtype if like.is_complex() else like.dtype)

        def field(place: float, y: Tensor) -> Tensor:
            return own(start + along * place, y) * h

        return cls(field, 0.0, 1.0, h)

    def begun(self, state: State) -> State:
        """The state as the step begins with it; the transpose of `ended`."""
        h = self.h
        return state if h is None else (state[0], *(slope * h for slope in state[1:]))

    def ended(self, state: State) -> State:
        """The state that is left of what the step ended with; the transpose of `begun` is this too, of cotangents."""
        h = self.h
        return state if h is None else (state[0], *(slope / h for slope in state[1:]))


def trial(f: RowField, stepper: Tabled, rows: Places, t: Floats, dt: Floats, state: State) -> tuple[Step, list[Tensor]]:
    """(a step of the samples `rows`, whose state this is, with its error estimate; the scheme's slopes)."""
    stride = Stride.tried(f, rows, t, dt, state[0], len(rows) > 1)
    y1, ks = stepper.stages(stride.field, stride.t, stride.dt, stride.begun(state), len(stepper.tableau.b))
    step = stepper.judged(stride.dt, y1, ks)
    return step._replace(state=stride.ended(step.state)), ks


def advance(f: RowField, stepper: Tabled, each: Round, state: State) -> tuple[State, Tensor | None]:
    """(the state after a round, what it gives), from the state of those that step alone."""
    tableau, stride = stepper.tableau, Stride.of(f, each, state[0])
    needed = len(tableau.b) if tableau.fsal or each.inside is not None else tableau.size
    y1, ks = stepper.stages(stride.field, stride.t, stride.dt, stride.begun(state), needed)
    after = stride.ended((y1, ks[-1]) if tableau.fsal else (y1,))
    return after, _given(f, stepper, each, state[0], y1, ks)


def take(f: RowField, stepper: Tabled, each: Round, state: State) -> tuple[State, Tensor | None]:
    """(the state after a round, what it gives), of all that are under way. Without a judge, and so without a trial."""
    after, given = advance(f, stepper, each, only(state, each.moved))
    if each.moved is not None:
        after = put(state, each.moved, after)
    return only(after, each.stay), given


def settle(
    f: RowField, stepper: Tabled, each: Round, state: State, step: Step, ks: list[Tensor]
) -> tuple[State, Tensor | None]:
    """What `take` gives, of a trial of all that are under way, some of them perhaps rejected.

    Where there is a graph the others are stepped anew: a trial that was thrown away must not be in it, for what is not
    finite there would come back, of a cotangent of 0, as not a number.
    """
    if each.moved is None:
        own, after = state, step.state
    elif step.state[0].requires_grad:
        return take(f, stepper, each, state)
    else:
        own, after = only(state, each.moved), only(step.state, each.moved)
        ks = [*only(tuple(ks), each.moved)] if each.inside is not None else []
    given = _given(f, stepper, each, own[0], after[0], ks)
    whole = after if each.moved is None else put(state, each.moved, after)
    return only(whole, each.stay), given


def follow(f: Field, stepper: Tabled, rounds: Rounds, ts: tuple[float, ...], state: State, keep: Any) -> list[Tensor]:
    """The solution at `ts`, by the very steps of `rounds`."""
    y0, found = state[0], []
    rows = RowField(f, ts[0], y0.detach() if rounds.whole else None)
    for index, each in enumerate(rounds):
        if keep is not None:
            keep(index, state, len(rounds))
        state, given = take(rows, stepper, each, state)
        found.append(given)
    return gathered(y0, rounds, found, len(ts))


def gathered(y0: Tensor, rounds: Rounds, found: Sequence[Tensor | None], saves: int) -> list[Tensor]:
    """The solution at each saved time, shaped like `y0`, of what the rounds gave."""
    at = np.concatenate([np.arange(len(y0)), *(each.values for each in rounds)])
    flat = torch.cat([y0, *(given for given in found if given is not None)])
    order = torch.from_numpy(np.argsort(at, kind="stable")).to(y0.device)
    return [*flat.index_select(0, order).view(saves, *y0.shape)]


def _given(f: RowField, stepper: Tabled, each: Round, y: Tensor, y1: Tensor, ks: list[Tensor]) -> Tensor | None:
    """What a round gives; `y`, `y1` and `ks` are of those that step."""
    parts = []
    if len(each.landed):
        parts.append(only((y1,), None if len(each.landed) == len(y1) else each.landed)[0])
    if each.inside is not None:
        stride = Stride.of(f, each, y)
        parts.append(_interpolated(stride, stepper, each.inside, y, ks))
    return torch.cat(parts) if len(parts) > 1 else parts[0] if parts else None


def _interpolated(stride: Stride, stepper: Tabled, inside: Inside, y: Tensor, ks: list[Tensor]) -> Tensor:
    """By the scheme's continuous extension; its extra stages are evaluated for all steps of the round."""
    dense, more, (field, t, dt, _) = stepper.tableau.interpolant, [*ks], stride
    for c, row in zip(dense.c, dense.rows, strict=True):
        more.append(field(t + c * dt, combine(y, dt, row, more)))
    index = torch.from_numpy(inside.step).to(y.device)
    x = y.index_select(0, index)
    for j, weight in dense.weights(inside.place):
        x = x + more[j].index_select(0, index) * column(dt * weight, y).to(y.dtype)
    return x


def only(state: State, places: Places | None) -> State:
    """The samples at these places; None is all."""
    if places is None:
        return state
    index = torch.from_numpy(places).to(state[0].device)
    return tuple(leaf.index_select(0, index) for leaf in state)


def put(state: State, places: Places, own: State) -> State:
    """`state`, with `own` at these places."""
    index = torch.from_numpy(places).to(state[0].device)
    return tuple(leaf.index_copy(0, index, new) for leaf, new in zip(state, own, strict=True))
