"""The `options` of a solve: read, and refused where they say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any

import torch
from torch import Tensor

from odebench import registry
from odebench.errors import UsageError, did_you_mean
from odebench.solve.faults import WrongType, WrongValue
from odebench.solve.idle_options import IDLE
from odebench.solve.landings import NO_TIMES, Times
from odebench.solve.warned import warn_caller
from odebench.spec import Spec
from odebench.types import MOST_STEPS

# What says where fixed steps end; one of them.
_FIXED = ("step_size", "dt", "steps", "grid_constructor")

# torchdiffeq's name for an option of the step-size control -> ours
_ADAPTIVE = {"max_num_steps": "max_steps", "ifactor": "max_factor", "dfactor": "min_factor"}

# Those of it that torchdiffeq knows, by its names: where no tolerances are at work it warns of them.
_THEIRS = frozenset({"first_step", "min_step", "max_step", "safety", *_ADAPTIVE})


@dataclass(frozen=True)
class Options:
    """What `options` may hold; None where it does not. `adaptive` is what the step-size control takes, by its names.

    `step_size` and `dt` ask for fixed steps by their length, `steps` by their number over the whole span. `grid_points`
    and `step_t` mean the same: times that steps land on beside the saved ones. `method` is whose options they are, and
    `spelt` names those in `adaptive` as they were given, both for messages.
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
    method: str = "the method"
    spelt: tuple[str, ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any] | None, method: Spec | None = None) -> Options:
        """Those of `method`, which `idle_options` has looked at before.

        Raises:
            UsageError: an option is unknown, or makes no sense.
        """
        given = {name: value for name, value in (options or {}).items() if value is not None}
        allowed = set(registry.steppings.get("adaptive").options) - {"rtol", "atol", "norm"}
        internal = {"adaptive", "method", "spelt"}
        known = {field.name for field in fields(cls)} - internal | {"step_t", "dtype", *_ADAPTIVE, *allowed}
        for name in given:
            if name not in known:
                near = did_you_mean(name, {*known, *IDLE})
                raise UsageError(f"no option {name!r}{near or '; known: ' + ', '.join(sorted(known))}")
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
            method=cls.method if method is None else str(method),
            spelt=tuple(name for name in given if _ADAPTIVE.get(name, name) in allowed),
        )

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
        """No step-size control is at work: warn of options that only one can follow, as torchdiffeq does.

        Raises:
            UsageError: there is one of these that torchdiffeq has not; nobody is used to its being ignored.
        """
        for name in sorted(self.spelt, key=lambda name: name in _THEIRS):
            told = f"option {name!r} is for steps chosen by tolerances, and {why}"
            if name not in _THEIRS:
                raise UsageError(f"{told}; leave it out, or use a method that estimates its error, such as dopri5")
            warn_caller(f"{told}: {self.method} goes on without it; leave it out")

    def warn_of_perturb(self) -> None:
        """A step-size control is at work: warn of an option that only fixed steps can follow, as torchdiffeq does."""
        if self.perturb:
            warn_caller(
                f"{self.method} does not follow 'perturb', which is for fixed steps: jump_t tells where f jumps, and f "
                "is then looked at from either side; leave it out"
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
