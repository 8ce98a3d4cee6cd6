"""The torch side of the two annuli: fields of six kinds, the points, the readout."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from odebench.workloads.shuffled import shuffled
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.annuli import Annuli
    from odebench.workloads.workload import Solve

_TRAIN, _TEST, _SHUFFLE = 1, 2, 3  # streams of the workload's seed
_TESTED = 2048


class Linear(nn.Module):
    """A linear layer; where it is `timed`, t is one more input."""

    def __init__(self, fan_in: int, fan_out: int, timed: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        self.of_time = nn.Parameter(torch.empty(fan_out).uniform_(-1, 1) / math.sqrt(fan_in)) if timed else None

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shape (rows, fan_out)."""
        y: Tensor = self.linear(x)
        return y if self.of_time is None else y + t * self.of_time


class Series(nn.Module):
    """A linear layer with weights and biases that are truncated Fourier series in t, of period `span`.

    Its harmonics start at 0: it begins as a layer that does not depend on t.
    """

    def __init__(self, fan_in: int, fan_out: int, harmonics: int, span: float) -> None:
        super().__init__()
        self.mean, self.fan_out = nn.Linear(fan_in, fan_out), fan_out
        self.waves = nn.Linear(fan_in, 2 * harmonics * fan_out)
        for parameter in self.waves.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("rates", 2 * math.pi / span * torch.arange(1, harmonics + 1, dtype=torch.float64))
        self.rates: Tensor

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shape (rows, fan_out).

        The products of x with all coefficients are summed, and not the coefficients beforehand, so that every row may
        have a time of its own.
        """
        angles = t.reshape(-1, 1) * self.rates
        basis = torch.cat((angles.cos(), angles.sin()), 1).unsqueeze(2)
        waves = self.waves(x).reshape(len(x), -1, self.fan_out)
        y: Tensor = self.mean(x) + (basis * waves).sum(1)
        return y


class LayeredField(nn.Module):
    """Layers with an activation between them, the last one 0 at the start."""

    def __init__(self, annuli: Annuli, fan_in: int, fan_out: int) -> None:
        super().__init__()
        timed, hidden = annuli.field == "depth", (annuli.hidden,) * annuli.depth
        layers: list[nn.Module] = []
        for index, (wide, narrow) in enumerate(pairwise((fan_in, *hidden, fan_out))):
            inner = 0 < index < annuli.depth
            if inner and annuli.field == "galerkin":
                layers.append(Series(wide, narrow, annuli.harmonics, annuli.span))
            else:
                layers.append(Linear(wide, narrow, timed))
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.ModuleList(layers)
        self.activation = torch.tanh if annuli.activation == "tanh" else functional.softplus

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Shape (rows, fan_out)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(t, x))
        y: Tensor = last(t, x)
        return y


class Parting:
    """The model, points and labels of one seed."""

    def __init__(self, annuli: Annuli, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self.annuli, self.seed, kind = annuli, seed, annuli.field
        # Components of the state, and how many f reads, gives, and the readout reads.
        state = {"augmented": 2 + annuli.augment, "second_order": 4}.get(kind, 2)
        self.more, self.read = state - 2, 2 if kind == "second_order" else state
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            field = LayeredField(annuli, 4 if kind == "data_controlled" else state, self.read)
            self.model = nn.ModuleDict({"field": field, "readout": nn.Linear(self.read, 1)}).to(device, dtype)
        (x, label), (test_x, test_label) = _drawn(annuli.points, seed, _TRAIN), _drawn(_TESTED, seed, _TEST)
        self.x, self.label = x.to(device, dtype), label.to(device, dtype)
        self.test = test_x.to(device, dtype), test_label.to(device, dtype)

    @property
    def samples(self) -> int:
        """Training points."""
        return len(self.x)

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """Of a minibatch."""
        rows = shuffled(self.seed, _SHUFFLE, self.samples, step, batch).to(self.x.device)
        return self._loss(self._score(self.x[rows], solve), self.label[rows])

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Share of test points on the right side, and the loss of all of them."""
        x, label = self.test
        score = self._score(x, solve)
        right = (score > 0) == (label > 0)
        return {"quality": float(right.double().mean()), "test_loss": float(self._loss(score, label))}

    def _score(self, x: Tensor, solve: Solve) -> Tensor:
        field, params = self.model["field"], tuple(self.model["field"].parameters())
        kind, start = self.annuli.field, torch.cat((x, x.new_zeros((len(x), self.more))), 1)

        def slope(t: Tensor, z: Tensor) -> Tensor:
            if kind == "second_order":
                return torch.cat((z[:, 2:], field(t, z)), 1)
            found: Tensor = field(t, torch.cat((z, x), 1) if kind == "data_controlled" else z)
            return found

        end = solve(slope, start, (0.0, self.annuli.span), params)[-1]
        score: Tensor = self.model["readout"](end[:, : self.read])
        return score.squeeze(1)

    def _loss(self, score: Tensor, label: Tensor) -> Tensor:
        if self.annuli.loss == "mse":
            return functional.mse_loss(score, label)
        return functional.binary_cross_entropy_with_logits(score, (label + 1) / 2)


def _drawn(count: int, seed: int, stream: int) -> tuple[Tensor, Tensor]:
    """(points of shape (count, 2), labels −1 of the inner annulus and 1 of the outer one); each even in area."""
    draw = streams(seed, stream)
    shares, turns = torch.rand((2, count), generator=draw, dtype=torch.float64)
    label = 2.0 * torch.randint(2, (count,), generator=draw).double() - 1.0
    inner = 0.5 + 0.25 * label  # its own outer radius is 1/4 more
    radius = (inner.square() + shares * ((inner + 0.25).square() - inner.square())).sqrt()
    angle = 2 * math.pi * turns
    return torch.stack((radius * angle.cos(), radius * angle.sin()), 1), label
