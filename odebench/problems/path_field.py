"""The field of a neural CDE along given paths, as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from odebench.errors import Refusal
from odebench.problems.torch_field import TorchArrays

if TYPE_CHECKING:
    from odebench.problems.problem import Array


class PathField(nn.Module):
    """f(t, z) = F(z)·X'(t) on z of shape (batch, hidden), X' the derivative of each sample's own path.

    `layers` are weight and bias of the two of F; `slopes` has shape (batch, points, channels) and says the slope of
    the path at each point, `spacing` apart from t = 0 on. On the piece from point k to k + 1, s the share of it that is
    behind, the cubic Hermite polynomial through both points with slopes m at the first, and at the second that of the
    line between them, d, has the derivative m + (d − m)·s·(4 − 3s).

    Raises:
        Refusal: z has other rows than the batch that the paths are for, or each row has a time of its own.
    """

    pieces: Tensor
    weight_0: nn.Parameter
    bias_0: nn.Parameter
    weight_1: nn.Parameter
    bias_1: nn.Parameter

    def __init__(self, layers: Sequence[tuple[Array, Array]], slopes: Array, spacing: float, activation: str) -> None:
        super().__init__()
        for index, pair in enumerate(layers):
            for name, value in zip(("weight", "bias"), pair, strict=True):
                self.register_parameter(f"{name}_{index}", nn.Parameter(torch.tensor(value)))
        at = torch.tensor(slopes).movedim(1, 0)
        # (pieces, 2, batch, channels): the slope at the beginning, and what it changes by until the end.
        self.register_buffer("pieces", torch.stack((at[:-1], at[1:] - at[:-1]), 1))
        self.spacing, self.activation = spacing, getattr(TorchArrays, activation)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        count, _, batch, channels = self.pieces.shape
        if t.ndim or len(z) != batch:
            raise Refusal(
                f"each of the {batch} samples has a path of its own, and f was called for {len(z)} of them with "
                f"{t.numel()} times; solve the batch as one system, without per_sample or vmap"
            )
        place = t / self.spacing
        piece = place.detach().floor().clamp(0, count - 1)
        s = place - piece
        slope, change = self.pieces.index_select(0, piece.long().reshape(1))[0]
        slope = slope + change * (s * (4 - 3 * s))
        linear = nn.functional.linear
        matrix = linear(self.activation(linear(z, self.weight_0, self.bias_0)), self.weight_1, self.bias_1).tanh()
        # A product of matrices for each sample.
        return torch.bmm(matrix.view(batch, -1, channels), slope.unsqueeze(2)).squeeze(2)
