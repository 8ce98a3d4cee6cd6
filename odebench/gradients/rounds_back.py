"""The backward sweep over steps that samples took by themselves: round by round, from the last one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from odebench.autodiff import add_into, vjp, zeros
from odebench.gradients.return_pass import Return
from odebench.per_sample.rounds import Round, Rounds
from odebench.per_sample.rows import RowField
from odebench.per_sample.steps import Stride, advance, only, put, take
from odebench.types import Field, Params, Staged, State, Step, Tabled

if TYPE_CHECKING:
    from odebench.gradients.sweep import Sweep


class Way(NamedTuple):
    """What a walk in rounds left: the rounds, what the recall kept of them, the time and the state at the start."""

    rounds: Rounds
    memo: dict[int, State]
    t0: float
    start: State


def go_back(
    way: Way, how: Sweep, f: Field, stepper: Tabled, ys_bar: Tensor, params: Params, back: Return
) -> tuple[State, Params]:
    """(the cotangent of the state at the start, that of `params`), of the cotangent of the solution at all saved times.

    A sample that arrived comes back in the round in which it did, with the cotangent of what it gave there.
    """
    rounds, memo, t0, start = way
    rows = RowField(f, t0, start[0].detach() if rounds.whole else None)
    recalled = how.recall.rewind(memo, f, _ByRound(stepper, rounds, rows, back), rounds.numbered, start)
    values_bar = ys_bar.flatten(0, 1)
    bar: State = tuple(leaf.new_zeros(0, *leaf.shape[1:]) for leaf in start)
    params_bar = zeros(params)
    # Random numbers are drawn in the order of the stages, which a transpose by stages turns round.
    by_stage = how.by_stage and back.moments is None
    for index, before in zip(reversed(range(len(rounds))), recalled, strict=True):
        each = rounds[index]
        back.put(index)
        state = tuple(leaf.detach() for leaf in before)
        given_bar = values_bar[torch.from_numpy(each.values).to(values_bar.device)]
        if each.stay is not None:
            bar = put(tuple(map(torch.zeros_like, state)), each.stay, bar)
        own_bar, share = _pull(
            by_stage, rows, stepper, each, only(state, each.moved), only(bar, each.moved), given_bar, params
        )
        bar = own_bar if each.moved is None else put(bar, each.moved, own_bar)
        add_into(params_bar, share)
    return bar, params_bar


def _pull(
    by_stage: bool,
    f: RowField,
    stepper: Tabled,
    each: Round,
    state: State,
    bar: State,
    given_bar: Tensor,
    params: Params,
) -> tuple[State, Params]:
    """The transpose of a round, on those that step."""
    if each.inside is not None:  # what lies inside a step hangs on all of its stages, so it is taped whole

        def looked(*state: Tensor) -> State:
            after, given = advance(f, stepper, each, state)
            assert given is not None, "a saved time lies inside"
            return (*after, given)

        return vjp(looked, state, (*bar, given_bar), params)
    if len(each.landed):
        index = torch.from_numpy(each.landed).to(given_bar.device)
        bar = (bar[0].index_add(0, index, given_bar), *bar[1:])
    if not by_stage:
        return vjp(lambda *state: advance(f, stepper, each, state)[0], state, bar, params)
    assert isinstance(stepper, Staged)
    stride = Stride.of(f, each, state[0])
    # A slope is multiplied by dt before the step and divided by it after; so is its cotangent, after it and before.
    pulled, share = stepper.pull(stride.field, stride.t, stride.dt, stride.begun(state), stride.ended(bar), params)
    return stride.begun(pulled), share


@dataclass(frozen=True)
class _ByRound:
    """The scheme with a round for a step and its number for the time: what a recall walks over."""

    inner: Tabled
    rounds: Rounds
    rows: RowField
    back: Return

    @property
    def order(self) -> int:
        return self.inner.order

    @property
    def error_order(self) -> int | None:
        return self.inner.error_order

    def init(self, f: Any, t: float, y: Tensor) -> State:
        return self.inner.init(f, t, y)

    def step(self, f: Any, t: float, dt: float, state: State) -> Step:
        self.back.put(int(t))
        return Step(take(self.rows, self.inner, self.rounds[int(t)], state)[0])
