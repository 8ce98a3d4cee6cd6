"""Step sizes: fixed, adaptive by I, PI or PID control, and the replay of a recorded mesh. Importable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING, Literal

from odebench.registry import Entry, steppings
from odebench.types import Mesh, Step, Stepper, Tick, Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, State

    Norm = Callable[[Tensor], Tensor]

# Slack in counting the steps of a length: 1.0 / 0.1 is ten steps, not eleven.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Fixed:
    """Equal steps: `steps` of them over the whole span, or steps of length `dt`, the one before a saved time shorter.

    Raises:
        ValueError: not exactly one of the two is given, or it is not positive.
    """

    steps: int | None = None
    dt: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.dt is None):
            raise ValueError("give either steps or dt, one of them")
        if (self.steps is not None and self.steps < 1) or (self.dt is not None and not 0 < self.dt < inf):
            raise ValueError(f"steps and dt must be positive; got {self.dt if self.steps is None else self.steps!r}")

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes fixed steps."""
        return None

    def misfit(self, saves: int) -> str | None:
        """Why a mesh of so many steps cannot land on `saves` equal intervals, or None."""
        if self.steps is None or self.steps % saves == 0:
            return None
        return f"{self.steps} equal steps do not land on {saves} equal intervals; make steps a multiple of {saves}"

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """All the steps. Nodes are counted, never summed up, so that the mesh back is the mesh there.

        Raises:
            ValueError: the steps do not divide evenly among the intervals between saved times.
        """
        misfit = self.misfit(len(ts) - 1)
        if misfit:
            raise ValueError(misfit)
        ticks = []
        for start, end in pairwise(ts):
            if self.steps is not None:
                count, h = (n := self.steps // (len(ts) - 1)), (end - start) / n
            else:
                assert self.dt is not None
                h = self.dt if end > start else -self.dt
                count = max(1, ceil((end - start) / h - _ROUNDING))
            nodes = [*(start + i * h for i in range(count)), end]
            ticks += [Tick(t, t1 - t, i == count - 1) for i, (t, t1) in enumerate(pairwise(nodes))]
        return tuple(ticks)

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, None]:
        """Never asked: the mesh is known."""
        raise AssertionError("a known mesh is walked, not searched")

    def judge(self, dt: float, before: State, step: Step, order: int, memory: None) -> Verdict:
        """Never asked: the mesh is known."""
        raise AssertionError("a known mesh is walked, not searched")


