"""Latent ODE of patients in intensive care, from the user's files of the PhysioNet/CinC Challenge 2012."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from odebench.registry import workload
from odebench.workloads.latent_ode import check_decay

if TYPE_CHECKING:
    import torch

    from odebench.workloads.workload import Task

Sets = Literal["a", "b", "ab"]


@workload(
    reference="Y. Rubanova, R. T. Q. Chen, D. Duvenaud, Latent ODEs for irregularly-sampled time series, NeurIPS 2019 "
    "(arXiv 1907.03907); the set-up of A. Pal, A. Edelman, C. Rackauckas, Locally regularized neural differential "
    "equations, ICML 2023 (arXiv 2303.02262)"
)
@dataclass(frozen=True)
class Physionet:
    """Latent ODE on PhysioNet 2012: 37 irregular series of each stay, from the user's files, reconstructed; mse.

    `folder` holds what the archives set-a.tar.gz and set-b.tar.gz of physionet.org/content/challenge-2012/1.0.0 unpack
    to, `set-a` and `set-b`, of which `sets` says the ones to use; relative paths begin where odebench was started. Of
    both together the first `stays` by record number are read, all for 0. Times are rounded to the `quantum`, in hours,
    and what falls together is averaged; every feature is scaled to [0, 1] by its extremes over all that was read, as
    the source does. Age, Gender, Height and ICUType are left out, and so is a Weight of −1, which the source keeps.
    80 % of the stays, drawn by the seed, are trained on.

    A GRU of width `recognition` reads a stay backwards, at each of its times the values, what was observed, and the
    time to the one before; it gives the Gaussian of z(0), `latent` states. Their field is a tanh and then `blocks`
    times two layers with tanh, to `hidden` and back. One solve goes to all times of the minibatch, 48 hours taken as 1,
    and a linear readout gives the mean of Gaussians of deviation `noise`. The loss is the negative evidence lower bound
    of a stay in nats, over what was observed, its KL term weighted by max(0, 1 − kl_decay^(step − kl_delay)).
    `mortality`, where above 0, is the weight of one more term, the cross-entropy of death in hospital, read off the
    mean of z(0) by a linear layer; it needs Outcomes-a.txt or Outcomes-b.txt in the folder.

    `quality` is the mean square error over all observed entries of the held-out stays, each from its mean start, which
    has seen them; `quality_reference` that of each feature's mean in training. With `mortality`, `auroc` is the area
    under the curve of held-out deaths.

    The set-up of the second source: `stays: 0, blocks: 4`, batch 512, 3000 steps, rtol and atol 1.4e-8. Its recognition
    cell carries a deviation beside its state, and this one does not.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "mse"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adamax"
    lr: ClassVar[float] = 1e-2

    folder: str
    sets: Sets = "ab"
    stays: int = 1000
    quantum: float = 1.0
    latent: int = 20
    hidden: int = 40
    blocks: int = 1
    recognition: int = 50
    noise: float = 0.01
    kl_decay: float = 0.99
    kl_delay: int = 100
    mortality: float = 0.0

    def __post_init__(self) -> None:
        if self.sets not in get_args(Sets):
            raise ValueError(f"sets must be one of {', '.join(get_args(Sets))}; got {self.sets!r}")
        for name, least in (
            ("stays", 0),
            ("kl_delay", 0),
            ("latent", 1),
            ("hidden", 1),
            ("blocks", 1),
            ("recognition", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)!r}")
        if not 1 / 60 <= self.quantum <= 24:
            raise ValueError(f"quantum must be from 1/60, a minute, to 24 hours; got {self.quantum!r}")
        if not 0 < self.noise < inf:
            raise ValueError(f"noise must be positive, as it is the deviation of the likelihood; got {self.noise!r}")
        if not 0 <= self.mortality < inf:
            raise ValueError(f"mortality must be at least 0; got {self.mortality!r}")
        check_decay(self.kl_decay)

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Files read, model initialised.

        Raises:
            DataError: a folder or file is missing, truncated or corrupted, or there are too few stays to hold some out.
        """
        from odebench.workloads.physionet_files import read_stays
        from odebench.workloads.physionet_task import StayTask

        folder = Path(self.folder).expanduser()
        stays = read_stays(folder, self.sets, self.quantum, self.stays, self.mortality > 0)
        return StayTask(self, stays, seed, dtype, device)
