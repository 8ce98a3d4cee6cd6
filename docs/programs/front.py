"""What a program gets when it imports torchdiffeq: torchdiffeq, what stands in for it, or a fine solver for the truth.

All of them with calls of f counted alike.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakSet

import torch

SOLVES = ("odeint", "odeint_adjoint", "odeint_event", "odeint_dense")


class Calls:
    """Counts calls of every f that is handed to a solver, those of the way back too."""

    def __init__(self) -> None:
        self.made = 0
        self._hooked: WeakSet[torch.nn.Module] = WeakSet()

    def of(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The same f, counted. A module stays the very module: its parameters are looked for in it."""
        if isinstance(func, torch.nn.Module):
            if func not in self._hooked:
                self._hooked.add(func)
                func.register_forward_hook(self._add)
            return func

        @functools.wraps(func)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            return func(*args, **kwargs)

        return counted

    def _add(self, *_: object) -> None:
        self.made += 1


def put(library: ModuleType, calls: Calls) -> None:
    """Let `import torchdiffeq` find `library`, with its internals and its solves counted."""
    for module in pkgutil.walk_packages(getattr(library, "__path__", ()), f"{library.__name__}."):
        importlib.import_module(module.name)
    prefix = f"{library.__name__}."
    for name, module in list(sys.modules.items()):
        if name.startswith(prefix):
            sys.modules[f"torchdiffeq.{name.removeprefix(prefix)}"] = module
    sys.modules["torchdiffeq"] = library
    for name in SOLVES:
        if hasattr(library, name):
            setattr(library, name, _counting(getattr(library, name), calls))


def _counting(solve: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    @functools.wraps(solve)
    def counting(*args: Any, **kwargs: Any) -> Any:
        if args:
            return solve(calls.of(args[0]), *args[1:], **kwargs)
        return solve(**{**kwargs, "func": calls.of(kwargs["func"])})

    return counting
