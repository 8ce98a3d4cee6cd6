"""Events in time: a Poisson process whose intensity is read off the states of an ODE."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.workload import Task


@workload(
    reference="R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, Neural ordinary differential equations, "
    "NeurIPS 2018 (arXiv 1806.07366), section 5: Poisson process likelihoods"
)
@dataclass(frozen=True)
class PoissonProcess:
    """Poisson-process likelihood of event times, the intensity integrated as one more state of the same solve: nats.

    Events of sequence s come with intensity rate·(1 + a sin(ωt + φ)) over [0, span], in `turns` cycles, its amplitude a
    uniform up to `swing` and its phase φ uniform. The model is told a·cos φ and a·sin φ; a tanh layer gives z(0),
    `latent` states, from them, z' = f(z) has one tanh layer of `hidden`, and λ(z) is a softplus behind one, in units of
    the mean rate in training. One solve gives the states at all event times of the minibatch, and ∫λ dt at its end. The
    loss is −(Σ log λ(z(tᵢ)) − ∫λ dt), the mean over sequences.

    Event times are moved to the middles of `points` equal intervals, so that a minibatch has few distinct times, which
    are landed on one by one; with `points: 0` they stay as they are.

    `quality` is the loss on `sequences` // 2 held-out sequences, `quality_reference` that of the true intensity, and
    `constant_nats` that of the mean rate in training. `intensity_error` is ‖λ − λ*‖ / ‖λ*‖ on a grid of 64 times of the
    held-out sequences.

    The source feeds what an encoder makes of a series of observations; here the start is a function of what is known
    of a sequence, so that the likelihood is no bound and can be compared with that of the truth.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "nats"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2

    sequences: int = 300
    rate: float = 8.0
    swing: float = 0.9
    turns: float = 1.5
    span: float = 5.0
    points: int = 32
    latent: int = 4
    hidden: int = 20

    def __post_init__(self) -> None:
        for name, least in (("sequences", 2), ("points", 0), ("latent", 1), ("hidden", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)!r}")
        for name in ("rate", "turns", "span"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be a positive number; got {getattr(self, name)!r}")
        if not 0 <= self.swing < 1:
            raise ValueError(f"swing must be at least 0 and below 1, so that no intensity is 0; got {self.swing!r}")
        if not 1 <= self.rate * self.span <= 10_000:
            raise ValueError(
                f"rate·span, the events to expect in a sequence, must be from 1 to 10000; got rate {self.rate!r} and "
                f"span {self.span!r}"
            )

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Events drawn, model initialised."""
        from odebench.workloads.poisson_process_task import EventTask

        return EventTask(self, seed, dtype, device)
