"""The array namespace of problems in torch, and a problem's field as a torch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from odebench.problems.problem import Problem


class TorchArrays:
    """What a field may call as `xp.…`, besides arithmetic; another engine offers the same names.

    `stack`, `unstack` and `concat` go along the last axis. `linear(x, w, b=None)` is x·wᵀ + b. `conv2d(x, w, b)` pads
    with zeros to keep the size, for odd kernels. `expm` is the matrix exponential. Torch's own functions stand here
    unwrapped where they can, since every Python frame around them would be paid at each evaluation of f.
    """

    sin, cos, exp, sqrt, tanh, sigmoid = torch.sin, torch.cos, torch.exp, torch.sqrt, torch.tanh, torch.sigmoid
    relu, softplus, elu, gelu, silu = torch.relu, functional.softplus, functional.elu, functional.gelu, functional.silu
    linear, expm = functional.linear, torch.matrix_exp

    @staticmethod
    def stack(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.stack(parts, -1)

    @staticmethod
    def unstack(y: Tensor) -> tuple[Tensor, ...]:
        return torch.unbind(y, -1)

    @staticmethod
    def concat(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(parts, -1)

    @staticmethod
    def conv2d(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return functional.conv2d(x, w, b, padding=w.shape[-1] // 2)

    @staticmethod
    def sum(x: Tensor) -> Tensor:
        return x.sum()


class TorchField(nn.Module):
    """f(t, y) of a problem with θ as its parameters, in the order of `Problem.parameters`."""

    def __init__(self, problem: Problem, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        for name, value in problem.parameters(seed).items():
            self.register_parameter(name, nn.Parameter(torch.tensor(value, dtype=dtype, device=device)))
        # A plain tuple beside the registered parameters: nn.Module looks a parameter up in two dictionaries, and f is
        # called millions of times. Conversions such as `.double()` swap the data inside, so the tuple stays true.
        self._theta: tuple[Any, ...] = tuple(self.parameters())
        self._field = problem.field

    def forward(self, t: Tensor, y: Tensor) -> Any:
        return self._field(TorchArrays, t, y, self._theta)
