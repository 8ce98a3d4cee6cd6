"""How a figure grows with another: a power law by least squares in the logarithms, its interval, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot, inf, log, sqrt

from odebench.figures.figure import Law
from odebench.measure.statistics import student

FEWEST = 3  # different numbers of steps that a law is fitted to; two have a slope, and no doubt about it
_LAWS = {0.0: "constant", 0.5: "square root of steps", 1.0: "linear in steps", 2.0: "quadratic in steps"}
_NEAR = 0.05  # of an exponent: nearer than this, 12 % over a decade, is the same law to a reader
_VAGUE = 1.0  # an interval that is wider tells no law
_CLEAR = 1 / 3  # an affine law is told where it leaves this share of the power law's residual


def fit(steps: Sequence[float], figures: Sequence[float], shown: Callable[[float], str]) -> Law | None:
    """The law of positive `figures` against positive `steps`; None for fewer than `FEWEST` different steps.

    The interval is Student's, at 95 %, for the slope of a line through points of independent, equal relative error.
    Bytes repeat exactly, so of them it tells how far from a power law they are. `shown` writes a figure in words.
    """
    if len(set(steps)) < FEWEST:
        return None
    xs, ys = [log(x) for x in steps], [log(y) for y in figures]
    middle, centre = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle) ** 2 for x in xs)
    slope = sum((x - middle) * (y - centre) for x, y in zip(xs, ys, strict=True)) / spread
    residual = hypot(*(y - centre - slope * (x - middle) for x, y in zip(xs, ys, strict=True)))
    free = len(xs) - 2
    reach = student(free) * residual / sqrt(free * spread)
    low, high = slope - reach, slope + reach
    return Law(
        slope, low, high, _words(slope, low, high) or _floored(steps, figures, residual, shown) or _range(low, high)
    )


def _words(slope: float, low: float, high: float) -> str:
    """The law that the exponent is, where there is no doubt of it."""
    near = [law for law in _LAWS if low - _NEAR <= law <= high + _NEAR]
    return _LAWS[near[0]] if len(near) == 1 and high - low <= 4 * _NEAR and abs(slope - near[0]) <= _NEAR else ""


def _floored(steps: Sequence[float], figures: Sequence[float], residual: float, shown: Callable[[float], str]) -> str:
    """`linear in steps above a floor of …`, where a + b·steps with positive a and b fits far better than a power.

    Both laws have two numbers to fit, and so compare. Without this the bend of such a curve passes for an exponent.
    """
    # Least squares of the relative deviation (a + b·x) / y − 1.
    us, vs = [1 / y for y in figures], [x / y for x, y in zip(steps, figures, strict=True)]
    uu, uv, vv = (sum(p * q for p, q in zip(*both, strict=True)) for both in ((us, us), (us, vs), (vs, vs)))
    determinant = uu * vv - uv * uv
    if determinant <= 0:
        return ""
    a, b = (vv * sum(us) - uv * sum(vs)) / determinant, (uu * sum(vs) - uv * sum(us)) / determinant
    left = hypot(*(a * u + b * v - 1 for u, v in zip(us, vs, strict=True)))
    return f"linear in steps above a floor of {shown(a)}" if a > 0 and b > 0 and left < _CLEAR * residual else ""


def _range(low: float, high: float) -> str:
    """Between which laws it is, or that it cannot be told."""
    inside = [words for law, words in _LAWS.items() if low - _NEAR <= law <= high + _NEAR]
    if len(inside) == 1 and high - low <= _VAGUE:
        return inside[0]
    if inside:
        return (
            f"cannot be told: about {inside[0]}" if len(inside) == 1 else f"cannot be told: {inside[0]} to {inside[-1]}"
        )
    under = max((law for law in _LAWS if law < low), default=-inf)
    over = min((law for law in _LAWS if law > high), default=inf)
    if under == -inf:
        return "falling with steps"
    return f"faster than {_LAWS[under]}" if over == inf else f"between {_LAWS[under]} and {_LAWS[over]}"
