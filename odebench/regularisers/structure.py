"""Few paths from inputs to outputs: a field that says what depends on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odebench.registry import regulariser
from odebench.regularisers.regulariser import check_weights

if TYPE_CHECKING:
    from torch import Tensor

    from odebench.types import Controller, Stepper


@regulariser(
    "path",
    reference="H. Aliee, F. J. Theis, N. Kilbertus, Beyond predictions in neural ODEs: identification and "
    "interventions (arXiv 2106.12430)",
)
@dataclass(frozen=True)
class PathPenalty:
    """The mean of |W_L|···|W_1|: entry (i, j) is 0 only where output i reads input j by no path of weights.

    A function of the weights: it changes no solve. For workloads whose field is such a product of layers.

    Raises:
        ValueError: the weight is negative.
    """

    weight: float = 0.01

    def __post_init__(self) -> None:
        check_weights(self.weight)

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """It has nothing to do with the solver."""
        return None

    def penalty(self, task: Any) -> Tensor:
        """A 0-dim tensor."""
        found: Tensor = task.path_matrix().mean()
        return found
