"""What variational models of time series are made of: recognition, field, decoder, and the terms of their bound."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Recognition(nn.Module):
    """A recurrent network over a series backwards in time: what it ends with gives N(mean, e^spread) of the start."""

    def __init__(self, cell: str, inputs: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.recurrent = recurrent(cell, inputs, hidden)
        self.readout = nn.Linear(hidden, 2 * latent)

    def forward(self, series: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(mean, logarithm of the variance), each (batch, latent), of series (batch, length, inputs), newest first.

        Where series differ in length, `lengths`, on the CPU, says how many entries of each count; at least 1.
        """
        rows: Tensor | nn.utils.rnn.PackedSequence = series
        if lengths is not None:
            rows = nn.utils.rnn.pack_padded_sequence(series, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.recurrent(rows)
        mean, spread = self.readout(state[-1]).chunk(2, 1)
        return mean, spread


def recurrent(cell: str, inputs: int, hidden: int) -> nn.RNNBase:
    """One layer, batch first: `gru`, or `rnn` with tanh."""
    kind = nn.GRU if cell == "gru" else nn.RNN
    return kind(inputs, hidden, batch_first=True)


def perceptron(inputs: int, hidden: int, outputs: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear(inputs, hidden), an activation, Linear(hidden, outputs)."""
    return nn.Sequential(nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, outputs))


def seeded(seed: int, make: Callable[[], M]) -> M:
    """A model whose weights depend on the seed alone, also in dtype: drawn in float32 on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def drawn(mean: Tensor, spread: Tensor, draw: torch.Generator) -> Tensor:
    """A sample of N(mean, e^spread), differentiable in both."""
    noise = torch.randn(mean.shape, generator=draw, dtype=torch.float64)
    return mean + (0.5 * spread).exp() * noise.to(mean)


def log_normal(x: Tensor, mean: Tensor, deviation: float) -> Tensor:
    """The log-density of each entry of x under N(mean, deviation²)."""
    return -0.5 * ((x - mean) / deviation).square() - (log(deviation) + 0.5 * log(2 * pi))


def kl_divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """KL(N(mean, e^spread) ‖ N(0, 1)) in nats, (batch, latent) -> (batch,)."""
    return 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1)


def kl_weight(step: int, decay: float, delay: int = 0) -> float:
    """max(0, 1 − decay^(step − delay)): 0 until the `delay`, then rising to 1; 1 throughout for a decay of 0."""
    return 1.0 - decay ** max(0, step - delay) if decay else 1.0
