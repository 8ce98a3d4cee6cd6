"""Observed orders, of the solution and of the error estimate; and time that runs backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import isfinite, log, log2
from statistics import linear_regression, median
from typing import NamedTuple

import torch
from torch import Tensor

from odebench.conformance.finding import Finding
from odebench.conformance.grounds import Ground, grounds
from odebench.controllers import Fixed
from odebench.errors import SolveError
from odebench.integrate import timed, walk
from odebench.measure.count import CountedField
from odebench.problems import Bound
from odebench.types import Field, Stepper

# Errors between these are neither rounding nor too coarse to have a slope.
_FLOOR, _CEILING = 3e-13, 5e-2
_POINTS = 6  # the finest meshes whose errors lie between, a factor of √2 apart
_FEWEST = 4
_MOST_STEPS = 600
_MOST_EVALUATIONS = 4_000  # of f, on one ladder


class Slope(NamedTuple):
    """A power law fitted to errors, and the meshes behind it."""

    order: float
    meshes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.order:.2f} over {len(self.meshes)} meshes of {self.meshes[0]} to {self.meshes[-1]} steps"


def orders(stepper: Stepper) -> Iterator[Finding]:
    """The order on two problems with known answers, against the one that is claimed; then time that runs backwards."""
    places, claimed = grounds(stepper), stepper.order
    found = [(ground, fit(errors(stepper, ground))) for ground in places]
    known = [slope.order for _, slope in found if slope is not None]
    for ground, slope in found:
        where = f"order: {ground.name}"
        if slope is None:
            advice = "it converges to nothing, or too slowly to tell; see that its steps follow f"
            yield Finding(where, "fewer than four meshes are accurate enough to fit", "fail", advice)
        elif higher(known, claimed):
            advice = f"it is of a higher order than it claims: set order to {round(min(known))}"
            yield Finding(where, f"{slope}; claimed {claimed}", "fail", advice, slope.order)
        else:
            advice = f"correct the coefficients (where f depends on t, the nodes), or set order to {round(slope.order)}"
            holds = slope.order >= claimed - slack(claimed)
            yield Finding.judged(where, f"{slope}; claimed {claimed}", holds, advice, slope.order)
    yield backwards(stepper, places[1])


def backwards(stepper: Stepper, ground: Ground) -> Finding:
    """The same solve in the mirror, −f(−s, y) with s decreasing, must be the same to rounding."""
    bound, steps = ground.bound, 32

    def mirrored(s: Tensor, y: Tensor) -> Tensor:
        slope: Tensor = bound.f(-s, y)
        return -slope

    there = _end(timed(bound.f, bound.y0), stepper, bound, steps)
    mirror = replace(bound, ts=tuple(-t for t in bound.ts))
    back = _end(timed(mirrored, bound.y0), stepper, mirror, steps)
    gap = float((back - there).norm() / there.norm())
    advice = "take dt as it comes, negative when time runs backwards, also in t + c·dt"
    figure = f"with t decreasing the same solve differs by {gap:.1e}"
    return Finding.judged("backward time", figure, gap <= 1e-12, advice, gap)


def higher(known: list[float], claimed: int) -> bool:
    """Whether the claim is too low. Above order 4 nobody can tell: such schemes are tuned for small leading terms, and
    what comes after these shows as a steeper slope on every mesh whose error is not rounding.
    """
    return bool(known) and claimed <= 4 and min(known) > claimed + 0.6


def slack(order: int) -> float:
    """How far below a claim a fitted slope may lie: the meshes of a high order are coarse."""
    return 0.2 + 0.04 * order


def errors(stepper: Stepper, ground: Ground) -> list[tuple[int, float]]:
    """(steps, relative error at the end) on ever finer meshes, as long as that is cheap."""
    bound, found = ground.bound, []
    f = CountedField(bound.f)
    size = float(ground.answer.norm())
    for half in range(2, 40):
        steps = round(2 ** (half / 2))
        try:
            y1 = _end(timed(f, bound.y0), stepper, bound, steps)
        except SolveError:  # a step too long for an implicit scheme, say
            y1 = torch.full_like(ground.answer, torch.inf)
        error = float((y1 - ground.answer).norm()) / size
        found.append((steps, error))
        per_step = f.calls / sum(n for n, _ in found)
        if error < _FLOOR or steps * 1.5 > _MOST_STEPS or f.calls + 1.5 * steps * per_step > _MOST_EVALUATIONS:
            break
    return found


def fit(found: list[tuple[int, float]]) -> Slope | None:
    """The slope of log error over log steps, through the finest meshes whose error is no rounding yet."""
    points = [(n, e) for n, e in found if isfinite(e) and _FLOOR <= e <= _CEILING][-_POINTS:]
    if len(points) < _FEWEST:
        return None
    slope = linear_regression([log(n) for n, _ in points], [log(e) for _, e in points]).slope
    return Slope(-slope, tuple(n for n, _ in points))


def estimates(stepper: Stepper) -> Iterator[Finding]:
    """The power of dt with which the error estimate of one step shrinks, against `error_order`."""
    claimed, name = stepper.error_order, "error estimate"
    places = grounds(stepper)
    made = [_estimate(stepper, ground, 0.1) for ground in places]
    if claimed is None:
        if any(error is not None for error in made):
            yield Finding(name, "error_order is None, and step() gives an error", "fail", _CLAIM_ESTIMATE)
        else:
            yield Finding(name, "it makes none, so that `adaptive` refuses it", "refused")
        return
    for error, ground in zip(made, places, strict=True):
        if error is None:
            advice = "give Step(state, error=…), or set error_order to None"
            yield Finding(name, f"error_order is {claimed}, and step() gives no error", "fail", advice)
            return
        if error.shape != ground.bound.y0.shape:
            got = f"shape {tuple(error.shape)}, y has {tuple(ground.bound.y0.shape)}"
            yield Finding(name, got, "fail", "give one error per component, shaped like y")
            return
    powers = [_power(stepper, ground) for ground in places]
    known = [power for power in powers if power is not None]
    for ground, power in zip(places, powers, strict=True):
        where = f"{name}: {ground.name}"
        if power is None:
            yield Finding(where, "vanishes, or never gets small", "fail", "compute it as y1 minus a second solution")
            continue
        advice = f"set error_order to {round(min(known))}, or correct the embedded weights"
        holds = power >= claimed - slack(claimed) and not higher(known, claimed)
        yield Finding.judged(where, f"shrinks as dt^{power:.2f}; claimed {claimed}", holds, advice, power)


_CLAIM_ESTIMATE = "set error_order to the power of dt with which it shrinks; adaptive steps need it"


def _power(stepper: Stepper, ground: Ground) -> float | None:
    size = float(ground.answer.norm())
    rungs = [(dt, _size(_estimate(stepper, ground, dt))) for dt in (0.4 * 2 ** (-k / 2) for k in range(20))]
    points = [(dt, e) for dt, e in rungs if isfinite(e) and 1e-14 * size < e < 0.05 * size][-_POINTS:]
    if len(points) < _FEWEST:
        return None
    return median(log2(a[1] / b[1]) / log2(a[0] / b[0]) for a, b in pairwise(points))


def _estimate(stepper: Stepper, ground: Ground, dt: float) -> Tensor | None:
    bound = ground.bound
    with torch.no_grad():
        f = timed(bound.f, bound.y0)
        t0 = bound.ts[0]
        return stepper.step(f, t0, dt, stepper.init(f, t0, bound.y0.detach())).error


def _size(error: Tensor | None) -> float:
    return float("nan") if error is None else float(error.norm())


def _end(f: Field, stepper: Stepper, bound: Bound, steps: int) -> Tensor:
    with torch.no_grad():
        state = stepper.init(f, bound.ts[0], bound.y0.detach())
        return walk(f, stepper, Fixed(steps=steps), bound.ts, state).ys[-1]
