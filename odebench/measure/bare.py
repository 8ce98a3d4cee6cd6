"""The floor under a solve: the same calls of the same f in a bare loop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from odebench.measure.count import Counts
from odebench.problems import Bound


@dataclass(frozen=True)
class BareLoop:
    """As many calls of f as a solve makes, on the fixed start with a fixed random cotangent.

    f's output is never fed back, so that a field whose states run away costs no more than one that rests.
    """

    bound: Bound
    counts: Counts
    t: Tensor
    bar: Tensor

    @classmethod
    def of(cls, bound: Bound, counts: Counts) -> BareLoop:
        """With a cotangent drawn by a generator of its own, so that no global seed is moved."""
        y0 = bound.y0
        draw = torch.randn(y0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        t = torch.scalar_tensor(bound.ts[0], dtype=y0.dtype, device=y0.device)
        return cls(bound, counts, t, draw.to(y0))

    def forward(self) -> None:
        """`nfe_forward` calls without a graph."""
        self._plain(self.counts.nfe_forward)

    def both(self) -> None:
        """All calls, those that carry a cotangent followed at once by their VJP in state and parameters."""
        f, y0, bar = self.bound.f, self.bound.y0, self.bar
        wrt, t = (y0, *self.bound.params), self.t
        for _ in range(self.counts.vjp_backward):
            torch.autograd.grad(f(t, y0), wrt, bar, allow_unused=True)
        self._plain(self.counts.nfe_forward + self.counts.nfe_backward - self.counts.vjp_backward)

    def _plain(self, calls: int) -> None:
        f, y0, t = self.bound.f, self.bound.y0, self.t
        with torch.no_grad():
            for _ in range(calls):
                f(t, y0)
