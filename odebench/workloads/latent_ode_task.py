"""The latent ODE of spirals, and the recurrent network that it is compared with, made from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from odebench.workloads.recognition import (
    Recognition,
    drawn,
    kl_divergence,
    kl_weight,
    log_normal,
    perceptron,
    recurrent,
    seeded,
)
from odebench.workloads.shuffled import shuffled
from odebench.workloads.spirals import Spirals, at_places, draw_spirals
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.latent_ode import LatentOde
    from odebench.workloads.workload import Solve

_TRAIN, _TEST, _SHUFFLE, _NOISE = 1, 2, 3, 4  # streams of the seed
_HELD_OUT = 200  # test trajectories


class LatentModel(nn.Module):
    """Observations -> the start, its field, and a decoder to the plane."""

    def __init__(self, options: LatentOde) -> None:
        super().__init__()
        latent, hidden = options.latent, options.hidden
        self.recognition = Recognition(options.cell, 3, options.recognition, latent)
        self.field = perceptron(latent, hidden, latent, nn.Tanh)
        self.decoder = perceptron(latent, hidden, 2, nn.ReLU)


class NextModel(nn.Module):
    """Observations and the times that pass after each -> the observations that follow."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.recurrent = recurrent(cell, 3, hidden)
        self.readout = nn.Linear(hidden, 2)

    def forward(self, values: Tensor, gaps: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(what follows each of the values (batch, length, 2) after its gap, likewise; the state after the last)."""
        every, state = self.recurrent(torch.cat((values, gaps.unsqueeze(2)), 2), state)
        return self.readout(every), state


class OdeTask:
    """The latent ODE of one seed."""

    def __init__(self, options: LatentOde, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.options, self.seed = options, seed
        self.train, self.test = _spirals(options, seed)
        self.model = seeded(seed, lambda: LatentModel(options)).to(device, dtype)
        self._like = torch.empty(0, dtype=dtype, device=device)

    @property
    def samples(self) -> int:
        """Training trajectories."""
        return len(self.train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The negative evidence lower bound of a trajectory in nats, by one start drawn for each."""
        spirals = self.train
        rows = shuffled(self.seed, _SHUFFLE, len(spirals), step, batch)
        seen = spirals.seen[rows]
        mean, spread = self._start(spirals, rows)
        z0 = drawn(mean, spread, streams(self.seed, _NOISE, step))
        # Where all start, and then all times that somebody in the minibatch was seen at.
        union: Tensor = torch.unique(torch.cat((seen.new_zeros(1), seen.reshape(-1))))
        zs = self._solve(z0, spirals.times[union], solve)
        found = self.model.decoder(at_places(zs, torch.searchsorted(union, seen).to(zs.device)))
        fit = log_normal(spirals.values[rows].to(zs), found, self.options.noise).sum((1, 2))
        return (kl_weight(step, self.options.kl_decay) * kl_divergence(mean, spread) - fit).mean()

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Errors on the test trajectories, each from its mean start."""
        mean, _ = self._start(self.test, torch.arange(len(self.test)))
        return _errors(self.model.decoder(self._solve(mean, self.test.times, solve)), self.test)

    def _start(self, spirals: Spirals, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z(0) after the observations backwards, each with the time to the one before it.

        The first goes with the time since 0, so that the network can know what all times were.
        """
        times = spirals.times[spirals.seen[rows]]
        gaps = times.diff(dim=1, prepend=times.new_zeros((len(times), 1)))
        series = torch.cat((spirals.values[rows], gaps.unsqueeze(2)), 2).flip(1)
        found: tuple[Tensor, Tensor] = self.model.recognition(series.to(self._like))
        return found

    def _solve(self, z0: Tensor, times: Tensor, solve: Solve) -> Tensor:
        """States at the times, (batch, times, latent)."""
        field = self.model.field
        return solve(lambda t, z: field(z), z0, times.tolist(), tuple(field.parameters())).transpose(0, 1)


class RnnTask:
    """The recurrent network of one seed, on the same data."""

    def __init__(self, options: LatentOde, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.options, self.seed = options, seed
        self.train, self.test = _spirals(options, seed)
        self.model = seeded(seed, lambda: NextModel(options.cell, _width(options))).to(device, dtype)
        self._like = torch.empty(0, dtype=dtype, device=device)

    @property
    def samples(self) -> int:
        """Training trajectories."""
        return len(self.train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The negative log-likelihood, in nats, of what a trajectory goes on with after its first observation."""
        rows = shuffled(self.seed, _SHUFFLE, len(self.train), step, batch)
        values = self.train.values[rows].to(self._like)
        gaps = self.train.times[self.train.seen[rows]].diff(dim=1)
        found, _ = self.model(values[:, :-1], gaps.to(self._like))
        return -log_normal(values[:, 1:], found, self.options.noise).sum((1, 2)).mean()

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Errors on the test trajectories."""
        return _errors(self._rolled(self.test), self.test)

    def _rolled(self, spirals: Spirals) -> Tensor:
        """Predictions from each time of the grid to the next, shape (count, grid, 2).

        An observation takes the place of a prediction where there is one. Before the first there is nothing to predict
        from: there the first observation stands, and the network begins with it.
        """
        count, grid, _ = spirals.clean.shape
        places = spirals.seen.unsqueeze(2).expand(-1, -1, 2)
        given = torch.zeros_like(spirals.clean).scatter(1, places, spirals.values).to(self._like)
        known = torch.zeros((count, grid, 1), dtype=torch.bool).scatter(1, spirals.seen.unsqueeze(2), True)
        known, first = known.to(given.device), spirals.seen[:, 0].to(given.device)
        gap = given.new_full((count, 1), float(spirals.times[1]))
        state = given.new_zeros((1, count, self.model.recurrent.hidden_size))
        value = spirals.values[:, 0].to(given)
        found = [value]
        for at in range(1, grid):
            following, after = self.model(value.unsqueeze(1), gap, state)
            begun = (first < at).unsqueeze(1)
            state = torch.where(begun, after, state)
            found.append(torch.where(begun, following[:, 0], value))
            value = torch.where(known[:, at], given[:, at], found[-1])
        return torch.stack(found, 1)


def _spirals(options: LatentOde, seed: int) -> tuple[Spirals, Spirals]:
    """(to train on, to test on)."""
    points, observed, noise = options.points, options.observed, options.noise
    train = draw_spirals(streams(seed, _TRAIN), options.trajectories, points, 0, observed, noise)
    return train, draw_spirals(streams(seed, _TEST), _HELD_OUT, points, options.later, observed, noise)


def _errors(found: Tensor, spirals: Spirals) -> dict[str, float]:
    """Of predictions on the grid, shape (count, grid, 2)."""

    def size(gap: Tensor) -> float:
        return float(gap.square().mean().sqrt())

    gap, points = found.to("cpu", torch.float64) - spirals.clean, spirals.points
    return {
        "quality": size(gap[:, points:]),
        "quality_reference": size(spirals.values[:, -1:] - spirals.clean[:, points:]),
        "interpolation_rmse": size(gap[:, :points]),
    }


def _width(options: LatentOde) -> int:
    """Of the recurrent network whose parameters are nearest in number to those of the latent ODE."""

    def count(model: nn.Module) -> int:
        return sum(p.numel() for p in model.parameters())

    with torch.device("meta"):
        wanted = count(LatentModel(options))
        width = 1
        while count(NextModel(options.cell, width + 1)) <= wanted:
            width += 1
        gaps = {each: abs(count(NextModel(options.cell, each)) - wanted) for each in (width, width + 1)}
    return min(gaps, key=gaps.__getitem__)
