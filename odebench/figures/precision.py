"""Work–precision diagrams: what an error costs, of the solution and of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from odebench.figures.captions import SEVERAL, conditions, joined, lacking, sifted
from odebench.figures.figure import Axis, Figure, Panel, Series
from odebench.figures.grouping import fineness, grouped, key_of, merged, one_of_each, place_of
from odebench.figures.names import Names
from odebench.record import Record

_SAME = 1e-6  # relative; two gradients see the same solve, but for the order of a sum


@dataclass(frozen=True)
class Cost:
    """What an error is paid with: the sum of some metrics, and how an axis is titled."""

    metrics: tuple[str, ...]
    title: str

    def of(self, record: Record) -> float:
        """The sum."""
        return float(sum(record.metrics[name] for name in self.metrics))


@dataclass(frozen=True)
class Diagram:
    """One kind of work–precision diagram; `draw` is what the registry of kinds calls."""

    kind: str
    title: str
    error: str
    axis: str
    meaning: str
    costs: dict[str, Cost]
    gradients: bool  # they matter to the error; else lines that lie on one another are drawn once

    def draw(self, records: Sequence[Record], cost: str) -> Figure:
        """One panel for each place, one line for each solver and gradient, one point for each stepping."""
        price = self.costs[cost]
        metrics = (self.error, *price.metrics)
        # Of a cost in parts one may be 0: direct calls f in the forward pass only.
        positive = metrics if len(price.metrics) == 1 else (self.error,)
        drawn, notes = sifted(records, lacking(*metrics, positive=positive))
        chosen = one_of_each(drawn, lambda each: each.metrics[self.error])
        names = Names.of(chosen)
        # As in SciML's diagrams the error goes to the right and the cost up, so that the best is at the lower left.
        axes = Axis(self.axis, log=True), Axis(price.title, log=True)
        panels = (
            Panel(names.panel(each[0]), *axes, self._lines(each, price, names)) for each in grouped(chosen, place_of)
        )
        return Figure(
            self.kind,
            self.title,
            joined(
                f"{self.title}: {self.meaning}, against {price.title}. Further left is more accurate, lower is "
                "cheaper. A point is one cell; a line joins the settings of one solver, from coarse to fine.",
                "" if self.gradients else "Gradients for which a solver's lines coincide share one.",
                SEVERAL.format(self.error) if len(chosen) < len(drawn) else "",
                conditions(names, chosen, records, timed=any(name.endswith("_seconds") for name in metrics)),
            ),
            tuple(panels),
            notes,
        )

    def _lines(self, place: list[Record], price: Cost, names: Names) -> tuple[Series, ...]:
        lines = [sorted(group, key=fineness) for group in grouped(place, lambda each: key_of(each.cell))]
        if self.gradients:
            return tuple(self._series(line, price, names.line(line[0].cell)) for line in lines)
        shared = merged(lines, lambda one, other: self._coincide(one, other, price))
        return tuple(self._series(line, price, names.line(line[0].cell, gradients)) for line, gradients in shared)

    def _series(self, line: list[Record], price: Cost, name: str) -> Series:
        x = tuple(float(each.metrics[self.error]) for each in line)
        y = tuple(price.of(each) for each in line)
        return Series(name, key_of(line[0].cell), x, y, tuple(each.cell.key for each in line))

    def _coincide(self, one: list[Record], other: list[Record], price: Cost) -> bool:
        return len(one) == len(other) and all(
            isclose(a.metrics[self.error], b.metrics[self.error], rel_tol=_SAME)
            and isclose(price.of(a), price.of(b), rel_tol=_SAME)
            for a, b in zip(one, other, strict=True)
        )


MEMORY = Cost(("peak_memory_bytes",), "peak memory (bytes)")

SOLUTION = Diagram(
    "work-precision",
    "Work–precision of the solution",
    "solution_error",
    "relative error of the solution",
    "relative error at the end of the span, in the 2-norm",
    {
        "nfe": Cost(("nfe_forward",), "evaluations of f, forward pass"),
        "time": Cost(("forward_seconds",), "time of the forward pass (s)"),
        "memory": MEMORY,
    },
    gradients=False,
)

GRADIENT = Diagram(
    "gradient-precision",
    "Work–precision of the gradient",
    "gradient_error",
    "relative error of the gradient",
    "relative error of dL/dy0 and dL/dθ together against the true gradient of the ODE, in the 2-norm",
    {
        "work": Cost(("work",), "work (evaluations of f)"),
        "nfe": Cost(("nfe_forward", "nfe_backward"), "evaluations of f, both passes"),
        "time": Cost(("wall_seconds",), "time of both passes (s)"),
        "memory": MEMORY,
    },
    gradients=True,
)
