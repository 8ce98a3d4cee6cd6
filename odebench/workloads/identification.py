"""What depends on what: learning a system's field, its structure, and what an intervention does to it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.identification_task import IdentificationTask

# Of each system: variables unless they are given, and the fewest.
_SIZES = {"lotka_volterra": (4, 2), "gene_network": (6, 4), "springs": (4, 2)}


@workload(
    aliases=("system_identification",),
    reference="H. Aliee, F. J. Theis, N. Kilbertus, Beyond predictions in neural ODEs: identification and "
    "interventions (arXiv 2106.12430); H. Aliee et al., Sparsity in continuous-depth neural networks, NeurIPS 2022 "
    "(arXiv 2210.14672)",
)
@dataclass(frozen=True)
class Identification:
    """System identification with structure: a field learnt, which variable reads which, and interventions.

    The field is linear layers with ELU between them, `depth` hidden ones of width `hidden`. It learns from `samples`
    trajectories at `saves` equal intervals, with normal noise of deviation `noise` on all but their starts, to predict
    each from its start; the loss is the mean square. `system` is `lotka_volterra`, populations in logarithms;
    `gene_network`, a ring of three repressing genes and genes downstream, wired by the seed; or `springs`, masses in a
    row, of second order: the field gives accelerations. `size` is the number of variables (4, 6 and 4 by default).

    The matrix |W_L|···|W_1| says which variable may read which, and the regulariser `path` penalises its mean.
    `adjacency_auroc` is the probability that an entry of it where the system has an edge is above one where it has
    none; `adjacency_recall` the share of the edges that are among as many of its largest entries; `path_mean` what is
    penalised. `jacobian_auroc` is that of the field's mean absolute Jacobian over held-out trajectories, which tells of
    the function where the first tells of the weights.

    `quality` is the rms error on held-out trajectories without noise, from starts of the same distribution;
    `quality_reference` what the mean of the training trajectories at the same time has. `intervention_rmse` is that of
    predictions where one variable is held at a value, from its start on and for half the span, each in turn, over the
    variables that go on moving: the truth of the system under the same.

    The source's nets are two hidden layers of 100 with ELU (`hidden: 100`), trained by adam at 0.01, dopri5 at 1e-3,
    with weights of the penalty about 0.01 of a mean square of data scaled to [0, 1]. Its systems and its gates for
    weights are not here.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "rmse"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2
    structured: ClassVar[bool] = True  # its task has a path matrix

    system: Literal["lotka_volterra", "gene_network", "springs"] = "lotka_volterra"
    size: int | None = None
    hidden: int = 32
    depth: int = 2
    samples: int = 64
    saves: int = 20
    noise: float = 0.02

    def __post_init__(self) -> None:
        if self.system not in _SIZES:
            raise ValueError(f"system must be one of {', '.join(_SIZES)}; got {self.system!r}")
        least = _SIZES[self.system][1]
        if self.variables < least:
            raise ValueError(f"size must be at least {least} for {self.system}; got {self.size!r}")
        if self.system == "lotka_volterra" and self.variables % 2:
            raise ValueError(
                f"size must be even for lotka_volterra, whose populations come in pairs; got {self.size!r}"
            )
        for name in ("hidden", "depth", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if self.saves < 2:
            raise ValueError(f"saves must be at least 2, for an intervention to be followed; got {self.saves!r}")
        if not 0 <= self.noise < inf:
            raise ValueError(f"noise must be at least 0 and finite; got {self.noise!r}")

    @property
    def variables(self) -> int:
        """Of the system."""
        return _SIZES[self.system][0] if self.size is None else self.size

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> IdentificationTask:
        """Trajectories simulated, model initialised."""
        from odebench.workloads.identification_task import IdentificationTask

        return IdentificationTask.make(self, seed, dtype, device)
