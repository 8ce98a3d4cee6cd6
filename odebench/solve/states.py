"""Tuples of tensors, laid end to end in one vector for the schemes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from odebench.controllers import rms
from odebench.errors import UsageError


@dataclass(frozen=True)
class Laid:
    """How tensors lie end to end in one vector."""

    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, parts: tuple[Any, ...]) -> Laid:
        """
        Raises:
            UsageError: there is none, or one is no tensor, or they are on several devices.
        """
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            raise UsageError("y0 must be a tensor, or a tuple of at least one tensor")
        devices = sorted({str(part.device) for part in parts})
        if len(devices) > 1:
            raise UsageError(f"the tensors of y0 are on {' and '.join(devices)}; move them to one device")
        return cls(tuple(part.shape for part in parts))

    def end_to_end(self, parts: Iterable[Tensor]) -> Tensor:
        """One vector."""
        return torch.cat([part.reshape(-1) for part in parts])

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of the last axis; those before it stay."""
        split = torch.split(x, [shape.numel() for shape in self.shapes], dim=-1)
        return tuple(part.reshape((*x.shape[:-1], *shape)) for part, shape in zip(split, self.shapes, strict=True))

    def around(self, f: Callable[[Tensor, Any], Any]) -> Callable[[Tensor, Tensor], Tensor]:
        """f, taking and giving one vector."""
        return lambda t, x: self.end_to_end(f(t, self.parts(x)))

    def norm(self, own: Any) -> Any:
        """A norm of the vector from the user's one of the tuple; by default the largest RMS of a part, as torchdiffeq
        has it, so that a long part does not drown a short one. A name is that of a norm of the vector.
        """
        return own if isinstance(own, str) else lambda x: (own or largest)(self.parts(x))

    def spread(self, name: str, tolerance: Any) -> Any:
        """One tolerance per element, where `tolerance` holds one per tensor.

        Raises:
            UsageError: it holds another number of them.
        """
        if not isinstance(tolerance, (tuple, list)) and not (isinstance(tolerance, Tensor) and tolerance.ndim):
            return tolerance
        if len(tolerance) != len(self.shapes):
            raise UsageError(f"{name} has {len(tolerance)} entries and y0 {len(self.shapes)}; give one for each tensor")
        pairs = zip(tolerance, self.shapes, strict=True)
        return torch.cat([fit(f"{name}[{i}]", one, shape).reshape(-1) for i, (one, shape) in enumerate(pairs)])


def largest(parts: tuple[Tensor, ...]) -> Tensor:
    """The largest RMS of a part that is not empty."""
    return torch.stack([rms(part) for part in parts if part.numel()] or [rms(parts[0])]).max()


def fit(name: str, tolerance: Any, shape: torch.Size) -> Tensor:
    """A tolerance per element of `shape`.

    Raises:
        UsageError: it does not broadcast to `shape`.
    """
    told = torch.as_tensor(tolerance)
    try:
        return told.expand(shape)
    except RuntimeError as error:
        raise UsageError(f"{name} of shape {tuple(told.shape)} does not broadcast to y0's {tuple(shape)}") from error
