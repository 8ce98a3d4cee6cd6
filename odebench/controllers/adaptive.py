"""Steps chosen by the estimated local error, by I, PI or PID control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import copysign, inf, isfinite
from typing import TYPE_CHECKING, Any, Literal
from warnings import warn

from odebench.types import Continuous, Step, Stepper, Tabled, Verdict, can

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Field, State

    Size = Callable[[Tensor], Tensor]
    Norm = Literal["rms", "max"] | Size
else:  # what a suite can name
    Norm = Literal["rms", "max"]


def rms(x: Tensor) -> Tensor:
    """Root of the mean square over all entries, a 0-dim tensor."""
    import torch

    size: Tensor = torch.linalg.vector_norm(x)
    return size.div(max(1, x.numel()) ** 0.5)


def largest(x: Tensor) -> Tensor:
    """The largest absolute value, a 0-dim tensor; 0 of nothing."""
    return x.abs().amax() if x.numel() else x.new_zeros(())


# A step this much longer than what is left to a saved time is stretched to land there, instead of leaving a sliver.
STRETCH = 1.01

# What lands may be this much longer than `max_step`: the gaps of equidistant times differ by as much as rounding moves
# them, and one that is an ulp too long would end in a sliver.
OVER = 1.001

# A saved time this near to the end of a step, in units of the step, is its end, up to rounding in the mesh.
END = 1e-10

_NORMS: dict[str, Size] = {"rms": rms, "max": largest}

# Exponents on the last three scaled errors, newest first, each divided by the error's order. PI is Gustafsson's PI.3.4;
# PID is H312PID of G. Söderlind, Digital filters in adaptive time-stepping, ACM TOMS 29 (2003).
_FILTERS: dict[str, tuple[float, float, float]] = {
    "i": (1.0, 0.0, 0.0),
    "pi": (0.7, -0.4, 0.0),
    "pid": (1 / 18, 1 / 9, 1 / 18),
}


@dataclass(frozen=True)
class Adaptive:
    """Steps chosen so that the estimated local error, in units of atol + rtol·max(|y|, |y1|), is at most 1.

    It is measured over the whole batch by `norm`: `rms`, `max`, or in Python a function of a tensor shaped like the
    state that gives one number. A trial that fails is retaken smaller; the first step follows Hairer's heuristic
    unless `first_step` is given. `controller`: i, pi, pid. With i the law is torchdiffeq's, but that a step may
    shrink after an accepted one too. In Python `rtol` and `atol` may be tensors, one tolerance for each element of y.

    No step is longer than `max_step`, but by up to 0.1 % to land, nor shorter than `min_step` but to land. A step of
    `min_step`, or up to 1 % longer to land, is taken whatever its error, as torchdiffeq and diffrax do, with a warning
    where that is above the tolerance.

    With `dense` only the end is landed on; at the saved times before it the solution is interpolated, so that saves
    cost no steps. What is interpolated has the order of the scheme's interpolant, and no error control.

    With `per_sample` every sample, a row of the first axis of the state, has an error, a first step and steps of its
    own, as if it were solved alone, and one call of f serves all that are under way. A sample that is done is called
    for no more, so that one stiff sample slows no other. f then gets t as a column, one time for each row it is given.

    Raises:
        ValueError: a tolerance is negative or both are zero, or a factor, a norm or a step is out of range.
    """

    rtol: float = 1e-5
    atol: float = 1e-6
    controller: Literal["i", "pi", "pid"] = "i"
    safety: float = 0.9
    min_factor: float = 0.2
    max_factor: float = 10.0
    first_step: float | None = None
    max_steps: int = 100_000  # trials, over the whole solve, beyond the steps that land
    norm: Norm = "rms"
    min_step: float = 0.0
    max_step: float | None = None
    dense: bool = False
    per_sample: bool = False

    def __post_init__(self) -> None:
        bounds = _least(self.rtol), _least(self.atol), _least(-self.rtol), _least(-self.atol)
        if not (min(bounds[:2]) >= 0 and min(bounds[2:]) > -inf and _least(self.rtol + self.atol) > 0):
            raise ValueError(f"rtol and atol must be non-negative and not both 0; got {self.rtol!r}, {self.atol!r}")
        if self.controller not in _FILTERS:
            raise ValueError(f"controller must be one of {', '.join(_FILTERS)}; got {self.controller!r}")
        if not (0 < self.safety < 1 and 0 < self.min_factor < 1 < self.max_factor):
            raise ValueError("safety and min_factor (dfactor) must be in (0, 1), max_factor (ifactor) above 1")
        if self.first_step is not None and not 0 < self.first_step < inf:
            raise ValueError(f"first_step must be positive; got {self.first_step!r}")
        if self.max_steps < 1:
            raise ValueError(f"max_steps (max_num_steps) must be at least 1; got {self.max_steps!r}")
        if not callable(self.norm) and self.norm not in _NORMS:
            raise ValueError(f"norm must be one of {', '.join(_NORMS)}, or in Python a function; got {self.norm!r}")
        if not 0 <= self.min_step < self.longest:
            raise ValueError(
                "min_step must be at least 0 and less than max_step; leave out the one that is not meant; got "
                f"min_step {self.min_step!r} and max_step {self.max_step!r}"
            )

    @property
    def longest(self) -> float:
        """The longest step allowed, inf if any."""
        return inf if self.max_step is None else self.max_step

    @property
    def shortest(self) -> float:
        """A step of this length, or less, is taken whatever its error: `min_step`, stretched to land. Judged otherwise
        a step that is stretched would be rejected, tried at `min_step`, stretched to land again, and so for ever.
        """
        return self.min_step * STRETCH

    @property
    def atol_is_positive(self) -> bool:
        """Whether every component may have an error where it is 0; not known of tensors without looking."""
        return isinstance(self.atol, (int, float)) and self.atol > 0

    @property
    def size(self) -> Size:
        """The norm, as a function."""
        return self.norm if callable(self.norm) else _NORMS[self.norm]

    def refusal(self, stepper: Stepper) -> str | None:
        """A scheme without an error estimate cannot be driven, nor looked into if it has no interpolant."""
        if stepper.error_order is None:
            return (
                "it estimates no error, so `adaptive` cannot drive it; use `fixed`, or a scheme with an embedded pair"
            )
        if self.dense and not can(stepper, Continuous):
            return (
                "it has no interpolant, so `dense` cannot look into its steps; leave `dense` out to land on the saves"
            )
        if self.per_sample and not can(stepper, Tabled):
            return (
                "its steps are not known to scale sample by sample, so `per_sample` cannot drive it; use an explicit "
                "Runge–Kutta scheme with an embedded pair, such as dopri5, or leave `per_sample` out"
            )
        return None

    def mesh(self, ts: tuple[float, ...]) -> None:
        """Unknown before walking."""

    def landings(self, ts: tuple[float, ...]) -> Sequence[int]:
        """All of `ts`, or the last one with `dense`."""
        return (len(ts) - 1,) if self.dense else range(1, len(ts))

    def approach(self, dt: float, left: float) -> float:
        """As long as the error allows, so that the last one before a landing may be a sliver."""
        return dt

    def first(
        self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State
    ) -> tuple[float, tuple[float, float]]:
        """`first_step`, or Hairer's."""
        from odebench.controllers.first_step import first_step

        h = self.first_step if self.first_step is not None else first_step(self, f, stepper, ts, state)
        return copysign(min(self._within(h), abs(ts[-1] - ts[0])), ts[-1] - ts[0]), (1.0, 1.0)

    def judge(self, dt: float, before: State, step: Step, order: int, memory: tuple[float, float]) -> Verdict:
        """Accept if the scaled error is at most 1. One device sync. An error that is not finite rejects."""
        import torch

        with torch.no_grad():
            size = float(self.error(before, step))
        shortest = abs(dt) <= self.shortest
        if not isfinite(size):
            return Verdict(False, 0.0 if shortest else self._within(dt * self.min_factor), memory)
        if size > 1 and not shortest:
            shrink = max(self.min_factor, self.safety * size ** (-1 / order))
            return Verdict(False, self._within(dt * shrink), memory)
        if size > 1:
            self.warn_of_shortest()
        size = max(size, 1e-10)
        history = (size, *memory)
        factor = self.safety
        for error, exponent in zip(history, self.exponents, strict=True):
            factor *= error ** (-exponent / order)
        factor = min(self.max_factor, max(self.min_factor, factor))
        return Verdict(True, self._within(dt * factor), history[:2])

    def error(self, before: State, step: Step) -> Tensor:
        """The scaled error of a trial step, in the norm: a 0-dim tensor."""
        import torch

        assert step.error is not None
        return self.size(step.error / self.scale(torch.maximum(before[0].abs(), step.state[0].abs())))

    def warn_of_shortest(self) -> None:
        """Say that a step of `min_step` was taken whatever its error."""
        warn(
            f"steps of min_step = {self.min_step:g} were taken although their error is above the tolerance; lower "
            "min_step, or loosen the tolerance",
            stacklevel=3,
        )

    @property
    def exponents(self) -> tuple[float, float, float]:
        """What an accepted step's length is multiplied by: safety·Π error^(−exponent/order), newest error first."""
        return _FILTERS[self.controller]

    def _within(self, dt: float) -> float:
        """`dt` between the shortest and the longest step."""
        return copysign(min(max(abs(dt), self.min_step), self.longest), dt)

    def scale(self, size: Tensor) -> Tensor:
        """The error allowed, in place. Without atol a component that rests at 0 must not make it 0/0."""
        import torch

        scale = size.mul_(self.rtol).add_(self.atol)
        if self.atol_is_positive and scale.dtype != torch.float16:
            return scale
        # Half precision rounds a small atol to 0, and has numbers below `tiny` that it does not.
        return scale.clamp_min_(2.0**-24 if self.atol_is_positive else torch.finfo(scale.dtype).tiny)


def _least(tolerance: Any) -> float:
    """The least entry, of a tensor or of the one number there is; nan if one is."""
    amin = getattr(tolerance, "amin", None)
    if amin is None:
        found: float = tolerance
        return found
    return float(amin()) if tolerance.numel() else 1.0
