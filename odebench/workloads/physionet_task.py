"""The latent ODE of stays in intensive care, made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from odebench.errors import DataError
from odebench.workloads.physionet_files import FEATURES, HOURS
from odebench.workloads.recognition import Recognition, drawn, kl_divergence, kl_weight, log_normal, seeded
from odebench.workloads.shuffled import shuffled
from odebench.workloads.spirals import at_places
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.physionet import Physionet
    from odebench.workloads.physionet_files import Stays
    from odebench.workloads.workload import Solve

_SPLIT, _SHUFFLE, _NOISE = 1, 2, 3  # streams of the seed


class StayModel(nn.Module):
    """A stay -> the start, its field, and readouts of all features and of death."""

    def __init__(self, options: Physionet) -> None:
        super().__init__()
        latent, hidden = options.latent, options.hidden
        self.recognition = Recognition("gru", 2 * len(FEATURES) + 1, options.recognition, latent)
        layers: list[nn.Module] = [nn.Tanh()]
        for _ in range(options.blocks):
            layers += [nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, latent), nn.Tanh()]
        self.field = nn.Sequential(*layers)
        self.readout = nn.Linear(latent, len(FEATURES))
        if options.mortality:
            self.death = nn.Linear(latent, 1)


@dataclass(frozen=True)
class Ward:
    """Some of the stays, as tensors: see `Stays`."""

    lengths: Tensor
    times: Tensor
    values: Tensor
    holds: Tensor
    died: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def cut(self, rows: Tensor) -> Ward:
        """Those of these rows, padded to the longest of them."""
        lengths = self.lengths[rows]
        most = int(lengths.max())
        times, values, holds = (part[rows, :most] for part in (self.times, self.values, self.holds))
        return Ward(lengths, times, values, holds, self.died[rows])

    def series(self, quantum: float) -> Tensor:
        """Newest first, (count, most, 2·features + 1): values, what was observed, time to the time before.

        The oldest goes with the time since 0. What is padded stays behind.
        """
        gaps = self.times.diff(dim=1, prepend=self.times.new_zeros((len(self), 1))) * (quantum / HOURS)
        whole = torch.cat((self.values, self.holds, gaps.unsqueeze(2)), 2)
        back = self.lengths.unsqueeze(1) - 1 - torch.arange(whole.shape[1])
        return at_places(whole, back.clamp(min=0))


class StayTask:
    """The latent ODE of one seed.

    Raises:
        DataError: there are too few stays to hold some out.
    """

    def __init__(self, options: Physionet, stays: Stays, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.options, self.seed = options, seed
        self.train, self.test = _split(options, stays, seed)
        self.model = seeded(seed, lambda: StayModel(options)).to(device, dtype)
        self._like = torch.empty(0, dtype=dtype, device=device)

    @property
    def samples(self) -> int:
        """Training stays."""
        return len(self.train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The negative evidence lower bound of a stay in nats, by one start drawn for each; and what death adds."""
        options = self.options
        ward = self.train.cut(shuffled(self.seed, _SHUFFLE, len(self.train), step, batch))
        mean, spread = self._start(ward)
        z0 = drawn(mean, spread, streams(self.seed, _NOISE, step))
        found = self._series(z0, ward, solve)
        each = log_normal(ward.values.to(found), found, options.noise)
        fit = torch.where(ward.holds.to(found.device), each, 0.0).sum((1, 2))
        bound = (fit - kl_weight(step, options.kl_decay, options.kl_delay) * kl_divergence(mean, spread)).mean()
        return options.mortality * self._death(mean, ward) - bound if options.mortality else -bound

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """The errors on the held-out stays, and of the means in training."""
        test = self.test
        mean, _ = self._start(test)
        found = self._series(mean, test, solve).to("cpu", torch.float64)
        counts = self.train.holds.sum((0, 1)).clamp(min=1)
        means = torch.where(self.train.holds, self.train.values, 0.0).double().sum((0, 1)) / counts
        figures = {"quality": _mse(found, test), "quality_reference": _mse(means.expand(found.shape), test)}
        if self.options.mortality:
            figures |= _auroc(self.model.death(mean).squeeze(1).cpu(), test.died)
        return figures

    def _start(self, ward: Ward) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.model.recognition(
            ward.series(self.options.quantum).to(self._like), ward.lengths
        )
        return found

    def _series(self, z0: Tensor, ward: Ward, solve: Solve) -> Tensor:
        """All features at the times of each stay, (count, most, features), from one solve."""
        union: Tensor = torch.unique(torch.cat((ward.times.new_zeros(1), ward.times.reshape(-1))))
        if len(union) == 1:  # everything at 0: there is nothing to solve for, and a solve needs an end
            union = ward.times.new_tensor([0, 1])
        field = self.model.field
        times = (union.double() * (self.options.quantum / HOURS)).tolist()
        zs = solve(lambda t, z: field(z), z0, times, tuple(field.parameters())).transpose(0, 1)
        own = at_places(zs, torch.searchsorted(union, ward.times).to(zs.device))
        series: Tensor = self.model.readout(own)
        return series

    def _death(self, mean: Tensor, ward: Ward) -> Tensor:
        """The cross-entropy of those whose outcome is known, averaged over all."""
        logits, died = self.model.death(mean).squeeze(1), ward.died.to(mean.device)
        each = binary_cross_entropy_with_logits(logits, died.clamp(min=0).to(logits), reduction="none")
        return torch.where(died >= 0, each, 0.0).mean()


def _split(options: Physionet, stays: Stays, seed: int) -> tuple[Ward, Ward]:
    """Four fifths to train on, the others to test on; float32, which is what any dtype begins from."""
    count = len(stays.ids)
    if count < 5:
        raise DataError(
            f"{options.folder}: {count} stays with observations, of which a fifth cannot be held out; add more"
        )
    arrays = stays.lengths, stays.times, stays.values, stays.holds, stays.died
    whole = Ward(*map(torch.from_numpy, arrays))
    order = torch.randperm(count, generator=streams(seed, _SPLIT))
    return whole.cut(order[: count * 4 // 5]), whole.cut(order[count * 4 // 5 :])


def _mse(found: Tensor, ward: Ward) -> float:
    """Over what was observed."""
    return float((found - ward.values)[ward.holds].square().mean())


def _auroc(scores: Tensor, died: Tensor) -> dict[str, float]:
    """The share of pairs of a death and a survival in which the death has the higher score, ties counted half.

    Nothing where there is no such pair.
    """
    dead, alive = scores[died == 1], scores[died == 0]
    if not len(dead) or not len(alive):
        return {}
    gaps = dead.unsqueeze(1) - alive.unsqueeze(0)
    return {"auroc": float(((gaps > 0).double() + 0.5 * (gaps == 0).double()).mean())}
