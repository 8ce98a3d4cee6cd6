"""From a problem as a suite names it to one that can be solved: span, saved times, initial rows, torch module."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from odebench.errors import OptionError, UsageError
from odebench.problems.problem import ROWS, BatchProblem, Judged, ModuleProblem, Problem, generator
from odebench.registry import problems
from odebench.spec import Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from odebench.problems.problem import Array


@dataclass(frozen=True)
class Posed:
    """A problem with its span and saved times. Torch-free."""

    problem: Any  # a `Problem`, a `ModuleProblem` or a `BatchProblem`
    ts: tuple[float, ...]  # saves + 1 of them, end points exact
    every_save: bool = False  # the default loss is the sum over all of `ts`, not of the last state alone

    @property
    def own_loss(self) -> bool:
        """The problem says what its loss is, and it may see every saved time."""
        return isinstance(self.problem, Judged)

    @property
    def end_alone(self) -> bool:
        """The loss is Σ y(t1)², so that states in between do not matter."""
        return not self.own_loss and not self.every_save


@dataclass(frozen=True)
class Bound:
    """A problem on a device in a dtype.

    `params` and `y0` are leaves that require grad; `y0` has shape (batch, dim…), `loss` takes the solution at `ts`,
    shape (len(ts), batch, dim…), and gives a scalar.
    """

    f: nn.Module
    params: tuple[Tensor, ...]
    y0: Tensor
    ts: tuple[float, ...]
    loss: Callable[[Tensor], Tensor]


def pose(spec: Spec) -> Posed:
    """Build the problem that `spec` names; needs no torch.

    Raises:
        UnknownName: there is no such problem.
        OptionError: an option is unknown or its value is refused; also a problem class without what problems have.
    """
    options = dict(spec.options)
    problem = problems.build(spec)
    if not isinstance(problem, (Problem, ModuleProblem, BatchProblem)):
        raise OptionError(
            f"problem {spec.name} must have default_span, start(seed), and either parameters(seed) with "
            "field(xp, t, y, theta), module(seed) or module_of_batch(batch, seed)"
        )
    given = options.get("span")
    t0, t1 = _span(spec.name, problem.default_span if given is None else given)
    saves = options.get("saves", 1)
    if isinstance(saves, bool) or not isinstance(saves, int) or saves < 1:
        raise OptionError(f"problem {spec.name}: saves must be a whole number of at least 1, got {saves!r}", ("saves",))
    posed = Posed(problem, (*(t0 + (t1 - t0) * k / saves for k in range(saves)), t1), _every_save(spec))
    if "loss_at" in options and posed.own_loss:
        raise OptionError(f"problem {spec.name} has a loss of its own; leave out loss_at", ("loss_at",))
    return posed


def check_problem(spec: Spec) -> None:
    """Raise what `pose` raises, if anything."""
    pose(spec)


def initial_rows(start: Array, batch: int, seed: int) -> Array:
    """y0, shape (batch, dim…): row 0 is `start`; row i > 0 is start·(1 + 0.1·u), u uniform in [-1, 1].

    u comes from PCG64 seeded by (seed, 2), row by row, so that a smaller batch is the beginning of a larger one.
    """
    import numpy as np

    rows = np.repeat(np.asarray(start, dtype=np.float64)[None], batch, axis=0)
    rows[1:] *= 1.0 + 0.1 * generator(seed, ROWS).uniform(-1.0, 1.0, (batch - 1, *rows.shape[1:]))
    return rows


def rows_of(problem: Any, batch: int, seed: int) -> Array:
    """y0 of a batch, shape (batch, dim…): the problem's own `rows` where it has them, else `initial_rows`."""
    own = getattr(problem, "rows", None)
    rows: Array = initial_rows(problem.start(seed), batch, seed) if own is None else own(batch, seed)
    return rows


def bind(spec: Spec, *, batch: int, seed: int, dtype: str, device: str) -> Bound:
    """The problem that `spec` names, ready to be solved. Imports torch.

    Raises:
        UnknownName, OptionError: as `pose` does.
        UsageError: batch, seed or dtype make no sense.
    """
    import torch

    posed = pose(spec)
    if batch < 1 or seed < 0:
        raise UsageError(f"batch must be at least 1 and seed at least 0, got batch {batch} and seed {seed}")
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise UsageError(f"dtype must name a floating-point type of torch such as float32 or float64, got {dtype!r}")
    place = torch.device(device)
    f = _module(posed.problem, batch, seed, kind, place)
    y0 = torch.tensor(rows_of(posed.problem, batch, seed), dtype=kind, device=place)
    params = tuple(parameter for parameter in f.parameters() if parameter.requires_grad)
    return Bound(f, params, y0.requires_grad_(), posed.ts, _loss(posed))


def _module(problem: Any, batch: int, seed: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    import torch

    from odebench.problems.torch_field import TorchField

    if isinstance(problem, Problem):
        return TorchField(problem, seed, dtype, device)
    # The weights are drawn on the CPU in torch's default dtype, then cast: the same numbers on every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        held = isinstance(problem, BatchProblem)
        module: nn.Module = problem.module_of_batch(batch, seed) if held else problem.module(seed)
    return module.to(dtype=dtype, device=device)


def _loss(posed: Posed) -> Callable[[Tensor], Tensor]:
    if not posed.own_loss:
        return _sum_of_all_squares if posed.every_save else _sum_of_squares
    from odebench.problems.torch_field import TorchArrays

    return partial(posed.problem.loss, TorchArrays)


def _sum_of_squares(ys: Tensor) -> Tensor:
    return ys[-1].square().sum()


def _sum_of_all_squares(ys: Tensor) -> Tensor:
    return ys.square().sum()


def _every_save(spec: Spec) -> bool:
    given = dict(spec.options).get("loss_at", "end")
    if given not in ("end", "saves"):
        raise OptionError(f"problem {spec.name}: loss_at must be end or saves, got {given!r}", ("loss_at",))
    return bool(given == "saves")


def _span(name: str, span: Any) -> tuple[float, float]:
    numbers = isinstance(span, (tuple, list)) and len(span) == 2 and all(_is_number(each) for each in span)
    if not numbers or float(span[0]) == float(span[1]):
        message = f"problem {name}: span must be two different finite numbers [t0, t1], got {span!r}"
        raise OptionError(message, ("span",))
    return float(span[0]), float(span[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
