"""Two annuli, one inside the other, to be told apart: what fields of different kinds make of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.workload import Task

Kind = Literal["vanilla", "depth", "galerkin", "augmented", "second_order", "data_controlled"]
Loss = Literal["mse", "cross_entropy"]
Activation = Literal["tanh", "softplus"]


@workload(
    "annuli",
    reference="S. Massaroli, M. Poli, J. Park, A. Yamashita, H. Asama, Dissecting neural ODEs, NeurIPS 2020 "
    "(arXiv 2002.08071)",
)
@dataclass(frozen=True)
class Annuli:
    """Two annuli told apart by a neural ODE and a linear readout, with one of six kinds of field.

    Points of the plane lie evenly on the annuli of radii 1/4 to 1/2, label −1, and 3/4 to 1, label 1; their sign is to
    be read off z(span) by one linear layer. A flow in the plane keeps one ring around the other, and no line parts
    them: `vanilla`, z' = f(z), `depth`, z' = f(t, z) with t read by every layer, and `galerkin`, z' = f_θ(t)(z), can
    but drive the inner ring out through a rift between points of the outer one. θ(t), the weights between hidden
    layers, are Fourier series θ₀ + Σ aₖ cos(2πkt/span) + bₖ sin(2πkt/span) of `harmonics` terms. Three kinds have a way
    out of the plane: `augmented` has `augment` more components, which start at 0; `second_order` is q'' = f(q, q') from
    q' = 0, of which q is read; `data_controlled` is z' = f(z, x), which knows where its path began, z(0) = x.

    f has `depth` hidden layers of width `hidden`; its last layer starts at 0, so that the flow starts as the identity.
    `loss` is the mean square of what is read off minus the label, or the logistic loss.

    The source's set-up: 2,000 steps of AdamW at 1e-3 and weight decay 1e-6, batch 1024, dopri5 at 1e-5 with the
    adjoint, mean squared errors; `vanilla` and `depth` as here, `galerkin` of hidden 16 and 5 harmonics,
    `data_controlled` of hidden 32, depth 1 and softplus.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "accuracy"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    optimiser: ClassVar[str] = "adamw"
    lr: ClassVar[float] = 5e-3

    field: Kind = "vanilla"
    hidden: int = 32
    depth: int = 2
    activation: Activation = "tanh"
    harmonics: int = 2
    augment: int = 1
    loss: Loss = "mse"
    span: float = 1.0
    points: int = 2048

    def __post_init__(self) -> None:
        for name, choices in (("field", Kind), ("loss", Loss), ("activation", Activation)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}; got {getattr(self, name)!r}")
        for name in ("hidden", "depth", "harmonics", "augment", "points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if self.field == "galerkin" and self.depth < 2:
            raise ValueError("galerkin has its series between hidden layers, of which there must be two; take depth 2")
        if not 0 < self.span < inf:
            raise ValueError(f"span must be a positive length of time; got {self.span!r}")

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Points drawn, model initialised."""
        from odebench.workloads.annuli_task import Parting

        return Parting(self, seed, dtype, device)
