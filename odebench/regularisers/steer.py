"""A random end time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from odebench.registry import regulariser

if TYPE_CHECKING:
    from torch import Generator

    from odebench.types import Controller, Stepper


@regulariser(
    reference="A. Ghosh, H. S. Behl, E. Dupont, P. H. S. Torr, V. Namboodiri, STEER: simple temporal regularization "
    "for neural ODEs, NeurIPS 2020 (arXiv 2006.10711)"
)
@dataclass(frozen=True)
class Steer:
    """Train to an end time drawn anew at each step, evenly within ± `width` of the span; predict at the true one.

    Where a solve has saved times in between, each is moved by up to half of `width` of the gap before it, so that they
    stay in order: what Pal et al. 2021 do for irregular observations, at width 1.

    Raises:
        ValueError: `width` is not in (0, 1).
    """

    weight: ClassVar[float] = 0.0

    width: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.width < 1:
            raise ValueError(f"width is a share of the span, in (0, 1); got {self.width!r}")

    def refusal(self, stepper: Stepper, control: Controller) -> str | None:
        """Any solver goes to any time."""
        return None

    def times(self, ts: tuple[float, ...], draw: Generator) -> tuple[float, ...]:
        """The first stays."""
        import torch

        moves = torch.rand(len(ts) - 1, generator=draw, dtype=torch.float64).mul_(2).sub_(1).tolist()
        share = self.width if len(ts) == 2 else self.width / 2
        moved = (t + share * move * (t - before) for (before, t), move in zip(pairwise(ts), moves, strict=True))
        return (ts[0], *moved)
