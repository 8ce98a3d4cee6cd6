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
        """`nfe_forward` calls without a graph, but for those that an implicit scheme takes Jacobians of."""
        for rows, calls, vjps in self.counts.calls(both=False):
            self._run(rows, calls, vjps, ())

    def both(self) -> None:
        """All calls, those that carry a cotangent followed at once by their VJP in state and parameters."""
        for rows, calls, vjps in self.counts.calls(both=True):
            self._run(rows, calls, vjps, self.bound.params)

    def _run(self, rows: int | None, calls: int, vjps: int, params: tuple[Tensor, ...]) -> None:
        """On all rows of the start, or on so many, each then with a time of its own as in the solve. Where there are
        more VJPs than calls, as in Jacobians, a call carries several.
        """
        f, y0, t, bar = self.bound.f, self.bound.y0, self.t, self.bar
        if rows is not None:
            y0, bar = y0.detach()[:rows].requires_grad_(), bar[:rows]
            t = t.expand(rows, *(1,) * (y0.ndim - 1)) if rows > 1 else t
        wrt, taped = (y0, *params), min(calls, vjps)
        for i in range(taped):
            out = f(t, y0)
            for left in reversed(range(vjps // taped + (i < vjps % taped))):
                torch.autograd.grad(out, wrt, bar, retain_graph=left > 0, allow_unused=True)
        with torch.no_grad():
            for _ in range(calls - taped):
                f(t, y0)
