"""What panels and lines are called: no longer than it takes to tell them apart in one figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odebench.figures.grouping import PLACE, family_of, grouped, key_of, place_of, regulariser_of, unregularised
from odebench.record import AXES, Cell, Record
from odebench.report.text import plain
from odebench.spec import Spec

_NAMED = AXES[:4]  # problem, solver, gradient, stepping


@dataclass(frozen=True)
class Names:
    """The names in a figure of certain records. All of them are one line of printable text."""

    varying: frozenset[str]  # the axes of `PLACE`, the gradient and the stepping that have several values
    constant: tuple[str, ...]  # what holds for all of it: `device cpu`
    shortened: tuple[str, ...]  # what short names stand for: `coupled is coupled(base=rk4)`
    alone: frozenset[tuple[str, str]]  # (axis, name) of which there is one configuration
    families: frozenset[tuple[Spec, Spec]]  # pairs of solver and gradient that have several kinds of stepping
    regularised: frozenset[Spec]  # workloads that stand there with several regularisers

    @classmethod
    def of(cls, records: Iterable[Record]) -> Names:
        """Of all that is drawn."""
        values: dict[str, dict[object, None]] = defaultdict(dict)
        specs: dict[tuple[str, str], dict[Spec, None]] = defaultdict(dict)
        steppings: dict[tuple[Spec, Spec], set[Spec]] = defaultdict(set)
        terms: dict[Spec, set[Spec | None]] = defaultdict(set)
        for record in records:
            cell = record.cell
            for axis, value in zip(PLACE, place_of(record), strict=True):
                values[axis][value] = None
            for axis in ("gradient", "stepping"):
                values[axis][getattr(cell, axis)] = None
            for axis in _NAMED:
                spec = unregularised(cell.problem) if axis == "problem" else getattr(cell, axis)
                specs[axis, spec.name][spec] = None
            terms[unregularised(cell.problem)].add(regulariser_of(cell))
            steppings[cell.solver, cell.gradient].add(cell.stepping)
        told = (axis for axis in ("suite", *AXES[3:7]) if len(values[axis]) == 1)
        alone = {key: next(iter(found)) for key, found in specs.items() if len(found) == 1}
        several = any(len(found) > 1 for found in steppings.values())
        short = (spec for (axis, _), spec in alone.items() if spec.options and (axis != "stepping" or several))
        return cls(
            frozenset(axis for axis, found in values.items() if len(found) > 1),
            tuple(plain(f"{axis} {next(iter(values[axis]))}") for axis in told),
            tuple(plain(f"{spec.name} is {spec}") for spec in dict.fromkeys(short)),
            frozenset(alone),
            frozenset(pair for pair, found in steppings.items() if len(set(map(family_of, found))) > 1),
            frozenset(problem for problem, found in terms.items() if len(found) > 1),
        )

    def panel(self, record: Record) -> str:
        """What varies of its place; the problem where nothing does."""
        told = []
        for axis, value in zip(PLACE, place_of(record), strict=True):
            if axis == "problem" and (axis in self.varying or self.varying.isdisjoint(PLACE)):
                told.append(self._short(axis, value))
            elif axis in self.varying:
                told.append(f"batch {value}" if axis == "batch" else str(value))
        return plain(", ".join(told))

    def line(self, cell: Cell, gradients: Sequence[Spec] | None = None) -> str:
        """Solver, gradient where there are several, and the kind of stepping where the pair has several.

        `gradients` are those that the line stands for, if not for the cell's own; none of them is named where it is
        empty.
        """
        told = (cell.gradient,) if gradients is None else gradients
        return self._joined(cell, told, family_of(cell.stepping) if self._pair(cell) in self.families else None)

    def planes(self, records: Iterable[Record]) -> list[tuple[str, list[Record]]]:
        """(title, records) of panels in which no two records share a key: of each place, or each stepping there too."""
        found = []
        for place in grouped(records, place_of):
            if len({key_of(each.cell) for each in place}) == len(place):
                found.append((self.panel(place[0]), place))
                continue
            for group in grouped(place, lambda each: each.cell.stepping):
                stepping = self._short("stepping", group[0].cell.stepping)
                found.append((plain(f"{self.panel(group[0])}, {stepping}"), group))
        return found

    def _joined(self, cell: Cell, gradients: Sequence[Spec], stepping: Spec | None) -> str:
        parts = [self._short("solver", cell.solver)]
        if "gradient" in self.varying:
            parts += [self._short("gradient", each) for each in gradients]
        parts += [self._short("stepping", stepping)] if stepping else []
        several = unregularised(cell.problem) in self.regularised
        parts += [str(regulariser_of(cell) or "no regulariser")] if several else []
        return plain(", ".join(parts))

    def _pair(self, cell: Cell) -> tuple[Spec, Spec]:
        return cell.solver, cell.gradient

    def _short(self, axis: str, spec: Spec) -> str:
        return plain(spec.name if (axis, spec.name) in self.alone else spec)
