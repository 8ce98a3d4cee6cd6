"""f on some rows of the batch, each at a time of its own; and a look at whether it can be asked so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from odebench.controllers.by_sample import by_row, moments
from odebench.controllers.first_step import asked
from odebench.errors import Refusal
from odebench.types import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_COLUMN = "per_sample calls f with a column of times, one for each row and of shape {shape}"


@dataclass(frozen=True)
class RowField:
    """f of whichever rows are under way.

    With `rest`, f holds data of its own for each row and cannot do without any: it is called on the whole batch, idle
    rows at their start, `rest`, at time `t0`, and their answers are dropped.
    """

    f: Field
    t0: float
    rest: Tensor | None = None

    def of(self, rows: Places) -> Field:
        """f on these rows, in the order of the batch."""
        rest = self.rest
        if rest is None or len(rows) == len(rest):
            return self.f
        index = torch.from_numpy(rows).to(rest.device)
        idle = torch.full((len(rest), *(1,) * (rest.ndim - 1)), self.t0, dtype=torch.float64, device=rest.device)

        def padded(t: float | Tensor, y: Tensor) -> Tensor:
            own = torch.as_tensor(t, dtype=torch.float64, device=rest.device).expand(len(rows), *idle.shape[1:])
            return self.f(idle.index_copy(0, index, own), rest.index_copy(0, index, y)).index_select(0, index)

        return padded

    @classmethod
    def look(cls, f: Field, ts: tuple[float, ...], y0: Tensor, slope: Tensor) -> RowField:
        """See what f can do; `slope` is f(ts[0], y0) with one time for all. Three evaluations, two of them of one row.

        Raises:
            Refusal: f cannot take a column of times, or a row of its answer depends on another row of y.
        """
        slope = slope.detach()
        if len(y0) < 2 or _takes_any_rows(f, ts, y0, slope):
            return cls(f, ts[0])
        _refuse_unless_rows_stand_alone(f, ts, y0, slope)
        return cls(f, ts[0], y0.detach())


def _takes_any_rows(f: Field, ts: tuple[float, ...], y: Tensor, slope: Tensor) -> bool:
    """The rows turned round, and two of them alone, are answered as they were together.

    Some are asked for where the solve starts, which tells of their order. The others are asked for at another time and
    moved, in case data that f holds for each row has no effect at the start.
    """
    turned, start = y.flip(0), _at_start(y) if len(y) > 2 else slice(0, 1)
    asked_for = turned * 1.1 + 0.1
    asked_for[start] = turned[start]
    times = _two_times(ts, len(y), start)
    try:
        together = asked(f, moments(times, y), asked_for)
        first, last = (asked(f, float(times[at]), asked_for[at : at + 1]) for at in (0, len(y) - 1))
    except Exception:  # of the user's code, whatever it may be; the next look says what it was
        return False
    return _same(together[start], slope.flip(0)[start]) and _same(first, together[:1]) and _same(last, together[-1:])


def _refuse_unless_rows_stand_alone(f: Field, ts: tuple[float, ...], y: Tensor, slope: Tensor) -> None:
    """Three evaluations of the whole batch, for an f that cannot be called on less."""
    seen = _at_start(y)
    called = _COLUMN.format(shape=(len(y), *(1,) * (y.ndim - 1)))
    try:
        told = asked(f, _mixed(ts, y), y)[seen]
    except Exception as error:  # of the user's code, whatever it may be
        raise Refusal(f"{called}, and f cannot take it: {type(error).__name__}: {error}") from error
    if not _same(told, slope[seen]):
        raise Refusal(f"{called}, and f answers otherwise than with one of them alone; let t broadcast against y")
    for kept in (0, 1):
        moved = y * 1.1 + 0.1
        moved[kept::2] = y[kept::2]
        if not _same(asked(f, ts[0], moved)[kept::2], slope[kept::2]):
            raise Refusal(
                "per_sample steps every row of y0 by itself, and a row of f depends on other rows of y; leave "
                "per_sample out, or give y0[None] if all of y0 is one sample"
            )


def _at_start(y: Tensor) -> slice:
    """The rows that `_mixed` asks for at ts[0]: neither the first nor the last, whose time f might take for all."""
    return slice(1, max(2, len(y) - 1), 2)


def _mixed(ts: tuple[float, ...], y: Tensor) -> float | Tensor:
    """A column of two times."""
    return moments(_two_times(ts, len(y), _at_start(y)), y)


def _two_times(ts: tuple[float, ...], rows: int, start: slice) -> NDArray[np.float64]:
    """The middle of the span, and ts[0] for the rows of `start`."""
    times = np.full(rows, 0.5 * (ts[0] + ts[-1]))
    times[start] = ts[0]
    return times


def _same(got: Tensor, wanted: Tensor) -> bool:
    """But for rounding, which depends on how many rows are multiplied at once; slopes of rows may differ by powers."""
    if got.shape != wanted.shape:
        return False
    eps, sizes = torch.finfo(wanted.dtype).eps, by_row(wanted.abs().nan_to_num(0.0, 0.0, 0.0))
    if not sizes.numel():
        return True
    allowed = eps**0.5 * sizes.amax(1) + 100 * eps * sizes.max()
    off = by_row((got.to(wanted.dtype) - wanted).abs())
    equal = (got == wanted) | (got.isnan() & wanted.isnan())  # two infinities differ by no number
    return bool(((off <= allowed[:, None]) | equal.reshape(off.shape)).all())
