"""The `options` of a solve: read, and refused where they say nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

import torch
from torch import Tensor

from odebench import registry
from odebench.errors import UsageError, did_you_mean
from odebench.solve.faults import WrongType, WrongValue
from odebench.solve.landings import NO_TIMES, Times
from odebench.spec import Spec
from odebench.types import MOST_STEPS

# torchdiffeq's methods that choose their steps by the tolerance. They warn of what asks for fixed ones.
_BY_TOLERANCE = frozenset({"dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun"})

# What says where fixed steps end; one of them.
_FIXED = ("step_size", "dt", "steps", "grid_constructor")

# torchdiffeq's name for an option of the step-size control -> ours
_ADAPTIVE = {"max_num_steps": "max_steps", "ifactor": "max_factor", "dfactor": "min_factor"}

_LEFT_OUT = {
    "interp": "a saved time is landed on, so nothing is interpolated; leave it out",
    "max_order": 'the order of an Adams method is its own option: method={"abm": {"order": 5}}',
    "max_iters": "the corrector of an Adams method is applied once; leave it out",
    "implicit": "ask for the method: adams_bashforth (explicit_adams) or abm (implicit_adams)",
    "solver": "it names a solver of SciPy's; name one of odebench's as method",
    "eps": "give jump_t, and f is looked at from either side of it",
}


@dataclass(frozen=True)
class Options:
    """What `options` may hold; None where it does not. `adaptive` is what the step-size control takes, by its names.

    `step_size` is torchdiffeq's, for fixed steps of a method that it knows as one of fixed steps, or does not know at
    all; `dt` and `steps` ask for fixed steps of any method, by their length and by their number over the whole span.
    `grid_points` and `step_t` mean the same: times that steps land on beside the saved ones.
    """

    step_size: float | None = None
    dt: float | None = None
    steps: int | None = None
    grid_constructor: Callable[..., Tensor] | None = None
    grid_points: tuple[Times, ...] = ()
    jump_t: Times = NO_TIMES
    perturb: bool = False
    norm: Any = None
    adaptive: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any] | None) -> Options:
        """
        Raises:
            UsageError: an option is unknown, or makes no sense.
        """
        given = {name: value for name, value in (options or {}).items() if value is not None}
        allowed = set(registry.steppings.get("adaptive").options) - {"rtol", "atol", "norm"}
        known = {field.name for field in fields(cls)} - {"adaptive"} | {"step_t", "dtype", *_ADAPTIVE, *allowed}
        for name in given:
            if name in _LEFT_OUT:
                raise UsageError(f"option {name!r}: {_LEFT_OUT[name]}")
            if name not in known:
                raise UsageError(
                    f"no option {name!r}{did_you_mean(name, known) or '; known: ' + ', '.join(sorted(known))}"
                )
        _look_at_dtype(given.get("dtype"))
        said = [name for name in _FIXED if name in given]
        if len(said) > 1:
            raise WrongValue(f"{' and '.join(said)} each say where steps end; give one of them")
        chosen = {_ADAPTIVE.get(name, name): _plain(value) for name, value in given.items()}
        return cls(
            step_size=positive("step_size", given["step_size"]) if "step_size" in given else None,
            dt=positive("dt", given["dt"]) if "dt" in given else None,
            steps=_count("steps", given["steps"]) if "steps" in given else None,
            grid_constructor=given.get("grid_constructor"),
            grid_points=tuple(_times(name, given) for name in ("grid_points", "step_t") if name in given),
            jump_t=_times("jump_t", given),
            perturb=bool(given.get("perturb", False)),
            norm=given.get("norm"),
            adaptive=tuple((name, value) for name, value in chosen.items() if name in allowed),
        )

    def followed_by(self, method: Spec) -> Options:
        """Without what `method` ignores: torchdiffeq's fixed steps, under its names of adaptive methods."""
        return self if self._ignored(method) is None else replace(self, step_size=None, grid_constructor=None)

    def warn_of_ignored(self, method: Spec) -> None:
        """As torchdiffeq does."""
        name = self._ignored(method)
        if name is not None:
            warnings.warn(
                f"{method.name} chooses its steps by the tolerance, so option {name!r} is ignored, as torchdiffeq "
                'ignores it; ask for fixed steps by options={"dt": …} or {"steps": …}, or leave it out',
                UserWarning,
                stacklevel=5,
            )

    def _ignored(self, method: Spec) -> str | None:
        if method.name not in _BY_TOLERANCE:
            return None
        return "step_size" if self.step_size is not None else "grid_constructor" if self.grid_constructor else None

    def stride(self, span: float) -> float | None:
        """The length of the equal steps asked for over `span`, or None.

        Raises:
            UsageError: they are too many.
        """
        if self.steps is not None:
            name, count, found = "steps", float(self.steps), abs(span) / self.steps
        elif (found := self.dt or self.step_size or 0.0) > 0:
            name, count = "step_size" if self.dt is None else "dt", abs(span) / found
        else:
            return None
        if count > MOST_STEPS:
            raise UsageError(f"{name} asks for {count:.3g} steps, above {MOST_STEPS:.0e}; is it in the unit of t?")
        return found

    def refuse_adaptive(self, why: str) -> None:
        """
        Raises:
            UsageError: there is an option that only a step-size control can follow, and none is at work.
        """
        if self.adaptive:
            raise UsageError(
                f"option {self.adaptive[0][0]!r} is for steps chosen by tolerances, and {why}; leave it out"
            )


def positive(name: str, value: Any) -> float:
    """
    Raises:
        UsageError: it is no positive number.
    """
    found = number(name, value)
    if not 0 < found < inf:
        raise WrongValue(f"{name} must be positive; got {found!r}")
    return found


def _count(name: str, value: Any) -> int:
    found = number(name, value)
    if not (1 <= found < inf and found == int(found)):
        raise WrongValue(f"{name} must be a whole number, at least 1; got {value!r}")
    return int(found)


def number(name: str, value: Any) -> float:
    """
    Raises:
        UsageError: it is none; a TypeError too.
    """
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WrongType(f"{name} must be a number; got {value!r}") from error


def _times(name: str, given: Mapping[str, Any]) -> Times:
    if name not in given:
        return NO_TIMES
    times = torch.as_tensor(given[name])
    if times.ndim != 1 or times.is_complex():
        raise UsageError(f"{name} must be a 1-D tensor of times; got shape {tuple(times.shape)}, {times.dtype}")
    return Times.of(given[name])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def _look_at_dtype(dtype: Any) -> None:
    """Time is reckoned in float64 at any rate, which is no less than float32 asks for."""
    if dtype not in (None, torch.float32, torch.float64):
        raise UsageError(f"dtype is that of time, which is reckoned in float64; got {dtype!r}; leave it out")
