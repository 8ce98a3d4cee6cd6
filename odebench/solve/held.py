"""f, held by a graph so that a module which keeps the result of its own solve can still be freed.

A graph holds f for the way back, and a result holds its graph. Python's collector sees a result's graph node only where
it is the result's own: with a sum or an entry of the result in between, a module that keeps it is in a cycle which
nobody finds, and lives for ever. So a graph holds a module weakly, and beside it a copy of the module's shell with the
same parameters, buffers and attributes, for the case that the module itself is gone by then (`odeint(Net(), …)`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import MethodType
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn


def lightly(f: Callable[..., Any], used: Collection[Tensor]) -> Callable[..., Any]:
    """`f`, or what stands for it without holding it: for modules, and methods of such.

    `used` are the tensors among its attributes that hang on a graph and that it depends on; others that do are results.
    """
    module = f.__self__ if isinstance(f, MethodType) else f
    if not isinstance(module, nn.Module) or not all(map(_is_plain, module.modules())):
        return f
    whole, spare = ref(module), _shell(module, {id(x) for x in used}, {})
    call = f.__func__ if isinstance(f, MethodType) else None

    def held(t: Tensor, y: Any) -> Any:
        present = whole()
        own = spare if present is None else present
        return own(t, y) if call is None else call(own, t, y)

    return held


def _is_plain(module: nn.Module) -> bool:
    """Its class says how it is called. What compilers and parallel wrappers make is tied to the very object."""
    wrapped = type(module).__module__.startswith(("torch.jit", "torch._dynamo", "torch.nn.parallel", "torch.fx"))
    return not wrapped and "forward" not in vars(module) and not isinstance(module, torch.jit.ScriptModule)


def _shell(module: nn.Module, used: set[int], made: dict[int, nn.Module]) -> nn.Module:
    """A module of the same class, its submodules shells too, with the attributes that `module` has now."""
    if id(module) in made:
        return made[id(module)]
    shell = made[id(module)] = module.__class__.__new__(module.__class__)
    held = {name: x for name, x in vars(module).items() if not _is_result(x, used)}
    held["_modules"] = {name: x and _shell(x, used, made) for name, x in module._modules.items()}
    held["_parameters"], held["_buffers"] = dict(module._parameters), dict(module._buffers)
    vars(shell).update(held)
    return shell


def _is_result(x: Any, used: set[int]) -> bool:
    return isinstance(x, Tensor) and x.grad_fn is not None and id(x) not in used
