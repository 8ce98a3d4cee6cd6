"""The latent hybridisation model, made: its encoder, its field, and how doses come into a solve."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from odebench.workloads.pharmacology_data import EXPERT, Cohort, draw_cohorts, expert_slope
from odebench.workloads.shuffled import shuffled

if TYPE_CHECKING:
    from odebench.workloads.hybrid_pharmacology import HybridPharmacology
    from odebench.workloads.workload import Solve

_ORDER = 4  # the stream of minibatches


class HybridModel(nn.Module):
    """Encoder, learnt part of the field, decoder. `latent` is the number of states of the model."""

    def __init__(self, dynamics: Literal["hybrid", "neural", "expert"], latent: int, channels: int) -> None:
        super().__init__()
        self.dynamics, self.latent = dynamics, EXPERT if dynamics == "expert" else latent
        self.encoder = nn.LSTM(channels + 1, 2 * channels)
        self.head = nn.Linear(2 * channels, self.latent)
        self.decoder = nn.Linear(self.latent, channels)
        self.learnt = _learnt(dynamics, latent)

    def start(self, observations: Tensor, given: Tensor) -> Tensor:
        """States at time 0, shape (n, latent), of what was seen: (times, n, channels) and the doses (times, n, 1)."""
        backwards = torch.cat((observations, given), 2).flip(0)
        _, (last, _) = self.encoder(backwards)
        found: Tensor = self.head(last[0])
        # Amounts are positive, and small at the start: the source's scale.
        return found if self.dynamics == "neural" else found.exp() / 10

    def slope(self, y: Tensor, dose: Tensor) -> Tensor:
        """Time derivatives of the states, shape (n, latent); `dose` is (n, 1)."""
        if self.dynamics == "neural":
            found: Tensor = self.learnt(torch.cat((y, dose), 1))
            return found
        known = expert_slope(y, dose)
        return known if self.dynamics == "expert" else torch.cat((known, self.learnt(y)), 1)


def _learnt(dynamics: str, latent: int) -> nn.Sequential:
    """What of the field is learnt: the source's networks, each with a tanh at its end."""
    if dynamics == "expert":
        return nn.Sequential()
    if dynamics == "hybrid":
        return nn.Sequential(nn.Linear(latent, latent - EXPERT), nn.Tanh())
    wide = 10 * latent
    return nn.Sequential(nn.Linear(latent + 1, wide), nn.Tanh(), nn.Linear(wide, latent), nn.Tanh())


@dataclass(frozen=True)
class HybridTask:
    """See `HybridPharmacology`."""

    workload: HybridPharmacology
    seed: int
    model: HybridModel
    train: Cohort
    test: Cohort

    @classmethod
    def make(cls, workload: HybridPharmacology, seed: int, dtype: torch.dtype, device: torch.device) -> HybridTask:
        """Data drawn and model initialised from the seed."""
        train, test = (each.to(device, dtype) for each in draw_cohorts(workload, seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = HybridModel(workload.dynamics, workload.latent, workload.channels).to(device, dtype)
        return cls(workload, seed, model, train, test)

    @property
    def samples(self) -> int:
        """Patients for training."""
        return self.workload.samples

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """Mean square over the observed entries of all times."""
        index = shuffled(self.seed, _ORDER, self.samples, step, batch)
        some = self.train.of(index.to(self.train.mask.device))
        error: Tensor = self.model.decoder(self.states(some, solve)) - some.observations
        mean: Tensor = (error.square() * some.mask).sum() / some.mask.sum().clamp_min(1)
        return mean

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """See `HybridPharmacology`."""
        test, seen = self.test, self.workload.observed
        states = self.states(test, solve)
        found = self.model.decoder(states)
        usual = self.train.observations.sum(1) / self.train.mask.sum(1).clamp_min(1)
        figures = {
            "quality": _rms(found, test, slice(seen, None)),
            "quality_reference": _rms(usual[:, None], test, slice(seen, None)),
            "rmse_seen": _rms(found, test, slice(seen)),
            "rmse_truth": _rms(test.clean, test, slice(seen, None)),
        }
        if self.model.dynamics == "neural":
            return figures
        apart = states[..., :EXPERT] - test.states[..., :EXPERT]
        return figures | {"rmse_states": float(apart.square().mean().sqrt())}

    def states(self, some: Cohort, solve: Solve) -> Tensor:
        """States of the model at all times, shape (times, n, latent)."""
        seen = self.workload.observed
        y0 = self.model.start(some.observations[:seen], some.given[:seen])
        return self.paths(y0, some, solve)

    def paths(self, y0: Tensor, some: Cohort, solve: Solve) -> Tensor:
        """The same from given starts (n, latent)."""
        way = self._restarted if self.workload.jumps == "restart" else self._through
        return way(y0, some, solve)[..., : self.model.latent]

    def _restarted(self, y0: Tensor, some: Cohort, solve: Solve) -> Tensor:
        """One solve from a dose of the minibatch to the next; rows are (states…, what is left of the dose)."""
        model, latent, end = self.model, self.model.latent, self.workload.end

        def field(t: Tensor, y: Tensor) -> Tensor:
            dose = y[:, latent:]
            return torch.cat((model.slope(y[:, :latent], dose), -dose), 1)

        params = tuple(model.learnt.parameters())
        cuts = sorted({0, end, *map(int, some.dose_time.flatten().tolist())})
        y, parts = torch.cat((y0, torch.zeros_like(some.dose_size)), 1), []
        for t, t1 in pairwise(cuts):
            y = torch.cat((y[:, :latent], y[:, latent:] + some.dose_size * (some.dose_time == t)), 1)
            part = solve(field, y, tuple(map(float, range(t, t1 + 1))), params, leading=latent)
            parts.append(part[:-1])
            y = part[-1]
        return torch.cat((*parts, y[None]))

    def _through(self, y0: Tensor, some: Cohort, solve: Solve) -> Tensor:
        """One solve; rows are (states…, time of the dose, its size), for a field that is called for some rows alone."""
        model, latent = self.model, self.model.latent

        def field(t: Tensor, y: Tensor) -> Tensor:
            since = t - y[:, latent : latent + 1]
            dose = torch.where(since >= 0, y[:, latent + 1 :] * torch.exp(-since.clamp_min(0)), 0)
            return torch.cat((model.slope(y[:, :latent], dose), torch.zeros_like(y[:, latent:])), 1)

        ts = tuple(map(float, range(self.workload.end + 1)))
        y = torch.cat((y0, some.dose_time, some.dose_size), 1)
        return solve(field, y, ts, tuple(model.learnt.parameters()), leading=latent)


def _rms(found: Tensor, cohort: Cohort, when: slice) -> float:
    """Over the entries that were observed at some of the times."""
    mask = cohort.mask[when]
    apart = ((found[when] - cohort.observations[when]) * mask).square()
    return float((apart.sum() / mask.sum().clamp_min(1)).sqrt())
