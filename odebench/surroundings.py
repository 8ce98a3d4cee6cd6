"""What f sees beside its arguments and its parameters: random state, autocast, buffers, data, training mode.

A gradient that evaluates f again, after the forward pass is over, must find all of it as it was; backpropagation
through the solver needs no such care, for it evaluates nothing again. So a solve notes what was there, and the way back
puts it back for as long as it takes.

Random numbers cost 5 kB a step to draw again (the state of torch's CPU generator), so the states are kept only where f
was seen to draw after its first call; an f that draws once, at its first call, and keeps what it drew needs none.
torch.utils.checkpoint keeps them by default, whether anything is drawn or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from odebench.closure import OWN, Closure
from odebench.random_state import Source, equal, read, sources, write

_SCALARS = (bool, int, float, complex, str, type(None))
# A buffer of more entries than this holds data, and nobody writes to data in passing: it is not copied beforehand.
_LARGEST = 4096


class Moment(NamedTuple):
    """The random states of the devices, and the buffers that f writes to, at one moment of a solve."""

    random: tuple[Any, ...]
    buffers: tuple[tuple[Tensor, Tensor], ...]  # a buffer, and what it held


class Precision(NamedTuple):
    """What autocast does on one kind of device. Casts that are kept collect the gradients of all their uses in the
    lower precision, so whether they are kept matters too.
    """

    device: str
    enabled: bool
    dtype: torch.dtype
    kept: bool


class Data(NamedTuple):
    """What among the attributes of a module is data, or all its buffers. The module may keep the solve's result, and is
    held weakly.
    """

    module: ref[nn.Module]
    buffers: bool
    values: dict[str, Any]

    def present(self) -> dict[str, Any]:
        """Where they are now; empty where the module is gone."""
        module = self.module()
        return {} if module is None else module._buffers if self.buffers else vars(module)


@dataclass
class Surroundings:
    """Those of one solve. `moving` says that they change from call to call, and that moments are kept."""

    place: torch.device
    sources: tuple[Source, ...]
    asks_for_mode: bool
    autocast: tuple[Precision, ...]
    data: list[Data]
    before: Moment  # as the first call of f found them
    versions: list[tuple[list[Tensor], list[int]]]  # of the buffers of each module
    after: tuple[Any, ...] = ()  # the random states after the first call
    waiting: bool = False  # the answer of the first call is still to be used: nothing has happened since `before`
    moving: bool = False
    written: list[Tensor] = field(default_factory=list)
    seen: list[tuple[str, Tensor, int]] = field(default_factory=list)  # data, and their versions after the forward pass

    @classmethod
    def of(cls, closure: Closure, like: Tensor) -> Surroundings:
        """Before the first call of an f of this closure, on states like `like`."""
        data = [Data(ref(module), False, _data(vars(module))) for module in closure.modules]
        data += [Data(ref(module), True, dict(module._buffers)) for module in closure.modules if module._buffers]
        groups = [[each for each in module._buffers.values() if _is_there(each)] for module in closure.modules]
        versions = [(group, list(map(_version, group))) for group in groups if group]
        kept = tuple((each, each.clone()) for group in groups for each in group if each.numel() <= _LARGEST)
        found = sources(closure, like.device)
        before = Moment(read(found), kept)
        return cls(like.device, found, closure.asks_for_mode, _autocast(like.device), data, before, versions)

    def looked(self) -> None:
        """The first call is over: does f draw, or write to buffers?"""
        self.after = read(self.sources)
        self.wrote_more()
        written = {id(each) for each in self.written}
        self.before = Moment(self.before.random, tuple(pair for pair in self.before.buffers if id(pair[0]) in written))
        self.moving = bool(self.written) or not equal(self.before.random, self.after)
        self.waiting = True

    def enter(self) -> None:
        """A walk begins: the first of the solve, or one after it, where f jumps."""
        if not self.waiting:
            buffers = tuple((each, each.clone()) for each, _ in self.before.buffers)
            self.before = Moment(read(self.sources), buffers)
            self.after = self.before.random

    def restart(self) -> None:
        """Undo what the first call did: its answer is not used."""
        self.put(self.before)
        self.waiting = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside all is as before the first call, and afterwards as it was."""
        moment = Moment(read(self.sources), tuple((each, each.clone()) for each in self.written))
        self.put(self.before)
        try:
            yield
        finally:
            self.put(moment)

    def now(self) -> Moment:
        """This moment."""
        if self.waiting:
            return self.before
        return Moment(read(self.sources), tuple((each, each.clone()) for each in self.written))

    def put(self, moment: Moment) -> None:
        """As they were at `moment`."""
        write(self.sources, moment.random)
        for buffer, held in moment.buffers:
            buffer.data.copy_(held)  # not a change that autograd should complain of

    def drew_on(self) -> bool:
        """Whether random numbers were drawn since the first call."""
        return not equal(self.after, read(self.sources))

    def wrote_more(self) -> bool:
        """Whether buffers were written to that were left alone before; they count as written from now on.

        Where one of a module's is, all of them are: batch normalisation updates its means without a new version.
        """
        known = {id(each) for each in self.written}
        groups = [group for group, versions in self.versions if list(map(_version, group)) != versions]
        more = [each for group in groups for each in group if id(each) not in known]
        self.written += more
        return bool(more)

    @contextmanager
    def again(self) -> Iterator[None]:
        """For a backward pass: data, mode and autocast as they were, and in the end everything as it is now."""
        with ExitStack() as ending:
            if self.autocast != _autocast(self.place):
                for device, enabled, dtype, kept in self.autocast:
                    ending.enter_context(torch.autocast(device, dtype, enabled, kept))
            for data in self.data:
                attributes, values = data.present(), data.values
                changed = {name: attributes[name] for name in values if _differs(attributes, name, values[name])}
                if changed:
                    ending.callback(attributes.update, changed)
                    attributes.update({name: values[name] for name in changed})
            if self.moving:
                ending.callback(self.put, Moment(read(self.sources), tuple((x, x.clone()) for x in self.written)))
            yield

    def changed_in_place(self) -> list[str]:
        """Names of data that were written to since the forward pass: what they held is lost."""
        return [name for name, tensor, version in self.seen if _version(tensor) != version]

    def settle(self) -> None:
        """The forward pass is over. What f itself changed is no data of its own, but its memory: a counter, say."""
        for data in self.data:
            attributes, values = data.present(), data.values
            for name in [name for name in values if _differs(attributes, name, values[name])]:
                del values[name]
            # To buffers f may write again, in the next solve: moments are for that.
            tensors = ((name, x) for name, x in values.items() if isinstance(x, Tensor) and not data.buffers)
            self.seen += [(name, x, _version(x)) for name, x in tensors]


