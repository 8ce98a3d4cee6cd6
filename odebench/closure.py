"""What a right-hand side can reach: the modules it may call, and the tensors it may use that require a gradient.

Found by looking, without a call: attributes of modules, closures, names of globals, bound and partial arguments.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# What every module has is of torch's own: neither data nor results are kept there.
OWN = frozenset(vars(nn.Module()))
_DEPTH = 4  # functions and objects that are looked into, one inside another
_MOST = 64  # entries of a list or a mapping that are looked at: what has more is data
_ALL = 2000  # values looked at in all, so that an f that holds a whole program costs no more than a millisecond
_GENERATORS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
_DRAWING = frozenset({"numpy", "random"})
# Names by which code draws random numbers.
_DRAWS = ("rand", "dropout", "bernoulli", "normal", "multinomial", "poisson", "exponential", "uniform", "choice")
_LIBRARIES = frozenset({"torch", "numpy", "scipy", "builtins", "functools", "typing", "math"})


@dataclass
class Closure:
    """`modules` are those it may call, submodules included, each once; `tensors` those that require a gradient and are
    no parameters of these modules.
    """

    modules: list[nn.Module] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    generators: list[Any] = field(default_factory=list)  # of random numbers: torch's, numpy's, Python's
    libraries: set[str] = field(default_factory=set)  # `numpy` and `random`, where its code names them
    asks_for_mode: bool = False  # its code asks whether a graph is recorded
    may_draw: bool = False  # its code has names by which random numbers are drawn
    _seen: set[int] = field(default_factory=set)
    _left: int = _ALL

    @classmethod
    def of(cls, f: Callable[..., Any]) -> Closure:
        """That of `f`."""
        found = cls()
        found._visit(f, _DEPTH)
        # Inside `parametrize.cached()` a parametrised weight is computed once and kept there.
        found._all(parametrize._cache.values(), 1)
        return found

    def _visit(self, x: Any, depth: int) -> None:
        if isinstance(x, Tensor):
            if x.requires_grad and id(x) not in self._seen:
                self._seen.add(id(x))
                self.tensors.append(x)
            return
        self._left -= 1
        plain = x is None or isinstance(x, (str, bytes, int, float, type))
        if plain or depth == 0 or self._left < 0 or id(x) in self._seen:
            return
        if isinstance(x, ModuleType):
            self.libraries |= {x.__name__.partition(".")[0]} & _DRAWING
        elif isinstance(x, nn.Module):
            self._module(x, depth)
        elif isinstance(x, _GENERATORS) and not isinstance(x, random.SystemRandom):
            self._seen.add(id(x))
            self.generators.append(x)
        elif isinstance(x, (list, tuple, set, frozenset)):
            self._all(x, depth)
        elif isinstance(x, Mapping):
            self._all(x.values(), depth)
        else:
            self._seen.add(id(x))
            if isinstance(x, FunctionType) and not _is_of_a_library(x):
                names = x.__code__.co_names
                self.asks_for_mode |= "is_grad_enabled" in names
                self.may_draw |= any(part in name for name in names for part in _DRAWS)
            self._all(_held(x), depth - 1)

    def _module(self, module: nn.Module, depth: int) -> None:
        # Of `modules()` the order is what counts, and that a module seen before is not walked again.
        for each in module.modules():
            if id(each) not in self._seen:
                self._seen.add(id(each))
                self.modules.append(each)
                for name, value in vars(each).items():
                    if name not in OWN:
                        self._visit(value, depth - 1)
                for buffer in each._buffers.values():
                    self._visit(buffer, 1)
                for kind in type(each).__mro__:
                    if not _is_of_a_library(kind):
                        self._all((x for x in vars(kind).values() if isinstance(x, FunctionType)), depth)

    def _all(self, values: Iterable[Any], depth: int) -> None:
        for at, value in enumerate(values):
            if at == _MOST:
                break
            self._visit(value, depth)


def _is_of_a_library(x: Any) -> bool:
    return str(x.__module__).partition(".")[0] in _LIBRARIES


def _held(x: Any) -> Iterator[Any]:
    """What a function or an object holds on to."""
    if isinstance(x, partial):
        yield from (x.func, *x.args, *x.keywords.values())
    elif isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, FunctionType):
        if _is_of_a_library(x):
            return
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
        yield from (x.__globals__[name] for name in x.__code__.co_names if name in x.__globals__)
        yield from x.__defaults__ or ()
        yield from (x.__kwdefaults__ or {}).values()
    elif hasattr(x, "__dict__"):
        yield from vars(x).values()
