"""From tolerances and options to where steps land, and what chooses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive, Carrying, Fixed
from odebench.controllers.fixed import strides
from odebench.errors import UsageError
from odebench.gradients import misfit
from odebench.solve.landings import Rounding, Times, landings
from odebench.solve.methods import one_step_per_interval
from odebench.solve.options import Options, number
from odebench.solve.pieces import Pair, Route
from odebench.solve.states import fit
from odebench.spec import Spec
from odebench.types import Continuous, Controller, Graded, Mesh, Stepper, Tick, can


@dataclass(frozen=True)
class Hops:
    """One step from each time to the next."""

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes given steps."""
        return None

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """A step per interval."""
        return tuple(Tick(a, b - a, True) for a, b in pairwise(ts))

    first, judge = Fixed.first, Fixed.judge


@dataclass(frozen=True)
class Strides:
    """Steps of length `dt` from each time to the next, the last as long as is left, if that is more than rounding."""

    dt: float
    rounding: Rounding

    def refusal(self, stepper: Stepper) -> str | None:
        """Every scheme takes given steps."""
        return None

    def mesh(self, ts: tuple[float, ...]) -> Mesh:
        """All the steps."""
        return strides(ts, self.dt, self.rounding.blur, self.rounding.most)

    first, judge = Fixed.first, Fixed.judge


def tolerances(rtol: Any, atol: Any, y0: Tensor) -> dict[str, Any]:
    """As numbers where they are, else per element of `y0`.

    Raises:
        UsageError: one requires a gradient, is no number or does not broadcast to `y0`.
    """
    found: dict[str, Any] = {}
    for name, given in (("rtol", rtol), ("atol", atol)):
        if isinstance(given, Tensor) and given.requires_grad:
            raise UsageError(f"{name} requires a gradient, and steps are not differentiated; pass {name}.detach()")
        if isinstance(given, Tensor) and given.numel() == 1:
            given = given.item()
        if isinstance(given, (Tensor, tuple, list)):
            real = y0.dtype if y0.dtype.is_floating_point else y0.real.dtype
            found[name] = fit(name, given, y0.shape).to(y0.device, real)
        else:
            found[name] = number(name, given)
    return found


def control_of(
    method: Spec, stepper: Stepper, options: Options, tolerated: dict[str, Any], norm: Any, span: float, told: Rounding
) -> Controller:
    """What chooses the steps over `span`; `told` is the rounding in the saved times as they were given.

    Raises:
        UsageError: options that make no sense for these steps.
    """
    stride = options.stride(span)
    if stride is not None:
        options.refuse_adaptive("fixed steps are asked for")
        return Strides(stride, told)
    if options.grid_constructor is not None or one_step_per_interval(method, stepper):
        options.refuse_adaptive("these steps are fixed")
        return Hops()
    options.warn_of_perturb()
    given = dict(options.adaptive) | tolerated | ({} if norm is None else {"norm": norm})
    return Carrying.of(registry.steppings.get("adaptive").build(given))


def between_saves(control: Controller, pair: Pair, options: Options) -> Controller:
    """`control`, with the saved times read from the interpolant where scheme and gradient can and nobody said else.

    Raises:
        UsageError: `dense` and `grid_points` are given, and every sample steps by itself.
    """
    if not isinstance(control, Adaptive):
        return control
    said = dict(options.adaptive).get("dense")
    if control.per_sample and options.grid_points:
        if said:
            raise UsageError("with per_sample and dense the end alone is landed on; leave out dense or grid_points")
        return control
    if said is not None or not _looked_into_well(pair.stepper):
        return control
    dense = replace(control, dense=True)
    return control if dense.refusal(pair.stepper) or misfit(pair.gradient, dense) else dense


# An extension of this order is worth the tolerance of any pair: torchdiffeq has a quartic for all of its pairs.
_QUARTIC = 4


def _looked_into_well(stepper: Stepper) -> bool:
    """What is read inside a step is worth its tolerance: of an order at most one below that of the steps, or high.

    Kværnø's pair of order 5, which has Hermite's cubic, is off by a hundred times its tolerance there.
    """
    if can(stepper, Graded):
        return stepper.extension_order >= min(stepper.order - 1, _QUARTIC)
    return can(stepper, Continuous)


def route_of(saved: Times, options: Options, control: Controller, grid: Callable[[], Any]) -> Route:
    """Where steps land, and where f may jump. `grid` calls the user's grid_constructor.

    Raises:
        UsageError: the grid is none.
    """
    ts, points = saved.values, options.grid_points
    if options.grid_constructor is not None:
        points += (_nodes(grid(), ts),)
    times, landing = landings(saved, options.jump_t, *points)
    where = {time: place for place, time in enumerate(times)}
    jumps = frozenset(where[landing[time]] for time in options.jump_t.values if time in landing)
    marks = tuple(landing[time] for each in points for time in each.values if time in landing)
    route = Route(times, tuple(where[time] for time in ts), jumps, marks)
    mesh = control.mesh(route.times) if options.perturb else None
    if mesh is None:
        return route
    return route.with_jumps_at(tuple(tick.t for tick in mesh))


def _nodes(grid: Any, ts: tuple[float, ...]) -> Times:
    if not isinstance(grid, Tensor) or grid.ndim != 1 or grid.numel() < 2:
        raise UsageError(f"grid_constructor must return a 1-D tensor of at least two times; got {type(grid).__name__}")
    nodes = Times.of(grid)
    first, *_, last = nodes.values
    steps = [b - a for a, b in pairwise(nodes.values)]
    if (first, last) != (ts[0], ts[-1]):
        raise UsageError(
            f"the grid runs from {first!r} to {last!r} and t from {ts[0]!r} to {ts[-1]!r}; build the grid from the t "
            f"that grid_constructor is given, in its dtype"
        )
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise UsageError("grid_constructor must return times that are strictly monotone")
    return nodes
