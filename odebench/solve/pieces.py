"""One solve, or several end to end, where f or the saved times ask for a fresh start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from odebench.controllers import Replay
from odebench.gradients.guard import Guard
from odebench.spec import Spec
from odebench.types import Asking, Controller, Field, Gradient, Mesh, Params, Stepper, Tick, can


@dataclass(frozen=True)
class Route:
    """The times at which steps land. `saved` are the places of those whose solution is wanted; at those in `jumps`, by
    place too, f may be discontinuous: the solve starts afresh there, and sees of f the side it is on. `marks` are those
    of the times that are landed on also where steps may pass over others.
    """

    times: tuple[float, ...]
    saved: tuple[int, ...]
    jumps: frozenset[int] = frozenset()
    marks: tuple[float, ...] = ()

    def begin(self, dtype: torch.dtype) -> float:
        """The first time at which f is asked: beside a jump at the start, the nearest number of `dtype` inside."""
        return _inside(self.times[0], self.times[-1], dtype) if 0 in self.jumps else self.times[0]

    def with_jumps_at(self, nodes: tuple[float, ...]) -> Route:
        """This route through `nodes` too, f looked at from one side at all of its times.

        Every step is then a solve of its own: a slope kept from the last step would be that of the other side. So a
        multistep method never gets beyond its start-up steps, as it must not behind a jump.
        """
        times = merged(self.times, nodes)
        where = {time: place for place, time in enumerate(times)}
        return Route(times, tuple(where[self.times[i]] for i in self.saved), frozenset(range(len(times))))


def merged(ts: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, ...]:
    """`ts` and those of the `others` that lie strictly within, in the order of `ts`."""
    low, high = min(ts), max(ts)
    return tuple(sorted({*ts, *(x for x in others if low < x < high)}, reverse=ts[0] > ts[-1]))


@dataclass(frozen=True)
class Pair:
    """What solves: a scheme, `method` as it was named, and how its gradient is got; `name` is for messages."""

    stepper: Stepper
    gradient: Gradient
    name: str
    method: Spec
    guard: Guard | None = None

    def under(self, guard: Guard) -> Pair:
        """For one solve of somebody else's f, if the gradient evaluates f again."""
        how = self.gradient
        return replace(self, gradient=how.within(guard), guard=guard) if can(how, Asking) else self

    def knowing(self, tensors: Params) -> Pair:
        """The same where f depends on these too."""
        if self.guard is None:
            return self
        return self.under(replace(self.guard, known=(*self.guard.known, *tensors)))


def solve(
    f: Field,
    params: Params,
    y0: Tensor,
    route: Route,
    pair: Pair,
    control: Controller,
    dtype: torch.dtype,
    knots: Mapping[int, Tensor],
) -> Tensor:
    """The solution at the saved times of `route`; `dtype` tells how near to a jump f is asked.

    `knots` are saved times that want a gradient, as 0-dim tensors by their place: each interval between them is then
    solved by itself, its steps moving in proportion to its ends.
    """
    mesh = control.mesh(route.times)
    ticks = None if mesh is None else _by_interval(mesh)
    found, y = [y0.unsqueeze(0)], y0
    for a, b in pairwise(sorted({0, *route.jumps, *knots, len(route.times) - 1})):
        times = route.times[a : b + 1]
        own, ends = _scaled(f, times, knots.get(a), knots.get(b), y0)
        own = _one_sided(own, times, a in route.jumps, b in route.jumps, dtype)
        drive = control if ticks is None else Replay(tuple(tick for i in range(a, b) for tick in ticks[i]))
        ys = pair.gradient.solve(own, (*ends, *params), y, times, pair.stepper, drive)
        found.append(ys[1:])
        y = ys[-1]
    if len(found) > 2:
        ys = torch.cat(found)
    return ys if len(route.saved) == len(route.times) else ys[list(route.saved)]


def _by_interval(mesh: Mesh) -> list[list[Tick]]:
    """The steps from each landing to the next."""
    found: list[list[Tick]] = [[]]
    for tick in mesh:
        found[-1].append(tick)
        if tick.lands:
            found.append([])
    return found[:-1]


def _one_sided(f: Field, times: tuple[float, ...], starts: bool, ends: bool, dtype: torch.dtype) -> Field:
    """f, never asked at an end of the piece that is a jump: at the nearest number of `dtype` inside instead."""
    if not (starts or ends):
        return f
    first, last = times[0], times[-1]
    low, high = sorted(
        (_inside(first, last, dtype) if starts else first, _inside(last, first, dtype) if ends else last)
    )

    def field(t: float | Tensor, y: Tensor) -> Tensor:
        return f(t.clamp(low, high) if isinstance(t, Tensor) else min(max(t, low), high), y)

    return field


def _inside(end: float, towards: float, dtype: torch.dtype) -> float:
    at, aim = (torch.tensor(t, dtype=dtype, device="cpu") for t in (end, towards))
    return float(torch.nextafter(at, aim))


def _scaled(
    f: Field, times: tuple[float, ...], first: Tensor | None, last: Tensor | None, y: Tensor
) -> tuple[Field, tuple[Tensor, ...]]:
    """f over a piece whose ends move, its steps in proportion; and these ends, as further parameters of it.

    With s for the times as numbers and t = first + (s − s0)/(s1 − s0)·(last − first), dy/ds = f(t, y)·dt/ds. Both t − s
    and dt/ds − 1 are 0 in value, and carry gradients.
    """
    ends = tuple(end for end in (first, last) if end is not None)
    if not ends:
        return f, ()
    s0, s1 = times[0], times[-1]
    real = y.dtype if y.dtype.is_floating_point else y.real.dtype

    def field(s: float | Tensor, y: Tensor) -> Tensor:
        share, at = (s - s0) / (s1 - s0), torch.as_tensor(s, dtype=real, device=y.device)
        early, late = _nought(first), _nought(last)
        rate = torch.as_tensor(1.0 + (late - early) / (s1 - s0))
        return f(at + early * (1 - share) + late * share, y) * rate.to(real)

    return field, ends


def _nought(end: Tensor | None) -> Tensor | float:
    return 0.0 if end is None else end - end.detach()
