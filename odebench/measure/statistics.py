"""Figures from raw samples. Torch-free, so that whoever reads a record can compute them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, cos, isclose, pi, sin, sqrt, tan
from statistics import fmean, median, stdev


def median_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median from order statistics; None below six samples, which cannot give one.

    Distribution-free: the k-th smallest and k-th largest bracket the median with probability 1 − 2·P(B(n, ½) < k).
    """
    n, ordered = len(samples), sorted(samples)
    tail, k = 0.0, 0
    while tail + comb(n, k) / 2**n <= 0.025:
        tail += comb(n, k) / 2**n
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else None


def mean_interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """(mean, half the width of its 95 % interval by Student's t), of independent samples; None below two."""
    n = len(samples)
    return (fmean(samples), student(n - 1) * stdev(samples) / sqrt(n)) if n > 1 else None


def student(free: int) -> float:
    """The 97.5 % quantile of Student's t with a whole number of degrees of freedom.

    By halving an angle: for whole numbers the distribution is a finite sum (M. Abramowitz, I. Stegun, Handbook of
    Mathematical Functions, 26.7.3 and 26.7.4), so that no library of special functions is needed.
    """
    low, high = 0.0, pi / 2
    while not isclose(low, high, rel_tol=1e-14):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, free) < 0.95 else (low, middle)
    return sqrt(free) * tan(low)


def _within(angle: float, free: int) -> float:
    """P(|t| < √free · tan(angle))."""
    odd = free % 2
    term = cos(angle) if odd else 1.0
    total = term if free > 1 else 0.0
    for k in range(3 if odd else 2, free - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def time_metrics(samples: Mapping[str, Sequence[float]]) -> dict[str, float | int]:
    """The time columns of a record from its raw samples."""
    forward, backward = samples["forward"], samples["backward"]
    if not forward:
        return {}
    walls = [a + b for a, b in zip(forward, backward, strict=True)]
    metrics: dict[str, float | int] = {
        "forward_seconds": median(forward),
        "backward_seconds": median(backward),
        "wall_seconds": median(walls),
        "repeats": len(walls),
        "overhead_forward": _paired(samples["forward_plain"], samples["bare_forward"]),
        "overhead": _paired(walls, samples["bare"]),
    }
    if samples.get("twin"):
        metrics["wall_ratio"] = _paired(walls, samples["twin"])
    if samples.get("beside"):
        ratios = [a / b for a, b in zip(walls, samples["beside"], strict=True)]
        metrics["beside_ratio"] = median(ratios)
        if (ends := median_interval(ratios)) is not None:
            metrics["beside_ratio_low"], metrics["beside_ratio_high"] = ends
    interval = median_interval(walls)
    if interval is not None:
        metrics["wall_seconds_low"], metrics["wall_seconds_high"] = interval
    return metrics


def _paired(solve: Sequence[float], bare: Sequence[float]) -> float:
    """The median of the ratios, pair by pair: what drifts between rounds cancels."""
    return median(a / b for a, b in zip(solve, bare, strict=True))
