"""The system that the continuous adjoint solves backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.autodiff import gradients, tape
from odebench.controllers import Adaptive, rms
from odebench.types import Field, Params


@dataclass(frozen=True)
class Augmented:
    """y' = f, a' = −aᵀ∂f/∂y, p' = −aᵀ∂f/∂θ, packed into one vector; in that order.

    Where a `track` knows y at every time, the first part is left out.
    """

    f: Field
    params: Params
    shape: torch.Size
    track: Callable[[float], Tensor] | None = None

    def __call__(self, t: float | Tensor, x: Tensor) -> Tensor:
        y, a = self.y(t, x), self.split(x)[0]
        if x.requires_grad and torch.is_grad_enabled():  # an implicit scheme wants the Jacobian of all this
            y = y if self.track is None else y.detach().requires_grad_()
            dy = self.f(t, y)
            bars = gradients(dy, (y, *self.params), a.neg(), again=True)
        else:
            dy, pull = tape(lambda y: self.f(t, y), y, self.params)
            y_bar, params_bar = pull(a.neg())
            bars = [y_bar, *params_bar]
        parts = bars if self.track is not None else [dy, *bars]
        return torch.cat([part.reshape(-1) for part in parts])

    def pack(self, y: Tensor, a: Tensor, p: Tensor) -> Tensor:
        """The state of the system; `p` is flat."""
        parts = (a.reshape(-1), p) if self.track is not None else (y.reshape(-1), a.reshape(-1), p)
        return torch.cat(parts)

    def y(self, t: float | Tensor, x: Tensor) -> Tensor:
        """y in its own shape."""
        return x[: self.shape.numel()].view(self.shape) if self.track is None else self.track(float(t))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(a, p); a in its own shape, p flat."""
        size = self.shape.numel()
        start = size if self.track is None else 0
        return x[start : start + size].view(self.shape), x[start + size :]

    def no_params(self, like: Tensor) -> Tensor:
        """p = 0."""
        return like.new_zeros(sum(p.numel() for p in self.params))

    def shaped(self, flat: Tensor) -> tuple[Tensor, ...]:
        """p, parameter by parameter."""
        parts = torch.split(flat, [p.numel() for p in self.params]) if self.params else ()
        # Beside a complex y the cotangents of real parameters are complex; only their real part counts.
        return tuple(
            (part if p.is_complex() or not part.is_complex() else part.real).view_as(p)
            for part, p in zip(parts, self.params, strict=True)
        )

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """(y, a, *p), each in its own shape; without y where a `track` knows it."""
        a, p = self.split(x)
        y = () if self.track is not None else (x[: self.shape.numel()].view(self.shape),)
        return (*y, a, *self.shaped(p))

    def norm(self, control: Adaptive, seminorm: bool) -> Callable[[Tensor], Tensor]:
        """The largest norm of the parts, so that many parameters do not drown the state's error, nor the reverse."""
        of_state = control.size
        of_params = rms if callable(control.norm) else of_state  # a norm of the user's knows the state's shape alone

        def size(x: Tensor) -> Tensor:
            a, p = self.split(x)
            sizes = [] if self.track is not None else [of_state(x[: self.shape.numel()].view(self.shape))]
            sizes += [of_state(a)]
            return torch.stack([*sizes, *([of_params(p)] if p.numel() and not seminorm else [])]).max()

        return size
