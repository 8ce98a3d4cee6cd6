"""Latent ODEs: a series seen at irregular times, explained by where an ODE of latent states began."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, pi
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from odebench.registry import workload

if TYPE_CHECKING:
    import torch

    from odebench.workloads.workload import Task

Model = Literal["ode", "rnn"]
Cell = Literal["gru", "rnn"]


@workload(
    reference="R. T. Q. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud, Neural ordinary differential equations, "
    "NeurIPS 2018 (arXiv 1806.07366), section 5"
)
@dataclass(frozen=True)
class LatentOde:
    """Latent ODE on spirals seen at irregular times, or a recurrent network instead of it: error of extrapolation.

    Half of the spirals run clockwise. A window of 1.2π in time is divided into `points` times, at `observed` of which,
    drawn for each trajectory, it is seen with Gaussian noise of deviation `noise`. A test trajectory goes on for
    `later` points after the window. Training windows lie anywhere on the spiral, also where test trajectories only
    arrive later.

    `model: ode` reads the observations backwards by a recurrent network of width `recognition`, each with the time to
    the one before it, draws the start z(0) from the Gaussian that comes out, solves z' = f(z), `latent` states through
    one tanh layer of `hidden`, once for all times of the minibatch, and decodes by one relu layer of `hidden`. The loss
    is the negative evidence lower bound in nats a trajectory, its KL term weighted by 1 − kl_decay^step. Prediction is
    from the mean start. `model: rnn` solves nothing: it learns the next observation from those so far and the time
    until then, and is rolled out on its own predictions, time by time. Its width is what comes nearest to the parameter
    count of the ODE model.

    `quality` is the rms error of the coordinates at the later points, against the curve without noise, over 200 test
    trajectories; `interpolation_rmse` that in the window, where the ODE model has seen all observations and the
    recurrent network those before; `quality_reference` that of holding the last observation.

    The source's set-up: `points: 100, later: 100, trajectories: 1000, cell: rnn, kl_decay: 0.0` with `observed` 30, 50
    or 100, batch 1000, 2000 steps and lr 0.01. Each of up to `points` times is landed on unless stepping has `dense`.

    Raises:
        ValueError: an option is out of range.
    """

    quality: ClassVar[str] = "rmse"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    optimiser: ClassVar[str] = "adam"
    lr: ClassVar[float] = 2e-2

    model: Model = "ode"
    cell: Cell = "gru"
    trajectories: int = 300
    points: int = 40
    later: int = 40
    observed: int = 20
    noise: float = 0.3
    latent: int = 4
    hidden: int = 20
    recognition: int = 25
    kl_decay: float = 0.99

    def __post_init__(self) -> None:
        for name, choices in (("model", Model), ("cell", Cell)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}; got {getattr(self, name)!r}")
        for name in ("trajectories", "later", "latent", "hidden", "recognition"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if not 2 <= self.observed <= self.points:
            raise ValueError(
                f"observed must be at least 2 and at most points; got observed {self.observed!r} of "
                f"points {self.points!r}"
            )
        # The window is a fifth of the spiral.
        if self.later > 4 * self.points:
            raise ValueError(
                f"later must be at most 4 times points, where the spiral ends; got later {self.later!r} and "
                f"points {self.points!r}"
            )
        if not 0 < self.noise < inf:
            raise ValueError(f"noise must be positive, as it is the deviation of the likelihood; got {self.noise!r}")
        check_decay(self.kl_decay)

    @property
    def span(self) -> float:
        """Of the window; what is predicted beyond it may take longer."""
        return 1.2 * pi

    @property
    def solves(self) -> bool:
        """Whether there is an ODE."""
        return self.model == "ode"

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Spirals drawn, model initialised."""
        from odebench.workloads.latent_ode_task import OdeTask, RnnTask

        kind = OdeTask if self.solves else RnnTask
        return kind(self, seed, dtype, device)


def check_decay(decay: float) -> None:
    """Refuse what is no `kl_decay`.

    Raises:
        ValueError: it is below 0, or 1 or more, with which the KL term would never count.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"kl_decay must be at least 0 and below 1; got {decay!r}")
