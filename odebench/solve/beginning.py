"""What is seen to before the first step: what f depends on, how it is held, and a structure that the scheme needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from odebench.gradients import Direct, Forward
from odebench.solve.answers import Answers, Asked
from odebench.solve.dependence import Wanted, known_beforehand, look, watched
from odebench.solve.held import lightly
from odebench.solve.pieces import Pair
from odebench.solve.structure import look_at_structure
from odebench.types import Field, Params


class Begun(NamedTuple):
    """What a solve goes on with."""

    field: Field
    params: Params  # the tensors that it differentiates in
    pair: Pair


def begin(
    user: Asked, answers: Answers, field: Field, y0: Tensor, ts: tuple[float, ...], pair: Pair, wanted: Wanted
) -> Begun:
    """Look at f, if the gradient needs that: `user` is f, `answers` its answers, and `field` these on states like y0.

    Raises:
        UsageError: f depends on what its gradient would be lost of.
        Refusal: f has not the structure without which the gradient would be wrong.
    """
    how, params = pair.gradient, wanted.params
    if not torch.is_grad_enabled() or isinstance(how, Direct):
        begun = asked = Begun(field, params or (), pair)
    elif isinstance(how, Forward) and (known := known_beforehand(user, params)) is not None:
        # Every call is recorded, the first one too.
        begun = asked = Begun(watched(field, known, pair.name, wanted.argument), known, pair)
    else:
        first = look(field, user, y0, ts, wanted, pair.name)
        asked = Begun(field, first.params, pair.under(first.guard))
        begun = asked._replace(field=first.begins(field))
        answers.f, answers.recorded = lightly(user, first.made), first.guard.world.asks_for_mode
    look_at_structure(user, field, asked.params, ts, y0, asked.pair)
    return begun
