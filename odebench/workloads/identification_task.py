"""A field learnt from trajectories of a known system, and what of the system it found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from odebench.workloads.identifiable_systems import Hold, System, system_of
from odebench.workloads.shuffled import shuffled
from odebench.workloads.true_paths import true_path
from odebench.workloads.workload import streams

if TYPE_CHECKING:
    from odebench.workloads.identification import Identification
    from odebench.workloads.workload import Solve

TEST = 64  # held-out trajectories
SUBSTEPS = 20  # of the simulation, between saved times
_TRAIN, _TEST, _NOISE, _ORDER = 1, 2, 3, 4


class LayeredField(nn.Module):
    """A state's derivative by linear layers with ELU between them; of second order, the acceleration by them."""

    def __init__(self, components: int, outputs: int, hidden: int, depth: int) -> None:
        super().__init__()
        widths = (components, *(hidden,) * depth, outputs)
        layers = [nn.Linear(before, after) for before, after in pairwise(widths)]
        self.weights = nn.ParameterList(layer.weight for layer in layers)
        self.biases = nn.ParameterList(layer.bias for layer in layers)
        self.outputs = outputs
        self.second_order = components != outputs

    def forward(self, y: Tensor) -> Tensor:
        """Shape (n, components)."""
        learnt = self.learnt(y)
        return torch.cat((y[:, self.outputs :], learnt), 1) if self.second_order else learnt

    def learnt(self, y: Tensor) -> Tensor:
        """What the layers give, shape (n, outputs)."""
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = nn.functional.linear(y, weight, bias)
            y = y if index == last else nn.functional.elu(y)
        return y

    def path_matrix(self) -> Tensor:
        """|W_L|···|W_1|, shape (outputs, components): 0 where no path of weights leads from one to the other."""
        first, *others = self.weights
        found: Tensor = first.abs()
        for weight in others:
            found = weight.abs() @ found
        return found


@dataclass(frozen=True)
class IdentificationTask:
    """See `Identification`. Trajectories have shape (times, count, components); the first times are the starts."""

    workload: Identification
    seed: int
    model: LayeredField
    system: System
    ts: tuple[float, ...]
    train: Tensor
    test: Tensor
    interventions: tuple[tuple[Hold, Tensor], ...]  # each variable held, and the truth over half the span

    @classmethod
    def make(cls, workload: Identification, seed: int, dtype: torch.dtype, device: torch.device) -> IdentificationTask:
        """Data drawn and model initialised from the seed."""
        system = system_of(workload.system, workload.variables, seed)
        ts = tuple(torch.linspace(0, system.span, workload.saves + 1, dtype=torch.float64).tolist())
        clean = true_path(system.slope, system.starts(seed, _TRAIN, workload.samples), ts, SUBSTEPS)
        noise = torch.randn(clean.shape, generator=streams(seed, _NOISE), dtype=clean.dtype)
        noise[0] = 0
        starts = system.starts(seed, _TEST, TEST)
        test = true_path(system.slope, starts, ts, SUBSTEPS)
        half = ts[: workload.saves // 2 + 1]
        holds = [Hold(system, variable) for variable in range(system.variables)]
        held = [true_path(each.slope(system.slope, starts), each.start(starts), half, SUBSTEPS) for each in holds]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LayeredField(starts.shape[1], system.variables, workload.hidden, workload.depth)
        train = clean + workload.noise * noise
        return cls(
            workload, seed, model.to(device, dtype), system, ts, train.to(device, dtype), test.to(device, dtype),
            tuple((hold, path.to(device, dtype)) for hold, path in zip(holds, held, strict=True)),
        )  # fmt: skip

    @property
    def samples(self) -> int:
        """Trajectories for training."""
        return self.workload.samples

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """Mean square over all times after the start and all variables."""
        index = shuffled(self.seed, _ORDER, self.samples, step, batch)
        some = self.train[:, index.to(self.train.device)]
        found = self._solved(some[0], self.ts, solve)
        return (found - some)[1:, :, : self.system.variables].square().mean()

    def path_matrix(self) -> Tensor:
        """Of the layers: what the regulariser `path` penalises."""
        return self.model.path_matrix()

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """See `Identification`."""
        n, truth = self.system.variables, self.system.adjacency
        found = self._solved(self.test[0], self.ts, solve)
        usual = self.train.mean(1, keepdim=True)
        paths = self.path_matrix().detach().cpu().double()
        return {
            "quality": _rms((found - self.test)[1:, :, :n]),
            "quality_reference": _rms((usual - self.test)[1:, :, :n]),
            "intervention_rmse": self._intervened(solve),
            "adjacency_auroc": auroc(paths, truth),
            "adjacency_recall": recall(paths, truth),
            "path_mean": float(paths.mean()),
            "jacobian_auroc": auroc(self._jacobian(), truth),
        }

    def _solved(self, y0: Tensor, ts: tuple[float, ...], solve: Solve, hold: Hold | None = None) -> Tensor:
        slope = self.model if hold is None else hold.slope(self.model, y0)
        return solve(lambda t, y: slope(y), y0, ts, tuple(self.model.parameters()))

    def _intervened(self, solve: Solve) -> float:
        squares = []
        for hold, truth in self.interventions:
            found = self._solved(truth[0], self.ts[: len(truth)], solve, hold)
            squares.append((found - truth)[1:][..., hold.others].square().mean())
        return float(torch.stack(squares).mean().sqrt())

    def _jacobian(self) -> Tensor:
        """Mean of |∂ output / ∂ component| over states of held-out trajectories, shape (outputs, components)."""
        states = self.test[:: max(1, len(self.test) // 8)].reshape(-1, self.test.shape[2])
        with torch.enable_grad():
            at = states.detach().requires_grad_()
            out = self.model.learnt(at).sum(0)
            rows = [torch.autograd.grad(each, at, retain_graph=True)[0].abs().mean(0) for each in out]
        return torch.stack(rows).cpu().double()


def auroc(scores: Tensor, truth: Tensor) -> float:
    """The probability that a score where `truth` holds is above one where it does not; ties count half. Not a number
    where one of the two kinds is missing.
    """
    there, absent = scores[truth].unsqueeze(1), scores[~truth]
    return float(((there > absent).double() + 0.5 * (there == absent).double()).mean())


def recall(scores: Tensor, truth: Tensor) -> float:
    """The share of the places where `truth` holds that are among as many of the largest scores."""
    largest = scores.flatten().topk(int(truth.sum())).indices
    return float(truth.flatten()[largest].double().mean())


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
