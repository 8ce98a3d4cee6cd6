"""Data that densities are learnt of: drawn in the plane, or of scikit-learn; splits, and a mixture to compare with.

All of it is float64 on the CPU, and drawn from generators that are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from odebench.errors import DataError
from odebench.workloads.workload import streams

_TRAIN, _TEST = 1, 2  # streams of a workload's seed
_SPLIT = 569  # the seed of the one split of the breast-cancer data, whatever the run's: all seeds are tested alike
_COMPONENTS = (1, 2, 4, 8, 16, 32)  # of the mixtures that are tried


def split(data: str, points: int, seed: int) -> tuple[Tensor, Tensor]:
    """(training samples, test samples), shape (count, dim), all standardised by what the training ones have.

    In the plane `points` are drawn to train on and half as many to test on. Of the breast-cancer data 455 and 114 of
    the 569 are taken, each feature x as log(1 + x / median of the training samples) before it is standardised.

    Raises:
        DataError: scikit-learn, which has the breast-cancer data, is not installed.
    """
    if data == "breast_cancer":
        every = _breast_cancer()
        every = every[torch.randperm(len(every), generator=streams(_SPLIT))]
        count = len(every) * 4 // 5
        # The features are skewed: as they are, one test sample is so far out that it makes a third of all the nats that
        # a mixture pays. Some are 0, so no plain logarithm.
        every = (every / every[:count].median(0).values).log1p()
        train, test = every[:count], every[count:]
    else:
        train = PLANE[data](points, streams(seed, _TRAIN))
        test = PLANE[data](max(1, points // 2), streams(seed, _TEST))
    mean, deviation = train.mean(0), train.std(0)
    return (train - mean) / deviation, (test - mean) / deviation


@lru_cache(maxsize=8)
def mixture_nats(data: str, points: int, seed: int) -> float | None:
    """Nats per test sample of a Gaussian mixture with full covariances; None where scikit-learn is not installed.

    The number of components, 1 to 32, is that which does best on a fifth of the training samples after a fit to the
    others; the mixture is then fitted to all of them. Kept, since a run builds its workload more than once.
    """
    try:
        mixture = import_module("sklearn.mixture").GaussianMixture
    except ImportError:
        return None
    train, test = (part.numpy() for part in split(data, points, seed))
    fitting, checking = train[: len(train) * 4 // 5], train[len(train) * 4 // 5 :]

    def fitted(components: int, samples: Any) -> Any:
        return mixture(components, random_state=seed, reg_covar=1e-4).fit(samples)

    tried = [n for n in _COMPONENTS if 2 * n < len(fitting)]
    best = max(tried, key=lambda n: float(fitted(n, fitting).score(checking)))
    return -float(fitted(best, train).score(test))


def _breast_cancer() -> Tensor:
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f"the breast-cancer data come with scikit-learn, and it cannot be imported ({error}); "
            "pip install 'odebench[train]', or take data drawn in the plane, such as moons"
        ) from error
    return torch.from_numpy(datasets.load_breast_cancer().data).to(torch.float64)


def _uniform(shape: int | tuple[int, ...], draw: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=draw, dtype=torch.float64)


def _noise(count: int, size: float, draw: torch.Generator) -> Tensor:
    return torch.randn((count, 2), generator=draw, dtype=torch.float64) * size


def _which(choices: int, count: int, draw: torch.Generator) -> Tensor:
    return torch.randint(choices, (count,), generator=draw)


def _polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    return torch.stack((radius * angle.cos(), radius * angle.sin()), 1)


def _moons(count: int, draw: torch.Generator) -> Tensor:
    """Two half circles of radius 1, one upside down and moved by (1, 0.5)."""
    lower = _which(2, count, draw).double()
    arc = _polar(1.0, math.pi * (_uniform(count, draw) + lower))
    return arc + torch.stack((lower, 0.5 * lower), 1) + _noise(count, 0.1, draw)


def _circles(count: int, draw: torch.Generator) -> Tensor:
    """Two circles, of radius 1 and 0.5."""
    radius = 1.0 - 0.5 * _which(2, count, draw).double()
    return _polar(radius, 2 * math.pi * _uniform(count, draw)) + _noise(count, 0.06, draw)


def _eight_gaussians(count: int, draw: torch.Generator) -> Tensor:
    """Eight, of deviation 1/8, evenly on the unit circle."""
    return _polar(1.0, math.pi / 4 * _which(8, count, draw).double()) + _noise(count, 0.125, draw)


def _two_spirals(count: int, draw: torch.Generator) -> Tensor:
    """Two arms of a turn and a half, each the other turned by 180 degrees; the radius grows evenly with the angle."""
    angle = 3 * math.pi * _uniform(count, draw).sqrt()
    sign = 2.0 * _which(2, count, draw).double() - 1.0
    return _polar(sign * angle / (3 * math.pi), angle) + _noise(count, 0.03, draw)


def _checkerboard(count: int, draw: torch.Generator) -> Tensor:
    """Even on every other of 4 × 4 squares of side 1/2."""
    place = _which(8, count, draw)
    row, column = place // 2, 2 * (place % 2) + (place // 2) % 2
    corner = torch.stack((column, row), 1).double()
    return (corner + _uniform((count, 2), draw)) / 2.0 - 1.0


def _swiss_roll(count: int, draw: torch.Generator) -> Tensor:
    """One arm, from three quarters of a turn to two turns and a quarter; the radius grows with the angle."""
    angle = 1.5 * math.pi * (1.0 + 2.0 * _uniform(count, draw))
    return _polar(angle / (4.5 * math.pi), angle) + _noise(count, 0.03, draw)


def _pinwheel(count: int, draw: torch.Generator) -> Tensor:
    """Five blades, long Gaussians at distance 1 from the origin, turned by an angle that grows with their length."""
    blade = _noise(count, 1.0, draw) * torch.tensor([0.3, 0.05], dtype=torch.float64)
    radius = 1.0 + blade[:, 0]
    angle = 2 * math.pi / 5 * _which(5, count, draw).double() + 0.25 * radius.exp()
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((radius * cos - blade[:, 1] * sin, radius * sin + blade[:, 1] * cos), 1)


def _rings(count: int, draw: torch.Generator) -> Tensor:
    """Four circles, of radius 1/4, 1/2, 3/4 and 1, equally likely."""
    radius = (1.0 + _which(4, count, draw).double()) / 4.0
    return _polar(radius, 2 * math.pi * _uniform(count, draw)) + _noise(count, 0.03, draw)


PLANE: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "moons": _moons,
    "circles": _circles,
    "eight_gaussians": _eight_gaussians,
    "two_spirals": _two_spirals,
    "checkerboard": _checkerboard,
    "swiss_roll": _swiss_roll,
    "pinwheel": _pinwheel,
    "rings": _rings,
}
