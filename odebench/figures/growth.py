"""What a longer solve costs: memory and time against the number of steps, with the law fitted to each line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odebench.figures.captions import SEVERAL, conditions, joined, lacking, sifted
from odebench.figures.figure import Axis, Figure, Law, Panel, Series
from odebench.figures.fit import FEWEST, fit
from odebench.figures.grouping import grouped, key_of, one_of_each, place_of
from odebench.figures.names import Names
from odebench.record import Record
from odebench.report import units


@dataclass(frozen=True)
class Growth:
    """One metric against steps; `draw` is what the registry of kinds calls."""

    kind: str
    title: str
    metric: str
    axis: str
    meaning: str
    shown: Callable[[float], str]  # a value of the metric, for people

    def draw(self, records: Sequence[Record], cost: str = "") -> Figure:
        """One panel for each place, one line for each solver and gradient; empty where nothing has several steps."""
        drawn, notes = sifted(records, lacking("steps", self.metric, positive=("steps", self.metric)))
        chosen = one_of_each(drawn, lambda each: each.metrics[self.metric])
        names = Names.of(chosen)
        axes = Axis("steps", log=True), Axis(self.axis, log=True)
        panels = [Panel(names.panel(each[0]), *axes, self._lines(each, names)) for each in grouped(chosen, place_of)]
        if not any(_several(series) for panel in panels for series in panel.series):
            told = (f"{self.title}: no pair of solver and gradient was measured at several numbers of steps.",)
            return Figure(self.kind, self.title, "", (), told * bool(chosen) + notes)
        caption = joined(
            f"{self.title}: {self.meaning}. Exponents are of a power law, by least squares in the logarithms, with "
            f"Student's 95 % interval, where there are {FEWEST} numbers of steps or more.",
            laws(panels),
            SEVERAL.format(self.metric) if len(chosen) < len(drawn) else "",
            conditions(names, chosen, records, timed=self.metric.endswith("_seconds")),
        )
        return Figure(self.kind, self.title, caption, tuple(panels), (*_unfitted(panels), *notes))

    def _lines(self, place: list[Record], names: Names) -> tuple[Series, ...]:
        found = []
        for group in grouped(place, lambda each: key_of(each.cell)):
            line = sorted(group, key=lambda each: each.metrics["steps"])
            x = tuple(float(each.metrics["steps"]) for each in line)
            y = tuple(float(each.metrics[self.metric]) for each in line)
            keys = tuple(each.cell.key for each in line)
            cell = line[0].cell
            found.append(Series(names.line(cell), key_of(cell), x, y, keys, law=fit(x, y, self.shown)))
        return tuple(found)


def spelled(law: Law) -> str:
    """`linear in steps, exponent 0.98 ± 0.03`; the interval lies evenly about the exponent."""
    return f"{law.words}, exponent {_rounded(law.exponent)} ± {_rounded((law.high - law.low) / 2)}"


def laws(panels: Sequence[Panel]) -> str:
    """The law of every line that has one, panel by panel."""
    told = []
    for panel in panels:
        found = [f"{series.name}: {spelled(series.law)}" for series in panel.series if series.law is not None]
        if found:
            told.append((f"{panel.title}: " if len(panels) > 1 else "") + "; ".join(found) + ".")
    return " ".join(told)


def _unfitted(panels: Sequence[Panel]) -> tuple[str, ...]:
    names = [series.name for panel in panels for series in panel.series if series.law is None]
    named = dict.fromkeys(names)
    return (f"No law is fitted to fewer than {FEWEST} numbers of steps: {'; '.join(named)}.",) if names else ()


def _several(series: Series) -> bool:
    return len(set(series.x)) > 1


def _rounded(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


MEMORY = Growth(
    "memory",
    "Memory against steps",
    "peak_memory_bytes",
    "peak memory (bytes)",
    "peak of live tensor bytes during forward and backward pass, against the accepted steps of the forward pass",
    units.size,
)
TIME = Growth(
    "time",
    "Time against steps",
    "wall_seconds",
    "time of both passes (s)",
    "wall time of forward and backward pass, against the accepted steps of the forward pass",
    units.seconds,
)
