"""Simulated patients of the latent hybridisation model: an expert's equations, hidden states beside them, doses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from odebench.workloads.true_paths import true_path
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.hybrid_pharmacology import HybridPharmacology

EXPERT = 4  # states that the expert knows: disease D, immune reaction R, immunity I, drug effect X
TEST = 200  # patients held out
DOSE_MAX = 10.0
SUBSTEPS = 40  # a unit of time, of the simulation
_WORLD, _TRAIN, _TEST = 1, 2, 3


def expert_slope(y: Tensor, dose: Tensor) -> Tensor:
    """Time derivatives of D, R, I, X, shape (n, 4); they lead each row of `y`, and `dose` has shape (n, 1).

    D' = D − D·I² − D·R, R' = D − R + D·R + R²/(1 + R²) − X·R, I' = R, X' = dose − X: Qian et al. with every rate 1 and
    both Hill exponents 2, as their data have it.
    """
    d, r, i, x = y[:, :1], y[:, 1:2], y[:, 2:3], y[:, 3:4]
    # Fused where torch can: the field is small enough for its cost to be that of calling operations.
    disease = d * torch.addcmul(1 - r, i, i, value=-1)
    # R²/(1 + R²) = 1 − 1/(1 + R²)
    reaction = torch.addcmul(d + 1, r, d - x - 1) - (r * r + 1).reciprocal()
    return torch.cat((disease, reaction, r, dose - x), 1)


@dataclass(frozen=True)
class Cohort:
    """Patients, seen at the times 0, 1, …, end: times first, then patients."""

    observations: Tensor  # (times, n, channels), standardised; 0 where nothing was observed
    mask: Tensor  # the same shape, 1 where observed
    clean: Tensor  # observations without noise
    states: Tensor  # (times, n, latent): the truth
    given: Tensor  # (times, n, 1): the dose given then
    dose_time: Tensor  # (n, 1), whole numbers of 0 … end − 1
    dose_size: Tensor  # (n, 1)

    def of(self, index: Tensor) -> Cohort:
        """Some of the patients, in that order."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        flat = ("dose_time", "dose_size")
        return Cohort(**{name: x[index] if name in flat else x[:, index] for name, x in named.items()})

    def to(self, device: torch.device, dtype: torch.dtype) -> Cohort:
        """On a device, in a dtype."""
        return Cohort(**{each.name: getattr(self, each.name).to(device, dtype) for each in fields(self)})


@dataclass(frozen=True)
class World:
    """What all patients share: m' = tanh([D, R, I, X, m]·hidden), and observations [states, 1]·readout."""

    hidden: Tensor  # (latent, latent − 4)
    readout: Tensor  # (latent + 1, channels)

    def slope(self, y: Tensor) -> Tensor:
        """Of a row (D, R, I, X, m…, dose), the last falling at rate 1 from what was given."""
        dose = y[:, -1:]
        return torch.cat((expert_slope(y, dose), torch.tanh(y[:, :-1] @ self.hidden), -dose), 1)


def draw_cohorts(workload: HybridPharmacology, seed: int) -> tuple[Cohort, Cohort]:
    """(for training, held out), float64 on the CPU.

    Starts are exponential of mean 0.01, doses one a patient at a random whole time, of a size even in [0, 10]. A share
    of the entries of both matrices is 0. Channels are standardised by mean and deviation over the training cohort (the
    source: over both).
    """
    draw = streams(seed, _WORLD)
    latent, channels = workload.latent, workload.channels
    world = World(
        _sparse((latent, latent - EXPERT), draw) / latent,
        _sparse((latent + 1, channels), draw),
    )
    train = _simulate(workload, world, workload.samples, streams(seed, _TRAIN))
    test = _simulate(workload, world, TEST, streams(seed, _TEST))
    flat = train.observations.reshape(-1, channels)
    # A channel may read nothing but noise; without noise it would not vary at all.
    mean, deviation = flat.mean(0), flat.std(0).clamp_min(1e-6)
    return _standardised(train, mean, deviation), _standardised(test, mean, deviation)


def simulate_states(world: World, y0: Tensor, doses: tuple[Tensor, Tensor], end: int, substeps: int) -> Tensor:
    """States (D, R, I, X, m…, dose) at the times 0, 1, …, end, shape (end + 1, n, latent + 1); doses are (time, size).

    From one whole time to the next, so that what jumps does so between two steps.
    """
    when, size = doses
    y, ys = torch.cat((y0, torch.zeros_like(size)), 1), []
    for t, t1 in pairwise(range(end + 1)):
        y = torch.cat((y[:, :-1], y[:, -1:] + size * (when == t)), 1)
        ys.append(y)
        y = true_path(world.slope, y, (float(t), float(t1)), substeps)[-1]
    return torch.stack((*ys, y))


def _simulate(workload: HybridPharmacology, world: World, count: int, draw: torch.Generator) -> Cohort:
    latent, channels, end = workload.latent, workload.channels, workload.end
    double = torch.float64
    y0 = torch.empty((count, latent), dtype=double).exponential_(1.0, generator=draw) / 100
    when = torch.randint(end, (count, 1), generator=draw).to(double)
    size = DOSE_MAX * torch.rand((count, 1), generator=draw, dtype=double)
    states = simulate_states(world, y0, (when, size), end, SUBSTEPS)[..., :latent]
    clean = states @ world.readout[:-1] + world.readout[-1]
    noise = torch.randn((end + 1, count, channels), generator=draw, dtype=double)
    mask = (torch.rand(noise.shape, generator=draw, dtype=double) < workload.kept).to(double)
    times = torch.arange(end + 1, dtype=double).reshape(-1, 1, 1)
    return Cohort(clean + workload.noise * noise, mask, clean, states, size * (times == when), when, size)


def _sparse(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    """Standard normal, about half of it 0."""
    values = torch.randn(shape, generator=draw, dtype=torch.float64)
    return values * (torch.rand(shape, generator=draw, dtype=torch.float64) < 0.5)


def _standardised(cohort: Cohort, mean: Tensor, deviation: Tensor) -> Cohort:
    observations, clean = ((x - mean) / deviation for x in (cohort.observations, cohort.clean))
    rest = {each.name: getattr(cohort, each.name) for each in fields(cohort)}
    return Cohort(**(rest | {"observations": observations * cohort.mask, "clean": clean}))
