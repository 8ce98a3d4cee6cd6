"""A neural controlled differential equation in the form in which an ODE solver takes it."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any, ClassVar

from odebench.problems.neural import Activation, known, positive
from odebench.problems.problem import DATA, PARAMETERS, START, generator, uniform
from odebench.registry import problem

if TYPE_CHECKING:
    from odebench.problems.problem import Array

END = 4 * pi  # of the observations, which begin at 0
CHANNELS = 3  # of the path: time and the two coordinates of a point
_NOISE = 0.01


@problem(
    reference="P. Kidger, J. Morrill, J. Foster, T. Lyons, Neural controlled differential equations for irregular time "
    "series, NeurIPS 2020 (arXiv 2005.08926): the equation; J. Morrill, P. Kidger, L. Yang, T. Lyons, Neural "
    "controlled differential equations for online prediction tasks, 2021 (arXiv 2106.11028): the path"
)
@dataclass(frozen=True)
class CdeAsOde:
    """z' = F(z)·X'(t), F a network with tanh at its end, X the path through `observations` points of a spiral.

    F is Linear(hidden, width), activation, Linear(width, 3·hidden), tanh. Every sample has a path of its own through
    (t, x, y): points of a spiral that winds in, clockwise in every other sample, at even times over [0, 4π], seen with
    noise of deviation 0.01. Between two of them X is the cubic Hermite polynomial whose slope at each point is that of
    the line which ends there (at the first, that of the line which begins), so that X' is continuous and has a kink at
    every observation. With `relu`, which has kinks in z too, the truth is out of reach. Outside [0, 4π] the first and
    the last piece go on. Weights and biases uniform within ±1/√fan_in; row 0 of the start is standard normal. The path
    has no parameters.
    """

    default_span: ClassVar[tuple[float, float]] = (0.0, END)

    hidden: int = 8
    width: int = 128
    observations: int = 60
    activation: Activation = "softplus"

    def __post_init__(self) -> None:
        positive(hidden=self.hidden, width=self.width)
        if self.observations < 2:
            raise ValueError(f"observations must be at least 2, so that there is a path; got {self.observations}")
        known(self.activation)

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times of the observations."""
        return tuple(END * k / (self.observations - 1) for k in range(self.observations))

    def start(self, seed: int) -> Array:
        return generator(seed, START).standard_normal(self.hidden)

    def module_of_batch(self, batch: int, seed: int) -> Any:
        """The field with the paths of so many samples, a `torch.nn.Module`."""
        from odebench.problems.path_field import PathField

        draw = generator(seed, PARAMETERS)
        layers = [
            (uniform(draw, fan_in, (fan_out, fan_in)), uniform(draw, fan_in, (fan_out,)))
            for fan_in, fan_out in ((self.hidden, self.width), (self.width, CHANNELS * self.hidden))
        ]
        spacing = END / (self.observations - 1)
        slopes = backward_differences(spirals(batch, self.observations, seed), spacing)
        return PathField(layers, slopes, spacing, self.activation)


def spirals(batch: int, observations: int, seed: int) -> Array:
    """(t, x, y) of each observation, shape (batch, observations, 3), drawn row by row.

    A smaller batch is the beginning of a larger one.
    """
    import numpy as np

    draw, t = generator(seed, DATA), np.linspace(0.0, END, observations)
    series = np.empty((batch, observations, CHANNELS))
    for row in range(batch):
        angle = draw.uniform(0.0, 2 * pi) + t
        sense = 1.0 if row % 2 else -1.0
        points = np.stack((sense * np.cos(angle), np.sin(angle)), 1) / (1 + t / 2)[:, None]
        series[row, :, 0] = t
        series[row, :, 1:] = points + _NOISE * draw.standard_normal(points.shape)
    return series


def backward_differences(series: Array, spacing: float) -> Array:
    """Slopes of the lines between neighbours, the first of them twice, shape (batch, observations, channels).

    At observation k the path has slope k of these, and slope k + 1 is that of the line to the next one.
    """
    import numpy as np

    lines = np.diff(series, axis=1) / spacing
    return np.concatenate((lines[:, :1], lines), 1)
