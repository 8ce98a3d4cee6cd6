"""What f depends on, seen at its first call, and what of it a gradient is taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.autodiff import Ancestry, Edge, ancestry, held_by_somebody, made_of, moment
from odebench.closure import Closure
from odebench.errors import UsageError
from odebench.gradients.guard import Guard, refuse_stranger
from odebench.random_state import write
from odebench.solve.faults import WrongType
from odebench.spec import Spec
from odebench.surroundings import Surroundings
from odebench.types import Field, Params


def is_direct(gradient: Spec) -> bool:
    """Backpropagation finds by itself what f depends on."""
    return registry.gradients.get(gradient.name).name == "direct"


def params_of(
    f: Callable[..., Any], params: Sequence[Tensor] | None, gradient: Spec, argument: str = "params"
) -> Params | None:
    """What to differentiate in, as it was given: without `params` f's own, None, if f is a module.

    `argument` is what `params` are called where they are given.

    Asked for rather than guessed, since a silent zero gradient is the worst answer.

    Raises:
        UsageError: it is not known, or `params` are no tensors.
    """
    if params is not None:
        given = tuple(params)
        for each in given:
            if not isinstance(each, Tensor):
                raise WrongType(f"{argument} must be tensors f depends on; got {type(each).__name__} {each!r:.60}")
        return wanted(given)
    if is_direct(gradient):
        return ()
    if isinstance(f, nn.Module):
        return None
    raise UsageError(
        f"f is no torch.nn.Module, so gradient {gradient} needs {argument}=(…), the tensors f depends on; () for none"
    )


def wanted(params: Sequence[Tensor]) -> Params:
    """Those that require a gradient, each once: a tensor named twice would get its gradient twice."""
    return tuple({id(p): p for p in params if p.requires_grad}.values())


@dataclass(frozen=True)
class Wanted:
    """The tensors to differentiate in; None for f's own parameters, those included that its first call makes.

    `strict`: another tensor that f depends on and that requires a gradient is an error; else it is a constant.
    `argument` is the one by which whoever solves can name them, for messages.
    """

    params: Params | None
    strict: bool = True
    argument: str = "params"


def watched(field: Field, params: Params, name: str, argument: str) -> Field:
    """`field` for a gradient that records every call: what f depends on is looked at in the first one.

    `name` and `argument` are those of messages.

    Raises (when it is called):
        UsageError: f depends on something beside `params` that requires a gradient.
    """
    known, seen = {id(p) for p in params}, False

    def asked(t: float | Tensor, y: Tensor) -> Tensor:
        nonlocal seen
        dy = field(t, y)
        if not seen:
            seen = True
            for leaf in held_by_somebody(ancestry([dy], [] if y.is_leaf else [y]).leaves):
                if id(leaf) not in known and not _shares(leaf, y):
                    refuse_stranger(name, leaf, argument=argument)
        return dy

    return asked


def known_beforehand(f: Callable[..., Any], params: Params | None) -> Params | None:
    """The leaves to differentiate in, if that is what they are; None where only f's first call can tell."""
    found = params
    if found is None:
        own = list(f.parameters()) if isinstance(f, nn.Module) else []
        found = wanted(own) if own and not any(map(nn.parameter.is_lazy, own)) else None
    return found if found is not None and all(p.is_leaf for p in found) else None


@dataclass
class First:
    """The first call of f, made before the solve begins, and its answer, which the solve then begins with."""

    guard: Guard
    params: Params  # what the solve differentiates in
    made: Params  # tensors on a graph that f depends on
    answer: Tensor | None

    def begins(self, field: Field) -> Field:
        """`field`, its first answer at hand where it is asked for at the same time and state."""

        def asked(t: float | Tensor, y: Tensor) -> Tensor:
            if self.answer is not None:
                answer, self.answer, world = self.answer, None, self.guard.world
                if not torch.is_grad_enabled() and isinstance(t, float) and t == self.guard.t0 and self._is_start(y):
                    world.waiting = False
                    return answer
                world.restart()
                dy = field(t, y)
                # What f drew once, in the call that is not used, and keeps: other numbers come after those.
                write(world.sources, world.after)
                return dy
            return field(t, y)

        return asked

    def _is_start(self, y: Tensor) -> bool:
        start = self.guard.y0
        return start is not None and y.shape == start.shape and torch.equal(y, start)


