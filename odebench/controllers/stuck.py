"""What is said where steps cannot go on: the cause, where it can be told, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from math import ulp
from typing import Any

import torch
from torch import Tensor

from odebench.controllers.adaptive import Adaptive
from odebench.controllers.resolution import is_coarse
from odebench.errors import Divergence, SolveError

# A component that is below this many roundings of the largest one is rounding itself.
_NOISE = 1e3


@dataclass(frozen=True)
class LastTrial:
    """The last trial: from `y` at time `t`, with its `error` estimate; `dt` was to be tried next, of a whole `span`.

    `control` chose it, and `sample`, where samples step by themselves, is whose it was.
    """

    control: Any
    t: float
    dt: float
    span: float
    y: Tensor
    error: Tensor | None
    sample: int | None = None

    def stuck(self) -> SolveError:
        """The step became too short."""
        if self.error is not None and not bool(torch.isfinite(self.error).all()):
            return Divergence(
                f"{self._whose}f or the solution is not finite just after t = {self.t:.6g}, however small the step"
            )
        cause = self._cause() or "the problem is too stiff for this scheme there"
        return SolveError(f"{self._whose}the step size underflowed at t = {self.t:.6g}; {cause}")

    def exhausted(self, limit: int) -> SolveError:
        """Too many steps were tried."""
        cause = self._cause() or "raise max_steps (max_num_steps in odeint's options) or the tolerance"
        return SolveError(f"{self._whose}{limit} steps were tried and t = {self.t:.6g} reached; {cause}")

    @property
    def _whose(self) -> str:
        return "" if self.sample is None else f"sample {self.sample}: "

    def _cause(self) -> str | None:
        return self._no_tolerance() or self._time_of_f() or self._time()

    def _no_tolerance(self) -> str | None:
        """A component that is 0 but for rounding may have an error of atol alone."""
        control = self.control
        if not isinstance(control, Adaptive) or control.atol_is_positive or self.error is None:
            return None
        if self.error.shape != self.y.shape or not self.y.numel():
            return None  # y is carried with more than itself, as on the way back
        size = self.y.detach().abs()
        atol = torch.as_tensor(control.atol, dtype=size.dtype, device=size.device).expand_as(size)
        worst = int((self.error.abs() / control.scale(size.clone())).argmax())
        at, largest = float(size.flatten()[worst]), float(size.max())
        if float(atol.flatten()[worst]) or at > _NOISE * torch.finfo(size.dtype).eps * largest:
            return None
        return f"atol = 0 allows no error in a component of y that is {at:.3g}, which is rounding; give a positive atol"

    def _time_of_f(self) -> str | None:
        dtype = self.y.dtype if self.y.dtype.is_floating_point else self.y.real.dtype
        apart = torch.finfo(dtype).eps * abs(self.t)
        if dtype == torch.float64 or abs(self.dt) >= apart:
            return None
        return (
            f"f gets t in {dtype}, as y is, and times less than {apart:.2g} apart are one to it there; count t from "
            "the start of the solve, or make y0 float64"
        )

    def _time(self) -> str | None:
        apart = ulp(self.t)
        if abs(self.dt) >= apart or not is_coarse(self.t, self.span):
            return None
        return (
            f"the tolerance asks for steps shorter than {apart:.2g}, and times less than that apart are one there; "
            "count t from the start of the solve, or loosen the tolerance"
        )