def moves(f: Callable[[Tensor, Tensor], Tensor], t: float, y: Tensor) -> tuple[bool, list[Tensor]]:
    """(whether f draws random numbers at every call, the buffers that it writes to).

    By two calls, which are undone, where its code or its modules look as if it did; else f is not called.
    """
    closure = Closure.of(f)
    may_draw = closure.may_draw or closure.generators or closure.libraries
    if not may_draw and not any(map(_may_move, closure.modules)):
        return False, []
    world, at = Surroundings.of(closure, y), torch.scalar_tensor(t, dtype=y.real.dtype, device=y.device)
    before = world.before
    try:
        with torch.no_grad():
            f(at, y.detach())
            world.looked()
            f(at, y.detach())
        drew = world.drew_on()
    except Exception:  # of somebody else's code; the solve will meet it, and whoever measures that reports it
        return False, []
    finally:
        world.put(before)
    return drew, world.written


def _may_move(module: nn.Module) -> bool:
    return bool(module._buffers) or isinstance(module, _DropoutNd)


@contextmanager
def undisturbed(f: Callable[..., Any], like: Tensor) -> Iterator[Callable[[], None]]:
    """For looks at f that are no part of a solve: random states and buffers are put back in the end, and by a call of
    what is yielded.
    """
    world = Surroundings.of(Closure.of(f), like)
    try:
        yield lambda: world.put(world.before)
    finally:
        world.put(world.before)


def _is_there(buffer: Tensor | None) -> TypeGuard[Tensor]:
    """Those of lazy modules come to be at the first call."""
    return buffer is not None and not nn.parameter.is_lazy(buffer)


def _version(buffer: Tensor) -> int:
    return 0 if buffer.is_inference() else buffer._version


def _data(attributes: dict[str, Any]) -> dict[str, Any]:
    """What of a module's attributes may be data: numbers, tensors that no graph hangs on, and the mode.

    A result that a module keeps of an earlier solve is none: to hold it would chain one solve to the next.
    """
    found = {
        name: value
        for name, value in attributes.items()
        if name not in OWN and (isinstance(value, _SCALARS) or (isinstance(value, Tensor) and value.grad_fn is None))
    }
    found["training"] = attributes["training"]
    return found


def _differs(attributes: dict[str, Any], name: str, value: Any) -> bool:
    if name not in attributes:
        return False
    present = attributes[name]
    if present is value:
        return False
    return isinstance(present, Tensor) or isinstance(value, Tensor) or bool(present != value)


def _autocast(place: torch.device) -> tuple[Precision, ...]:
    kinds, kept = dict.fromkeys(("cpu", place.type)), torch.is_autocast_cache_enabled()
    return tuple(
        Precision(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), kept)
        for kind in kinds
        if torch.amp.is_autocast_available(kind)
    )