def look(
    field: Field,
    user: Callable[..., Any],
    start: Tensor,
    ts: tuple[float, ...],
    want: Wanted,
    name: str,
) -> First:
    """Call f once, with recording on.

    Args:
        field: f on states like `start`.
        user: f itself, whose modules and closures are looked into.
        ts: the times of the solve.
        want: what to differentiate in.
        name: of solver and gradient, for messages.

    Raises:
        UsageError: f depends on something else that requires a gradient, or on it by a way that cannot be separated.
    """
    closure = Closure.of(user)
    world, since, y0 = Surroundings.of(closure, start), moment(), start.detach()
    with torch.enable_grad():
        answer = field(ts[0], y0)
    world.looked()
    params = want.params
    if params is None:
        assert isinstance(user, nn.Module), "for anything else params are asked for"
        params = wanted(tuple(user.parameters()))
    made = [p for p in params if not p.is_leaf]
    found = ancestry([answer], made, since)
    direct = [leaf for leaf in held_by_somebody(found.leaves) if not _shares(leaf, y0)]
    located = _located(found.edges, closure.tensors, want.argument, name)
    origins = [ancestry([x], made) for x in located]
    known = {id(p) for p in params}
    for leaf in [*direct, *(leaf for origin in origins for leaf in origin.leaves)]:
        if want.strict and id(leaf) not in known:
            refuse_stranger(name, leaf, argument=want.argument)
    used = {id(x) for x in (*direct, *found.stops)}
    apart, keeps = _apart(name, want, params, used, located, origins)
    guard = Guard(
        world, name, known=(*params, *located), used=frozenset({id(x) for x in direct} & known),
        t0=ts[0], y0=y0, answer=answer.detach(), span=ts[-1] - ts[0], strict=want.strict, argument=want.argument,
        is_module=isinstance(user, nn.Module), keeps=keeps,
        suspects=want.strict and any(x.is_leaf and id(x) not in known for x in closure.tensors),
    )  # fmt: skip
    return First(guard, apart, tuple(located), answer.detach())


def _apart(
    name: str, want: Wanted, params: Params, used: set[int], located: list[Tensor], origins: list[Ancestry]
) -> tuple[Params, bool]:
    """(what to differentiate in so that no share is counted twice, whether older graphs are gone through again).

    What was made before the solve, `located`, of parameters gets its gradient as a whole, and they theirs once from
    it. Two things ask for theirs at every evaluation instead, through the graph that is older than the solve: f depends
    on such a parameter in another way too (`used`), and nothing tells the two shares apart; or `want` names the
    parameters for the adjoint, and torchdiffeq's leaves that graph as it is, for another solve to go back through.

    Raises:
        UsageError: a parameter was itself made of another one that f depends on.
    """
    own = {id(p) for p in params}
    below = [{id(x) for x in (*origin.leaves, *origin.stops)} & own for origin in origins]
    through = set().union(*below)
    again = bool(through) and (not want.strict or bool(through & used) or made_of(located) is not None)
    within = {id(x) for x in _upstream([p for p in params if not p.is_leaf])}
    if again:
        whole = [x for x, mine in zip(located, below, strict=True) if not mine]
        apart = tuple(p for p in params if id(p) not in within) + tuple(whole)
        both = next((p for p in params if id(p) in within and id(p) in used | through), None)
    else:
        apart = tuple(p for p in params if id(p) not in within | through) + tuple(located)
        both = next((p for p in params if id(p) in within and id(p) in used), None)
    both = both if both is not None else made_of(apart)
    if both is not None:
        raise UsageError(
            f"{name}: {want.argument} hold a tensor of shape {tuple(both.shape)} and another that was made from it, "
            "and f depends on both; name the former alone, or use odeint with gradient `direct`"
        )
    return apart, again


def _located(edges: list[Edge], tensors: list[Tensor], argument: str, name: str) -> list[Tensor]:
    """The tensors at which f's graph goes on into an older one."""
    at = {(x.grad_fn, x.output_nr): x for x in tensors if x.grad_fn is not None}
    lost = [edge for edge in edges if edge not in at]
    if lost:
        shape = tuple(lost[0][0]._input_metadata[lost[0][1]].shape)
        raise UsageError(
            f"{name}: f uses a tensor of shape {shape} that was made before the solve of what requires a gradient, and "
            f"it is no attribute of f; name it in {argument}=(…), or make it an attribute"
        )
    return [at[edge] for edge in edges]


def _upstream(made: list[Tensor]) -> list[Tensor]:
    """The leaves that these were made of."""
    return [leaf for x in made for leaf in ancestry([x]).leaves]


def _shares(leaf: Tensor, asked: Tensor) -> bool:
    """The state that f was asked at, which it may mark as requiring a gradient; or nothing at all."""
    if not leaf.numel():
        return True
    place = asked.untyped_storage().data_ptr()
    return place != 0 and leaf.untyped_storage().data_ptr() == place
