"""The torch side of continuous normalising flows: the field with its trace, the flow, its likelihood."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from odebench.workloads.densities import mixture_nats, split
from odebench.workloads.shuffled import shuffled
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.cnf import Cnf
    from odebench.workloads.workload import Field, Solve

_MODEL, _SHUFFLE, _PROBE = 0, 3, 4  # streams of the workload's seed, beside those of its data


class TimedLayers(nn.Module):
    """Linear layers that read t beside their input, tanh between them: dim -> hidden (depth times) -> dim.

    Weights, those of t and biases are uniform within ±1/√(inputs, t among them).
    """

    def __init__(self, dim: int, hidden: int, depth: int, draw: torch.Generator) -> None:
        super().__init__()
        self.weights, self.of_time, self.biases = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise((dim, *(hidden,) * depth, dim)):
            drawn = torch.rand((fan_in + 2, fan_out), generator=draw, dtype=torch.float64)
            every = drawn.mul_(2).sub_(1).div_(math.sqrt(fan_in + 1))
            self.weights.append(nn.Parameter(every[:fan_in].T.contiguous()))
            self.of_time.append(nn.Parameter(every[fan_in].clone()))
            self.biases.append(nn.Parameter(every[fan_in + 1].clone()))

    def forward(self, t: Tensor, z: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
        """(f(t, z) of shape (rows, dim), Σ vᵀJv over the probes v of each row, shape (rows, 1)).

        `probes` has shape (rows or 1, count, dim). With the unit vectors for probes the sum is the trace of J. Their
        images are carried through the layers alongside: plain operations, to be differentiated like all others, where
        rows of J by autograd would nest one derivative in another and be unknown to a forward pass without a graph.
        """
        x, images = z, probes
        layers = list(zip(self.weights, self.of_time, self.biases, strict=True))
        for weight, of_time, bias in layers[:-1]:
            x = torch.addmm(bias + t * of_time, x, weight.T).tanh()
            images = (images @ weight.T) * (1.0 - x.square()).unsqueeze(1)
        weight, of_time, bias = layers[-1]
        return torch.addmm(bias + t * of_time, x, weight.T), ((probes @ weight) * images).sum((1, 2)).unsqueeze(1)


class Flow:
    """The flow of one seed: `log_density` of samples, and what training asks of it."""

    def __init__(self, cnf: Cnf, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.cnf, self.seed = cnf, seed
        train, test = split(cnf.data, cnf.points, seed)
        self.train, self.test = train.to(device, dtype), test.to(device, dtype)
        # Here rather than in `evaluate`, whose time is told.
        self.reference = mixture_nats(cnf.data, cnf.points, seed)
        self.dim = self.train.shape[1]
        self.model = TimedLayers(self.dim, cnf.hidden, cnf.depth, streams(seed, _MODEL)).to(device, dtype)

    @property
    def samples(self) -> int:
        """Training samples."""
        return len(self.train)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """Nats per sample of a minibatch, by the trace that was asked for."""
        rows = shuffled(self.seed, _SHUFFLE, self.samples, step, batch).to(self.train.device)
        probes = self._drawn(step, batch) if self.cnf.trace == "hutchinson" else self._units()
        return -self._log_density(self._carried(self.train[rows], probes, solve)).mean()

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Nats per test sample and bits per component by the exact trace, and how well the flow is inverted."""
        field, params = self._field(self._units()), tuple(self.model.parameters())
        end = self._carried(self.test, self._units(), solve)
        back = solve(field, end, (self.cnf.span, 0.0), params, leading=self.dim)[-1][:, : self.dim]
        nats = -float(self._log_density(end).double().mean())
        figures = {
            "quality": nats,
            "bits_per_dim": nats / (self.dim * math.log(2)),
            "inverse_error": float((back - self.test).double().norm() / self.test.double().norm()),
        }
        return figures | ({} if self.reference is None else {"quality_reference": self.reference})

    def log_density(self, x: Tensor, solve: Solve) -> Tensor:
        """log p of standardised samples (count, dim) by the exact trace, shape (count,)."""
        return self._log_density(self._carried(x, self._units(), solve))

    def _carried(self, x: Tensor, probes: Tensor, solve: Solve) -> Tensor:
        """Samples at the end of the flow, and in the last column how much their log-density changed on the way."""
        start = torch.cat((x, x.new_zeros((len(x), 1))), 1)
        times, params = (0.0, self.cnf.span), tuple(self.model.parameters())
        return solve(self._field(probes), start, times, params, leading=self.dim)[-1]

    def _field(self, probes: Tensor) -> Field:
        def field(t: Tensor, y: Tensor) -> Tensor:
            slope, trace = self.model(t, y[:, : self.dim], probes)
            return torch.cat((slope, -trace), 1)

        return field

    def _log_density(self, end: Tensor) -> Tensor:
        z, change = end[:, : self.dim], end[:, self.dim]
        return -0.5 * (z.square().sum(1) + self.dim * math.log(2 * math.pi)) - change

    def _units(self) -> Tensor:
        return torch.eye(self.dim, dtype=self.train.dtype, device=self.train.device).unsqueeze(0)

    def _drawn(self, step: int, batch: int) -> Tensor:
        """One probe for every row, drawn for this step: shape (batch, 1, dim)."""
        drawn = torch.randn((batch, 1, self.dim), generator=streams(self.seed, _PROBE, step), dtype=torch.float64)
        # Not `sign`, which is 0 at 0.
        signs = torch.where(drawn < 0, -1.0, 1.0).to(drawn.dtype)
        return (drawn if self.cnf.probe == "normal" else signs).to(self.train)
