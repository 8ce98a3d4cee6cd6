"""A solver to check solvers against: Gragg-Bulirsch-Stoer extrapolation in float64, with its exact reverse sweep.

It shares no code, no tableau and no step-size control with `odebench.solvers`, `integrate` and `gradients`. A
macro-step extrapolates the explicit midpoint rule with 2, 4, 6, … substeps; its order is twice the number of columns.
The gradient is that of the macro-steps taken, by autograd through one of them at a time: it tends to the gradient of
the ODE as the steps' own error tends to 0, and how near it is shows when two tolerances are compared.

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, section II.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import isfinite, ulp

import torch
from torch import Tensor

from odebench.errors import SolveError

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Extrapolation:
    """How finely to solve.

    `tolerance` bounds each macro-step's error estimate relative to its own sample's size. Where `unit` is positive a
    step shorter than it is allowed its share only. That is for fields with kinks: the error of stepping over one
    shrinks like dt², that of the gradient like dt, so that a bound on the first leaves the second at its square root.
    """

    columns: int = 6
    tolerance: float = 1e-13
    unit: float = 0.0
    max_steps: int = 10_000


@dataclass(frozen=True)
class Macro:
    """One accepted macro-step, from state `y` at `t` to `t1`."""

    t: float
    t1: float
    y: Tensor


@dataclass(frozen=True)
class Solution:
    """`ys` at the saved times, shape (len(ts), *y0.shape), and the macro-steps between each two of them."""

    ys: Tensor
    legs: tuple[tuple[Macro, ...], ...]


@dataclass(frozen=True)
class Weights:
    """Substeps per row, and what combines the rows: `best` to order 2·columns, `low` without the coarsest row."""

    counts: tuple[int, ...]
    best: tuple[float, ...]
    low: tuple[float, ...]


@cache
def weights(columns: int) -> Weights:
    """Lagrange weights at substep 0 of polynomials in its square, in exact arithmetic before they are rounded."""
    counts = tuple(2 * (row + 1) for row in range(columns))

    def combine(nodes: tuple[int, ...]) -> tuple[float, ...]:
        result = []
        for n in nodes:
            product = Fraction(1)
            for m in nodes:
                product *= Fraction(n * n, n * n - m * m) if m != n else 1
            result.append(float(product))
        return tuple(result)

    return Weights(counts, combine(counts), (0.0, *combine(counts[1:])))


def solve(f: Function, y0: Tensor, ts: Sequence[float], how: Extrapolation) -> Solution:
    """Integrate y' = f(t, y) through `ts`, monotone either way, from float64 `y0` of shape (batch, …).

    One step size serves the whole batch, and the sample that is worst off decides it.

    Raises:
        SolveError: the step size underflowed, or `how.max_steps` macro-steps were not enough.
    """
    y, dt, spent = y0.detach(), 0.0, 0
    states, legs = [y], []
    with torch.no_grad():
        for start, stop in pairwise(ts):
            leg: list[Macro] = []
            t = start
            dt = dt or _first_step(f, t, stop - t, y)
            while t != stop:
                spent += 1
                if spent > how.max_steps:
                    raise SolveError(
                        f"the reference solver took {how.max_steps} steps and got to t={t:.6g} of {ts[-1]:.6g} only; "
                        "shorten the span, or is the problem stiff or near a singularity?"
                    )
                t1, y1, dt_next = _attempt(f, t, dt, stop, y, how)
                if y1 is not None:
                    leg.append(Macro(t, t1, y))
                    t, y = t1, y1
                dt = dt_next
            states.append(y)
            legs.append(tuple(leg))
    return Solution(torch.stack(states), tuple(legs))


def pull_back(
    f: Function, params: Sequence[Tensor], solution: Solution, ys_bar: Tensor, how: Extrapolation
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The cotangents of y0 and of `params`, from `ys_bar`, that of `solution.ys`."""
    bar = ys_bar[-1]
    params_bar = [torch.zeros_like(parameter) for parameter in params]
    for leg, saved_bar in zip(reversed(solution.legs), reversed(ys_bar[:-1].unbind()), strict=True):
        for macro in reversed(leg):
            y = macro.y.detach().requires_grad_()
            with torch.enable_grad():
                increment, _ = _extrapolate(f, macro.t, macro.t1 - macro.t, y, how.columns, estimate=False)
            if not increment.requires_grad:
                continue  # neither the state nor θ enters: the cotangent passes as it is
            y_bar, *shares = torch.autograd.grad(increment, (y, *params), bar, materialize_grads=True)
            bar = bar + y_bar
            for total, share in zip(params_bar, shares, strict=True):
                total += share
        bar = bar + saved_bar
    return bar, tuple(params_bar)


