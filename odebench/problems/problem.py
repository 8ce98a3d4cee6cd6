"""What a problem is, and where its random numbers come from. Torch-free, and quick to import."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Independent streams of one seed, so that a wider batch or one more layer moves none of the other numbers.
PARAMETERS, START, ROWS, DATA = 0, 1, 2, 3


class Startable(Protocol):
    """What every problem has, however its right-hand side is given."""

    default_span: ClassVar[tuple[float, float]]

    def start(self, seed: int) -> Array:
        """Row 0 of the initial state, shape (dim…), float64: the published start where there is one."""


@runtime_checkable
class Problem(Startable, Protocol):
    """An initial-value problem dy/dt = f(t, y; θ) on states of shape (batch, dim…).

    A frozen dataclass whose fields are its options. Its field is written once, against an array namespace `xp`
    (`odebench.problems.torch_field.TorchArrays` lists the functions), so that every engine runs the very same f.
    Optional, and looked up by name: `exact(xp, t0, t, y0, theta)`, the closed form of y(t) from y(t0) = y0 with floats
    t0 and t; `loss(xp, ys)`, a scalar of the solution at the saved times, shape (times, batch, dim…), where it is not
    the sum of squares of the last state; `rows(batch, seed)`, all of y0, shape (batch, dim…), float64, where the rows
    behind the first are not its neighbours; `separable`, True where the state has two halves q and p along its last
    axis with q' = g(t, p) and p' = h(t, q), which symplectic schemes ask for; `stiff`, True where the truth takes an
    implicit solver, which treats the samples of the batch one by one.
    """

    def parameters(self, seed: int) -> dict[str, Array]:
        """Name -> float64 array of everything in θ; the order of the names is the order of the gradients."""

    def field(self, xp: Any, t: Any, y: Any, theta: tuple[Any, ...]) -> Any:
        """dy/dt, shaped like `y`; `theta` in the order of `parameters`."""


@runtime_checkable
class ModuleProblem(Startable, Protocol):
    """A problem whose field is a torch module `f(t, y)`; its parameters are the θ. Runs under torch only."""

    def module(self, seed: int) -> Any:
        """A fresh `torch.nn.Module`; it is called with torch's generator seeded by `seed`."""


@runtime_checkable
class BatchProblem(Startable, Protocol):
    """A problem whose field holds data of every sample, such as a path that drives it. Runs under torch only."""

    def module_of_batch(self, batch: int, seed: int) -> Any:
        """A fresh `torch.nn.Module` `f(t, y)` for y of `batch` rows; its parameters are the θ."""


@runtime_checkable
class Broken(Startable, Protocol):
    """A problem that knows where its field is not smooth in t; the truth lands there."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """These times."""


@runtime_checkable
class Judged(Startable, Protocol):
    """A problem with a loss of its own, which may see every saved time."""

    def loss(self, xp: Any, ys: Any) -> Any:
        """A scalar of the solution at the saved times, shape (times, batch, dim…)."""


def generator(seed: int, stream: int) -> np.random.Generator:
    """numpy's PCG64 seeded by the pair (seed, stream)."""
    import numpy as np

    return np.random.Generator(np.random.PCG64([seed, stream]))


def uniform(draw: np.random.Generator, fan_in: int, shape: tuple[int, ...]) -> Array:
    """Uniform within ±1/√fan_in, as torch draws the weights and biases of its layers."""
    bound = 1.0 / math.sqrt(fan_in)
    return draw.uniform(-bound, bound, shape)


def scalars(**values: float) -> dict[str, Array]:
    """0-dim arrays by name: θ of a problem with a few numbers for parameters."""
    import numpy as np

    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def vector(*values: float) -> Array:
    """A 1-D state."""
    import numpy as np

    return np.asarray(values, dtype=np.float64)
