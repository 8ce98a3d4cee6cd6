"""The random states that an f may draw from, read and put back: torch's, numpy's, Python's, and generators it holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from odebench.closure import Closure


class Source(NamedTuple):
    """One generator. A state is a tensor, or anything that compares by value."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]


def sources(closure: Closure, place: torch.device) -> tuple[Source, ...]:
    """Those that an f of this closure may draw from: torch's own of the CPU and of the device always, numpy's and
    Python's where f's code names these modules, and every generator that it can reach.
    """
    found = [Source(torch.get_rng_state, torch.set_rng_state)]
    if place.type == "mps":
        found.append(Source(torch.mps.get_rng_state, torch.mps.set_rng_state))
    elif place.type in ("cuda", "xpu") and not _capturing(place):
        device: Any = torch.get_device_module(place)
        found.append(Source(lambda: device.get_rng_state(place), lambda state: device.set_rng_state(state, place)))
    if "random" in closure.libraries:
        found.append(Source(random.getstate, random.setstate))
    if "numpy" in closure.libraries:
        found.append(_of(np.random.mtrand._rand))
    return (*found, *map(_of, closure.generators))


def read(found: tuple[Source, ...]) -> tuple[Any, ...]:
    """All states."""
    return tuple(source.read() for source in found)


def write(found: tuple[Source, ...], states: tuple[Any, ...]) -> None:
    """Put them back."""
    for source, state in zip(found, states, strict=True):
        source.write(state)


def equal(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether nothing was drawn between two readings."""
    return all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(a, b, strict=True))


def _of(generator: Any) -> Source:
    """torch's, Python's or numpy's."""
    if isinstance(generator, torch.Generator):
        return Source(generator.get_state, generator.set_state)
    if isinstance(generator, random.Random):
        return Source(generator.getstate, generator.setstate)
    bits = generator
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
    elif isinstance(generator, np.random.RandomState):
        bits = generator._bit_generator

    def read() -> Any:
        return _Kept(bits.state)

    def write(kept: Any) -> None:
        bits.state = kept.state

    return Source(read, write)


class _Kept:
    """A state of numpy's, a mapping with arrays in it, made to compare by value."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and _flat(self.state) == _flat(other.state)

    __hash__ = None  # type: ignore[assignment]


def _flat(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _flat(each) for name, each in state.items()}
    return state.tolist() if hasattr(state, "tolist") else state


def _capturing(place: torch.device) -> bool:
    """Inside the capture of a graph the generator's state cannot be read."""
    return place.type == "cuda" and torch.cuda.is_current_stream_capturing()