def _attempt(
    f: Function, t: float, dt: float, stop: float, y: Tensor, how: Extrapolation
) -> tuple[float, Tensor | None, float]:
    """Try one macro-step: (its end, the state there or None if it is rejected, the step to try next)."""
    # Step on to `stop` too when it would leave a sliver.
    t1 = stop if abs(stop - t) <= 1.05 * abs(dt) else t + dt
    dt = t1 - t
    if t1 != stop and abs(dt) < 8 * ulp(max(abs(t), abs(stop))):
        raise SolveError(f"the reference solver's step size underflowed at t={t:.17g}: the solution may blow up there")
    increment, error = _extrapolate(f, t, dt, y, how.columns, estimate=True)
    assert error is not None
    y1 = y + increment
    size = torch.maximum(y.flatten(1).abs().amax(1), y1.flatten(1).abs().amax(1)).clamp_min(1e-290)
    share = min(1.0, abs(dt) / how.unit) if how.unit else 1.0
    ratio = float((error.flatten(1).abs().amax(1) / size).max()) / (how.tolerance * share)
    if not isfinite(ratio):
        return t1, None, dt * 0.1
    # The estimate is that of the extrapolation one order pair below, so it shrinks like dt**(2·columns - 1).
    factor = min(4.0, max(0.2, 0.85 * max(ratio, 1e-30) ** (-1.0 / (2 * how.columns - 1))))
    return t1, (y1 if ratio <= 1.0 else None), dt * (factor if ratio <= 1.0 else min(factor, 0.9))


def _extrapolate(
    f: Function, t: float, dt: float, y: Tensor, columns: int, *, estimate: bool
) -> tuple[Tensor, Tensor | None]:
    """(y(t + dt) - y, its error estimate).

    Increments, not states, are extrapolated: the weights alternate and would amplify the rounding of what is larger.
    """
    how = weights(columns)
    slope = f(_time(t), y)
    rows = [_midpoint(f, t, dt, y, slope, count) for count in how.counts]
    best = _combine(rows, how.best)
    return best, (best - _combine(rows, how.low) if estimate else None)


def _midpoint(f: Function, t: float, dt: float, y: Tensor, slope: Tensor, count: int) -> Tensor:
    """The increment over `count` substeps, an even number: its error is then a series in the substep's square.

    Gragg's smoothing at the end is not needed for that, but it is the one evaluation that sees a kink of f in the last
    substep; without it such a step looks perfect.
    """
    h = dt / count
    before, now = torch.zeros_like(y), h * slope
    for index in range(1, count):
        before, now = now, torch.add(before, f(_time(t + index * h), y + now), alpha=2.0 * h)
    end = f(_time(t + dt), y + now)
    return 0.5 * torch.add(before + now, end, alpha=h)


def _combine(rows: list[Tensor], factors: tuple[float, ...]) -> Tensor:
    total = factors[-1] * rows[-1]
    for row, factor in zip(rows[-2::-1], factors[-2::-1], strict=True):
        if factor:
            total = torch.add(total, row, alpha=factor)
    return total


def _first_step(f: Function, t: float, length: float, y: Tensor) -> float:
    """A hundredth of the time in which the fastest sample changes by its own size, or of the way; it grows quickly."""
    slope = f(_time(t), y).flatten(1).norm(dim=1)
    size = y.flatten(1).norm(dim=1)
    fastest = float((slope / size.clamp_min(1e-290)).max())
    step = min(abs(length), 1.0 / fastest) if isfinite(fastest) and fastest > 0 else abs(length)
    return (1 if length > 0 else -1) * max(0.01 * step, 1e-6 * abs(length))


def _time(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)
