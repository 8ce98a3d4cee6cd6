"""An expert's equations and learnt ones in one field: predicting patients after a dose."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.hybrid_pharmacology_task import HybridTask


@workload(
    reference="Z. Qian, W. R. Zame, L. M. Fleuren, P. Elbers, M. van der Schaar, Integrating expert ODEs into neural "
    "ODEs: pharmacology and disease progression, NeurIPS 2021"
)
@dataclass(frozen=True)
class HybridPharmacology:
    """Hybrid expert and neural ODE: known pharmacology with dose jumps beside learnt states, observed through noise.

    Simulated patients have `latent` states: four that the expert's equations give, and `latent` − 4 that only data
    tell of. They are seen through `channels` noisy channels at the times 0, 1, …, `end`, each entry with probability
    `kept`. An LSTM, run backwards over the first `observed` times, gives the start; a linear map gives the channels.
    `dynamics` is the field: `hybrid`, the expert's equations and one learnt layer; `expert`, those equations alone, on
    four states; or `neural`, a learnt network that also reads the dose.

    A dose sets in at a whole time and decays. `jumps: restart` splits each solve at the doses of the minibatch, with
    what is left of a dose as one more component, so that the field is smooth in every part. `jumps: through` solves
    once: the field jumps in time, and step control meets that. Each row then carries the time and the size of its dose,
    two components without error, which an rms norm counts in.

    The loss is the mean square over all observed entries. `quality` is the rms error of the standardised observations
    of held-out patients after `observed`, noise included; `rmse_seen` the same up to there; `rmse_states` that of the
    expert's four states over all times, where the field has them; `rmse_truth` what the true states without noise
    have; `quality_reference` what the mean over training patients at the same time has.

    The source's set-up: `samples` 10, 100 or 500, batches of 10, adam, lr 0.01, 400 steps, rtol 1e-7 and atol 1e-8;
    `latent: 8, channels: 40` and `latent: 12, channels: 80` are its larger ones, and `noise` 0.4 and 0.8 its noisier
    ones. It trains a variational bound with an encoder of the whole series, and its neural field sees a dose at one
    instant only; here the start is not drawn, the encoder reads in training what it reads in prediction, and every
    field is told the decaying dose.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "rmse"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2

    dynamics: Literal["hybrid", "neural", "expert"] = "hybrid"
    jumps: Literal["restart", "through"] = "restart"
    samples: int = 100
    latent: int = 6
    channels: int = 20
    end: int = 14
    observed: int = 5
    kept: float = 0.5
    noise: float = 0.2

    def __post_init__(self) -> None:
        if self.dynamics not in ("hybrid", "neural", "expert"):
            raise ValueError(f"dynamics must be hybrid, neural or expert; got {self.dynamics!r}")
        if self.jumps not in ("restart", "through"):
            raise ValueError(f"jumps must be restart or through; got {self.jumps!r}")
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2, for channels to be standardised; got {self.samples!r}")
        if self.latent < 5:
            raise ValueError(
                f"latent must be at least 5, the expert's four states and one to learn; got {self.latent!r}"
            )
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1; got {self.channels!r}")
        if not 1 <= self.observed <= self.end:
            raise ValueError(
                f"observed must be at least 1 and at most end, so that a time is left to predict; got observed "
                f"{self.observed!r} and end {self.end!r}"
            )
        if not 0 < self.kept <= 1:
            raise ValueError(f"kept is a probability above 0; got {self.kept!r}")
        if not 0 <= self.noise < inf:
            raise ValueError(f"noise must be at least 0 and finite; got {self.noise!r}")

    @property
    def span(self) -> float:
        """Of a patient's series."""
        return float(self.end)

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> HybridTask:
        """Patients simulated, model initialised."""
        from odebench.workloads.hybrid_pharmacology_task import HybridTask

        return HybridTask.make(self, seed, dtype, device)
