"""A problem's f as torchode calls it: rows of features, a t for each row, parameters put in by torch.func."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from odebench.errors import Refusal
from odebench.problems import Bound
from odebench.problems.torch_field import TorchField


class RowField(nn.Module):
    """f on (rows, features), with one 0-dim t for all rows; and on one row alone, as vmap calls it."""

    def __init__(self, f: nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.f, self.shape = f, shape
        self.fields = [module for module in f.modules() if isinstance(module, TorchField)]

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if t.ndim == 0:
            return self._row(t, y)
        # Rows that step for themselves are refused to a field that reads t; the others share it.
        out: Tensor = self.f(t[0].to(y.dtype), y.reshape(-1, *self.shape))
        return out.reshape(y.shape)

    def _row(self, t: Tensor, y: Tensor) -> Tensor:
        """BacksolveAdjoint puts other tensors in the place of f's registered parameters.

        A TorchField reads its parameters from a tuple, past that place: their gradient would be zero, without a word.
        """
        held = [field._theta for field in self.fields]
        for field in self.fields:
            field._theta = tuple(field.parameters())
        try:
            out: Tensor = self.f(t, y.reshape(1, *self.shape))
        finally:
            for field, theta in zip(self.fields, held, strict=True):
                field._theta = theta
        return out.reshape(y.shape)


def check_field(bound: Bound, f: nn.Module, adjoint: bool, alone: bool) -> None:
    """Refuse what torchode would get wrong or stumble over; `alone` says that each sample steps for itself.

    Raises:
        Refusal: f reads t and each sample has its own, or a parameter needs no gradient.
    """
    if adjoint and not all(parameter.requires_grad for parameter in f.parameters()):
        raise Refusal("torchode's adjoints differentiate by every parameter of f, and one of these needs no gradient")
    if alone and len(bound.y0) > 1 and reads_time(bound):
        raise Refusal(
            "torchode steps every sample for itself, so that f would need a time for each, and f takes one for all; "
            "use `fixed`, a batch of 1, or the joint adjoint"
        )


def reads_time(bound: Bound) -> bool:
    """Whether f depends on t: t is in the graph of f(t, y0), or the values at three times differ."""
    t0, t1 = bound.ts[0], bound.ts[-1]
    t = torch.scalar_tensor(t0, dtype=bound.y0.dtype, device=bound.y0.device).requires_grad_()
    with torch.enable_grad():
        out = bound.f(t, bound.y0.detach())
    if out.requires_grad and torch.autograd.grad(out.sum(), t, allow_unused=True)[0] is not None:
        return True
    with torch.no_grad():
        others = (bound.f(t.new_tensor(t0 + (t1 - t0) * part), bound.y0) for part in (0.37, 1.0))
        return any(not torch.equal(out, other) for other in others)
