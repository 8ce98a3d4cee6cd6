"""What a workload is: a model, its data and its quality, with the solve left open. Torch-free, and quick to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Field = Callable[[Tensor, Tensor], Tensor]


class Solve(Protocol):
    """The pair of solver and gradient that a cell is about, as a model calls it.

    Counting, regularisers and a random end time are inside; a model knows nothing of them.
    """

    def __call__(
        self, f: Field, y0: Tensor, ts: Sequence[float], params: Sequence[Tensor], leading: int | None = None
    ) -> Tensor:
        """The solution of dy/dt = f(t, y) at the increasing or decreasing times `ts`, shape (len(ts), *y0.shape).

        `f` is called f(t, y), t a 0-dim tensor; y0 has shape (batch, …). `params` are all tensors besides y0 that f
        depends on and a gradient may be wanted of: its parameters, and activations of an encoder that it reads.
        `leading` is given where a row holds more than the model's own state, such as a log-density: that state is the
        first so many components, and what regularises the path looks at no others.
        """


class Task(Protocol):
    """A workload made: model and data on a device in a dtype, all of it drawn from one seed."""

    @property
    def model(self) -> nn.Module:
        """Every parameter that is trained."""

    @property
    def samples(self) -> int:
        """Training samples of one epoch."""

    def loss(self, step: int, batch: int, solve: Solve) -> Tensor:
        """The mean loss of minibatch number `step`, a scalar with a graph.

        The minibatch, and all noise in the loss, depend on the seed and on `step` alone, so that a killed run goes on
        as if nothing had been, and every gradient method sees the same numbers.
        """

    def evaluate(self, solve: Solve) -> dict[str, float]:
        """Quality on held-out data, without a graph: `quality`, what `Workload.quality` names, and others by name."""


@runtime_checkable
class Workload(Protocol):
    """A frozen dataclass whose fields are its options: small by default, paper-sized by option.

    Optional, and looked up by name: `solves`, False of a baseline whose model calls no solver, so that one row of it
    stands for all; `structured`, True where the task has `path_matrix()`, for the regulariser `path`.
    """

    quality: ClassVar[str]  # what `quality` is: accuracy, nats, rmse, …
    better: ClassVar[Literal["higher", "lower"]]
    optimiser: ClassVar[str]  # adam, adamax, sgd, rmsprop: what the source trains by
    lr: ClassVar[float]  # its learning rate

    def build(self, seed: int, dtype: torch.dtype, device: torch.device) -> Task:
        """Data read or drawn, model initialised.

        Raises:
            DataError: files of the user are missing, truncated or corrupted; nothing was half-read.
        """


@runtime_checkable
class Spanned(Protocol):
    """A workload that knows the length of its solves, so that too fine a mesh is refused before anything runs."""

    @property
    def span(self) -> float:
        """About the length of time of one solve."""


def streams(seed: int, *path: int) -> Any:
    """A CPU `torch.Generator` seeded by (seed, path…), independent of every other path."""
    import numpy as np
    import torch

    # With the length, for numpy fills up with zeros: without it path 5 would be path (5, 0).
    state = np.random.SeedSequence([seed, len(path), *path]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & (2**63 - 1))
