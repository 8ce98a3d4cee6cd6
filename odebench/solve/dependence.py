"""What f depends on, seen at its first call, and what of it a gradient is taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.autodiff import Edge, ancestry, held_by_somebody, made_of, moment
from odebench.closure import Closure
from odebench.errors import UsageError
from odebench.gradients.guard import Guard, Otherwise, refuse_stranger
from odebench.solve.faults import WrongType
from odebench.spec import Spec
from odebench.surroundings import Surroundings
from odebench.types import Field, Params

_ASIDE = 1e-7  # of the span and of the state


def is_direct(gradient: Spec) -> bool:
    """Backpropagation finds by itself what f depends on."""
    return registry.gradients.get(gradient.name).name == "direct"


def params_of(f: Callable[..., Any], params: Sequence[Tensor] | None, gradient: Spec) -> Params | None:
    """What to differentiate in, as it was given: without `params` f's own, None, if f is a module.

    Asked for rather than guessed, since a silent zero gradient is the worst answer.

    Raises:
        UsageError: it is not known, or `params` are no tensors.
    """
    if params is not None:
        given = tuple(params)
        for each in given:
            if not isinstance(each, Tensor):
                raise WrongType(f"params must be tensors that f depends on; got {type(each).__name__} {each!r:.60}")
        return wanted(given)
    if is_direct(gradient):
        return ()
    if isinstance(f, nn.Module):
        return None
    raise UsageError(
        f"f is no torch.nn.Module, so gradient {gradient} needs params=(…), the tensors f depends on; () for none"
    )


def wanted(params: Sequence[Tensor]) -> Params:
    """Those that require a gradient, each once: a tensor named twice would get its gradient twice."""
    return tuple({id(p): p for p in params if p.requires_grad}.values())


@dataclass
class First:
    """The first call of f, made before the solve begins, and its answer, which the solve then begins with."""

    guard: Guard
    params: Params  # what the solve differentiates in
    made: Params  # tensors on a graph that f depends on
    answer: Tensor | None
    aside: tuple[float, Tensor] | None = None  # where the call was made, if the solve makes its own at the start

    def begins(self, field: Field) -> Field:
        """`field`, its first answer at hand where it is asked for at the same time and state."""

        def asked(t: float | Tensor, y: Tensor) -> Tensor:
            if self.answer is not None:
                answer, self.answer, world = self.answer, None, self.guard.world
                if not torch.is_grad_enabled() and isinstance(t, float) and t == self.guard.t0 and self._is_start(y):
                    world.waiting = False
                    return answer
                world.restart()
                if self.aside is not None:
                    return self._again(field, t, y, answer)
            return field(t, y)

        return asked

    def _again(self, field: Field, t: float | Tensor, y: Tensor, answer: Tensor) -> Tensor:
        """The first call of the solve, after one beside it: does f answer as if it was the first?

        The call beside it is repeated only where the two answers are far apart, which a stiff f has of itself.
        """
        dy, world = field(t, y), self.guard.world
        assert self.aside is not None
        if not _same(dy, answer, 0.25):
            now = world.now()
            world.put(world.before)
            if not _same(field(*self.aside), answer, 0.5):
                warn(
                    f"{self.guard.name}: f answered otherwise when it was called again, so the solution is not that of "
                    "a first call, and neither is the gradient; compare with gradient `direct`",
                    Otherwise,
                    stacklevel=2,
                )
            world.put(now)
        return dy

    def _is_start(self, y: Tensor) -> bool:
        start = self.guard.y0
        return start is not None and y.shape == start.shape and torch.equal(y, start)


def look(
    field: Field,
    user: Callable[..., Any],
    start: Tensor,
    ts: tuple[float, ...],
    given: Params | None,
    name: str,
    strict: bool,
    aside: bool,
) -> First:
    """Call f once, with recording on.

    Args:
        field: f on states like `start`.
        user: f itself, whose modules and closures are looked into.
        ts: the times of the solve.
        given: the tensors to differentiate in; None for f's own parameters, those included that it makes only now.
        name: of solver and gradient, for messages.
        strict: other tensors on which f depends and that require a gradient are an error; else they are constants.
        aside: the answer is not used, and f is asked a little beside the start, lest it finds the answer in a cache.

    Raises:
        UsageError: f depends on something else that requires a gradient, or on it by a way that cannot be separated.
    """
    closure = Closure.of(user)
    world, since, y0 = Surroundings.of(closure, start), moment(), start.detach()
    at, asked = (ts[0] + _ASIDE * (ts[-1] - ts[0]), y0 * (1 + _ASIDE)) if aside else (ts[0], y0)
    with torch.enable_grad():
        answer = field(at, asked)
    world.looked()
    if given is None:
        assert isinstance(user, nn.Module), "for anything else params are asked for"
        given = wanted(tuple(user.parameters()))
    params = given
    made = [p for p in params if not p.is_leaf]
    found, edges = ancestry([answer], made, since)
    direct = [leaf for leaf in held_by_somebody(found) if not _shares(leaf, asked)]
    located = _located(edges, closure.tensors, name)
    upstream = {id(x): x for x in _upstream([*made, *located])}
    known = {id(p) for p in params}
    for leaf in [*direct, *_upstream(located)]:
        if strict and id(leaf) not in known:
            refuse_stranger(name, leaf)
    first = _first(world, name, params, located, direct, upstream, answer, y0, ts)
    first.aside = (at, asked) if aside else None
    first.guard.is_module = isinstance(user, nn.Module)
    first.guard.suspects = any(x.is_leaf and id(x) not in known for x in closure.tensors)
    return first


def _first(
    world: Surroundings,
    name: str,
    params: Params,
    located: list[Tensor],
    direct: list[Tensor],
    upstream: dict[int, Tensor],
    answer: Tensor,
    y0: Tensor,
    ts: tuple[float, ...],
) -> First:
    """What a tensor was made of before the solve gets its gradient by way of that tensor, once and as a whole."""
    used = {id(x) for x in direct}
    both = next((x for x in params if id(x) in upstream and id(x) in used), made_of((*params, *located)))
    if both is not None:
        raise UsageError(
            f"{name}: f depends on a tensor of shape {tuple(both.shape)} both directly and through a tensor made "
            "from it before the solve, and this gradient cannot separate the two; make that tensor inside f, or use "
            "gradient `direct`"
        )
    apart = tuple(p for p in params if id(p) not in upstream) + tuple(located)
    guard = Guard(
        world, name, known=(*params, *located), used=frozenset(used & {id(p) for p in params}),
        t0=ts[0], y0=y0, answer=answer.detach(), span=ts[-1] - ts[0],
    )  # fmt: skip
    return First(guard, apart, tuple(located), answer.detach())


def _located(edges: list[Edge], tensors: list[Tensor], name: str) -> list[Tensor]:
    """The tensors at which f's graph goes on into an older one."""
    at = {(x.grad_fn, x.output_nr): x for x in tensors if x.grad_fn is not None}
    lost = [edge for edge in edges if edge not in at]
    if lost:
        shape = tuple(lost[0][0]._input_metadata[lost[0][1]].shape)
        raise UsageError(
            f"{name}: f uses a tensor of shape {shape} that was made before the solve of what requires a gradient, and "
            "it is no attribute of f; name it in params=(…), or make it an attribute"
        )
    return [at[edge] for edge in edges]


def _upstream(made: list[Tensor]) -> list[Tensor]:
    """What these were made of."""
    found: list[Tensor] = []
    for x in made:
        found += ancestry([x])[0]
    return found


def _same(a: Tensor, b: Tensor, digits: float) -> bool:
    """To this share of all digits."""
    a, b = a.detach(), b.detach()
    near = torch.finfo(b.dtype).eps ** digits * torch.linalg.vector_norm(b)
    return a.shape == b.shape and bool(torch.linalg.vector_norm(a - b) <= near)


def _shares(leaf: Tensor, asked: Tensor) -> bool:
    """The state that f was asked at, which it may mark as requiring a gradient."""
    place = asked.untyped_storage().data_ptr()
    return place != 0 and leaf.untyped_storage().data_ptr() == place
