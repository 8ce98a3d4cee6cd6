"""Figures from raw samples. Torch-free, so that whoever reads a record can compute them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from statistics import median


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
    interval = median_interval(walls)
    if interval is not None:
        metrics["wall_seconds_low"], metrics["wall_seconds_high"] = interval
    return metrics


def _paired(solve: Sequence[float], bare: Sequence[float]) -> float:
    """The median of the ratios, pair by pair: what drifts between rounds cancels."""
    return median(a / b for a, b in zip(solve, bare, strict=True))
