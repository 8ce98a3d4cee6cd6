"""The kinds of figures, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from odebench.errors import UnknownName, UsageError, did_you_mean
from odebench.figures import growth, pareto, precision, reverse, reverse_error, steps, training
from odebench.figures.figure import Figure
from odebench.record import Record


@dataclass(frozen=True)
class Kind:
    """One kind of figure."""

    name: str
    summary: str
    draw: Callable[[Sequence[Record], str], Figure]
    costs: tuple[str, ...] = ()  # what an error may be set against; the first unless another is asked for

    def figure(self, records: Sequence[Record], cost: str | None = None) -> Figure:
        """Of these records, in their order. Where nothing can be drawn it has no panels, and notes that say why.

        Raises:
            UsageError: there is no such cost.
        """
        if cost is not None and cost not in self.costs:
            known = f"takes {', '.join(self.costs)}" if self.costs else "has no choice of costs"
            raise UsageError(f"{self.name} {known}; got --cost {cost!r}{did_you_mean(cost, self.costs)}")
        figure = self.draw(records, cost or next(iter(self.costs), ""))
        return figure if figure.panels else replace(figure, caption="")


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "work-precision",
            "Error of the solution against its cost",
            precision.SOLUTION.draw,
            tuple(precision.SOLUTION.costs),
        ),
        Kind(
            "gradient-precision",
            "Error of the gradient against its cost",
            precision.GRADIENT.draw,
            tuple(precision.GRADIENT.costs),
        ),
        Kind("memory", "Peak memory against steps, with the law fitted to it", growth.MEMORY.draw),
        Kind("time", "Wall time against steps, with the law fitted to it", growth.TIME.draw),
        Kind("reverse", "Forward and reversed paths over one another", reverse.reverse),
        Kind("reverse-error", "Distance between forward and reversed path along t", reverse_error.reverse_error),
        Kind("steps", "Sizes of adaptive steps along t", steps.steps),
        Kind("training", "Loss, quality and evaluations along the steps of training", training.training),
        Kind("pareto", "Pareto front of gradient error, time and memory", pareto.pareto),
    )
}


def kind(name: str) -> Kind:
    """The kind called `name`.

    Raises:
        UnknownName: there is none.
    """
    if name not in KINDS:
        raise UnknownName("kind of figure", name, KINDS)
    return KINDS[name]
