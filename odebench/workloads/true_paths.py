"""Solutions that data are drawn from, by a scheme of our own: what a suite measures takes no part in its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def true_path(slope: Callable[[Tensor], Tensor], y0: Tensor, ts: Sequence[float], substeps: int) -> Tensor:
    """The solution of dy/dt = slope(y) at increasing `ts`, shape (len(ts), *y0.shape), in the dtype of `y0`.

    The classical Runge–Kutta scheme of order 4 on `substeps` equal steps from each time to the next. Fixed steps: the
    error is smooth in the start, and a test that halves them tells how large it is.
    """
    y, ys = y0, [y0]
    for t, t1 in pairwise(ts):
        h = (t1 - t) / substeps
        for _ in range(substeps):
            k1 = slope(y)
            k2 = slope(y + h / 2 * k1)
            k3 = slope(y + h / 2 * k2)
            k4 = slope(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        ys.append(y)
    return torch.stack(ys)
