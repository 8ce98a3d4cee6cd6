"""Sequences of events, drawn; and the model of their intensity, made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from odebench.workloads.recognition import perceptron, seeded
from odebench.workloads.shuffled import shuffled
from odebench.workloads.spirals import at_places
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.poisson_process import PoissonProcess
    from odebench.workloads.workload import Solve

_TRAIN, _TEST, _SHUFFLE = 1, 2, 3  # streams of the seed
_GRID = 64  # times that intensities are compared at
_LEAST = 1e-6  # of λ in units of the mean rate: softplus underflows, and an event there would cost infinitely much


@dataclass(frozen=True)
class Events:
    """Event times of sequences, float64 on the CPU.

    `waves` (count, 2), a·cos φ and a·sin φ; `times` (count, most), increasing and then padded by 0, where `holds`, of
    the same shape, is false.
    """

    waves: Tensor
    times: Tensor
    holds: Tensor

    def __len__(self) -> int:
        return len(self.waves)


def true_intensity(options: PoissonProcess, waves: Tensor, times: Tensor) -> Tensor:
    """rate·(1 + a sin(ωt + φ)), (count, 2) and (count or 1, n) -> (count, n)."""
    angle = 2 * pi * options.turns / options.span * times
    return options.rate * (1 + waves[:, :1] * angle.sin() + waves[:, 1:] * angle.cos())


def true_integral(options: PoissonProcess, waves: Tensor) -> Tensor:
    """∫ of it over the span, (count, 2) -> (count,)."""
    omega, end = 2 * pi * options.turns / options.span, torch.tensor(2 * pi * options.turns, dtype=torch.float64)
    return options.rate * (options.span + (waves[:, 0] * (1 - end.cos()) + waves[:, 1] * end.sin()) / omega)


def draw_events(options: PoissonProcess, count: int, draw: torch.Generator) -> Events:
    """By thinning: of a process of rate·(1 + a), an event at t stays with probability λ(t) / (rate·(1 + a))."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw, dtype=torch.float64)

    amplitude, phase = options.swing * uniform(count, 1), 2 * pi * uniform(count, 1)
    waves = torch.cat((amplitude * phase.cos(), amplitude * phase.sin()), 1)
    most = options.rate * (1 + amplitude)
    candidates = torch.poisson(most * options.span, generator=draw)
    times = options.span * uniform(count, max(1, int(candidates.max())))
    holds = torch.arange(times.shape[1]) < candidates
    holds &= uniform(*times.shape) * most < true_intensity(options, waves, times)
    if options.points:
        width = options.span / options.points
        times = ((times / width).floor().clamp(max=options.points - 1) + 0.5) * width
    # Those that stay come first, in order.
    times = torch.where(holds, times, torch.inf).sort(1).values[:, : max(1, int(holds.sum(1).max()))]
    holds = times.isfinite()
    return Events(waves, torch.where(holds, times, 0.0), holds)


class EventModel(nn.Module):
    """z(0) of what is known of a sequence; the field; u of λ = mean rate · softplus(u)."""

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.start = perceptron(2, hidden, latent, nn.Tanh)
        self.field = perceptron(latent, hidden, latent, nn.Tanh)
        self.height = perceptron(latent, hidden, 1, nn.Tanh)

    def intensity(self, z: Tensor) -> Tensor:
        """λ in units of the mean rate, (…, latent) -> (…, 1)."""
        return softplus(self.height(z)) + _LEAST

    def slope(self, y: Tensor) -> Tensor:
        """Of the state y = (z, ∫λ dt in units of the mean rate), (rows, latent + 1)."""
        z = y[:, :-1]
        return torch.cat((self.field(z), self.intensity(z)), 1)


class EventTask:
    """The Poisson process of one seed."""

    def __init__(self, options: PoissonProcess, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.options, self.seed = options, seed
        self.train = draw_events(options, options.sequences, streams(seed, _TRAIN))
        self.test = draw_events(options, options.sequences // 2, streams(seed, _TEST))
        self.mean_rate = max(1.0, float(self.train.holds.sum())) / (options.sequences * options.span)
        self.model = seeded(seed, lambda: EventModel(options.latent, options.hidden)).to(device, dtype)
        self._like = torch.empty(0, dtype=dtype, device=device)

    @property
    def samples(self) -> int:
        """Training sequences."""
        return len(self.train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The negative log-likelihood of a sequence, in nats."""
        return -self.log_likelihood(
            self.train, shuffled(self.seed, _SHUFFLE, len(self.train), step, batch), solve
        ).mean()

    def log_likelihood(self, events: Events, rows: Tensor, solve: Solve) -> Tensor:
        """Σ log λ(z(tᵢ)) − ∫λ dt of those sequences, shape (rows,)."""
        times, holds = events.times[rows], events.holds[rows]
        union: Tensor = torch.unique(torch.cat((times.new_tensor([0.0, self.options.span]), times[holds])))
        ys = self._solve(events.waves[rows], union, solve)
        found = self.model.intensity(at_places(ys[..., :-1], torch.searchsorted(union, times).to(ys.device)))
        heights = (self.mean_rate * found.squeeze(2)).log()
        # Not a product with 0: what is padded has no part in it, whatever it is.
        return torch.where(holds.to(ys.device), heights, 0.0).sum(1) - self.mean_rate * ys[:, -1, -1]

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Nats of the held-out sequences, by the model, by the truth and by a constant rate; the model's intensity."""
        test, options = self.test, self.options
        true = true_intensity(options, test.waves, test.times).log()
        counts = test.holds.sum(1).double()
        steady = counts * log(self.mean_rate) - self.mean_rate * options.span
        grid = torch.linspace(0.0, options.span, _GRID, dtype=torch.float64)
        zs = self._solve(test.waves, grid, solve)[..., :-1]
        learnt = (self.mean_rate * self.model.intensity(zs).squeeze(2)).to("cpu", torch.float64)
        wanted = true_intensity(options, test.waves, grid.unsqueeze(0))
        exact = torch.where(test.holds, true, 0.0).sum(1) - true_integral(options, test.waves)
        return {
            "quality": -float(self.log_likelihood(test, torch.arange(len(test)), solve).mean()),
            "quality_reference": -float(exact.mean()),
            "constant_nats": -float(steady.mean()),
            "intensity_error": float((learnt - wanted).norm() / wanted.norm()),
        }

    def _solve(self, waves: Tensor, times: Tensor, solve: Solve) -> Tensor:
        """States with the integral behind them, (sequences, times, latent + 1)."""
        model, latent = self.model, self.options.latent
        z0 = model.start(waves.to(self._like))
        y0 = torch.cat((z0, z0.new_zeros((len(z0), 1))), 1)
        params = (*model.field.parameters(), *model.height.parameters())
        return solve(lambda t, y: model.slope(y), y0, times.tolist(), params, leading=latent).transpose(0, 1)
