"""Continuous normalising flows: a density learnt as the image of a Gaussian under an ODE."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.workload import Task

Data = Literal[
    "moons", "circles", "eight_gaussians", "two_spirals", "checkerboard", "swiss_roll", "pinwheel", "rings",
    "breast_cancer",
]  # fmt: skip
Trace = Literal["exact", "hutchinson"]
Probe = Literal["rademacher", "normal"]


@workload(
    "cnf",
    reference="W. Grathwohl, R. T. Q. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud, FFJORD: free-form continuous "
    "dynamics for scalable reversible generative models, ICLR 2019 (arXiv 1810.01367)",
)
@dataclass(frozen=True)
class Cnf:
    """A density as the image of a Gaussian under an ODE: nats per sample of data in the plane, or of 30 features.

    z' = f(t, z) takes a sample at t = 0 to z(span), which is to be standard normal; the log-density is integrated along
    with it: (log p)' = −tr ∂f/∂z, exactly or as vᵀ(∂f/∂z)v for one random `probe` v a solve (`trace: hutchinson`). f is
    linear layers with tanh between them, `depth` hidden ones of width `hidden`, each of which reads t as well. Samples
    are standardised by the training split, and nats are of them so. Quality is by the exact trace on held-out samples;
    its reference is a Gaussian mixture fitted to the same training samples. `inverse_error` is ‖z − z̃‖ / ‖z‖ of test
    samples z and what comes back, z̃, when the solve is solved backwards from its end.

    In the plane `points` samples are drawn to train on, and half as many to test on; `breast_cancer` has 455 and 114,
    and needs scikit-learn.

    The source's set-up in the plane: hidden 64, depth 3, span 0.5, `trace: exact`, with batch 100, dopri5 at 1e-5,
    10,000 steps of Adam at 1e-3 and weight decay 1e-5. It trains the span too, and draws fresh samples for every step.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "nats"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 1e-2

    data: Data = "moons"
    trace: Trace = "exact"
    probe: Probe = "rademacher"
    hidden: int = 64
    depth: int = 2
    span: float = 0.5
    points: int = 4096

    def __post_init__(self) -> None:
        for name, choices in (("data", Data), ("trace", Trace), ("probe", Probe)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}; got {getattr(self, name)!r}")
        for name in ("hidden", "depth", "points"):
            least = 10 if name == "points" else 1  # two to check each mixture on
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)!r}")
        if not 0 < self.span < inf:
            raise ValueError(f"span must be a positive length of time; got {self.span!r}")

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Samples drawn or read, model initialised.

        Raises:
            DataError: scikit-learn, which has the breast-cancer data, is not installed.
        """
        from odebench.workloads.cnf_task import Flow

        return Flow(self, seed, dtype, device)