@dataclass(frozen=True)
class Replay:
    """The steps of a recorded mesh, so that two methods can be compared on identical steps."""

    ticks: Mesh

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes given steps."""
        return None

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """The recorded one."""
        return self.ticks

    first, judge = Fixed.first, Fixed.judge


def rms(x: Tensor) -> Tensor:
    """Root of the mean square over all entries, a 0-dim tensor."""
    import torch

    size: Tensor = torch.linalg.vector_norm(x)
    return size.div(max(1, x.numel()) ** 0.5)


# Exponents on the last three scaled errors, newest first, each divided by the error's order. PI is Gustafsson's PI.3.4;
# PID is H312PID of G. Söderlind, Digital filters in adaptive time-stepping, ACM TOMS 29 (2003).
_FILTERS: dict[str, tuple[float, float, float]] = {
    "i": (1.0, 0.0, 0.0),
    "pi": (0.7, -0.4, 0.0),
    "pid": (1 / 18, 1 / 9, 1 / 18),
}


@dataclass(frozen=True)
class Adaptive:
    """Steps chosen so that the estimated local error, in units of atol + rtol·max(|y|, |y1|), has RMS at most 1.

    The norm runs over the whole batch. A trial that fails is retaken smaller; the first step follows Hairer's heuristic
    unless `first_step` is given. `controller`: i, pi, pid. With i the steps are torchdiffeq's, but that a step may
    shrink after an accepted one too.

    Raises:
        ValueError: a tolerance is negative or both are zero, or a factor is out of range.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    controller: Literal["i", "pi", "pid"] = "i"
    safety: float = 0.9
    min_factor: float = 0.2
    max_factor: float = 10.0
    first_step: float | None = None
    max_steps: int = 100_000  # trials, over the whole solve

    def __post_init__(self) -> None:
        if not (0 <= self.rtol < inf and 0 <= self.atol < inf and self.rtol + self.atol > 0):
            raise ValueError(f"rtol and atol must be non-negative and not both 0; got {self.rtol!r}, {self.atol!r}")
        if self.controller not in _FILTERS:
            raise ValueError(f"controller must be one of {', '.join(_FILTERS)}; got {self.controller!r}")
        if not (0 < self.safety < 1 and 0 < self.min_factor < 1 < self.max_factor):
            raise ValueError("safety and min_factor must be in (0, 1), max_factor above 1")
        if self.first_step is not None and not 0 < self.first_step < inf:
            raise ValueError(f"first_step must be positive; got {self.first_step!r}")
        if self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1; got {self.max_steps!r}")

    def refusal(self, stepper: Stepper) -> str | None:
        """A scheme without an error estimate cannot be driven."""
        if stepper.error_order is None:
            return (
                "it estimates no error, so `adaptive` cannot drive it; use `fixed`, or a scheme with an embedded pair"
            )
        return None

    def mesh(self, ts: tuple[float, ...]) -> None:
        """Unknown before walking."""

    def first(
        self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State, norm: Norm = rms
    ) -> tuple[float, tuple[float, float]]:
        """Hairer, Nørsett & Wanner I, II.4: one or two evaluations, one if the state already holds the slope."""
        import torch

        span, sign = abs(ts[-1] - ts[0]), 1.0 if ts[-1] > ts[0] else -1.0
        memory = (1.0, 1.0)
        if self.first_step is not None:
            return sign * min(self.first_step, span), memory
        with torch.no_grad():
            y = state[0].detach()
            known = getattr(stepper, "slope", None)
            slope = known(state) if known is not None else None
            k = (f(ts[0], y) if slope is None else slope).detach()
            scale = self._scale(y.abs())
            d0, d1 = float(norm(y / scale)), float(norm(k / scale))
            h0 = 1e-6 if min(d0, d1) < 1e-5 else 0.01 * d0 / d1
            h0 = min(h0, span)
            k1 = f(ts[0] + sign * h0, y.add(k, alpha=sign * h0)).detach()
            d2 = float(norm((k1 - k) / scale)) / h0
        largest = max(d1, d2)
        h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** (1 / (stepper.error_order or 1))
        h = min(100 * h0, h1, span)
        return sign * (h if isfinite(h) and h > 0 else min(1e-6, span)), memory

    def judge(
        self, dt: float, before: State, step: Step, order: int, memory: tuple[float, float], norm: Norm = rms
    ) -> Verdict:
        """Accept if the scaled error is at most 1. One device sync. An error that is not finite rejects."""
        import torch

        assert step.error is not None
        with torch.no_grad():
            scale = self._scale(torch.maximum(before[0].abs(), step.state[0].abs()))
            size = float(norm(step.error / scale))
        if not isfinite(size):
            return Verdict(False, dt * self.min_factor, memory)
        if size > 1:
            shrink = max(self.min_factor, self.safety * size ** (-1 / order))
            return Verdict(False, dt * shrink, memory)
        size = max(size, 1e-10)
        history = (size, *memory)
        exponents = _FILTERS[self.controller]
        factor = self.safety
        for error, exponent in zip(history, exponents, strict=True):
            factor *= error ** (-exponent / order)
        return Verdict(True, dt * min(self.max_factor, max(self.min_factor, factor)), history[:2])

    def _scale(self, size: Tensor) -> Tensor:
        """The error allowed, in place. Without atol a component that rests at 0 must not make it 0/0."""
        import torch

        scale = size.mul_(self.rtol).add_(self.atol)
        return scale if self.atol else scale.clamp_min_(torch.finfo(scale.dtype).tiny)


steppings.add(Entry("stepping", "fixed", Fixed, "Equal steps: `steps` of them, or steps of length `dt`"))
steppings.add(
    Entry(
        "stepping",
        "adaptive",
        Adaptive,
        "Steps chosen by the estimated local error, with I, PI or PID control",
        "K. Gustafsson, ACM TOMS 17 (1991); G. Söderlind, ACM TOMS 29 (2003)",
    )
)
