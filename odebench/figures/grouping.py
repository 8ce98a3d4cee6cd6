"""Which records share a panel, a line and a point."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from math import inf
from typing import Any, TypeVar

from odebench.record import Cell, Record
from odebench.spec import Spec

T = TypeVar("T")
Shared = tuple[list[Record], list[Spec]]  # (the records of a line, the gradients to name)

# What a panel is of. Times and bytes of two machines, or of two suites, are not to share a line.
PLACE = ("suite", "machine", "problem", "device", "dtype", "batch")
SWEPT = ("rtol", "atol", "steps", "dt")  # options of a stepping that make it finer, and no other one


def place_of(record: Record) -> tuple[Any, ...]:
    """What the panel of a record is of, in the order of `PLACE`; a regulariser is no part of its problem here."""
    told = {"machine": record.machine, "problem": unregularised(record.cell.problem)}
    return tuple(told[axis] if axis in told else getattr(record.cell, axis) for axis in PLACE)


def unregularised(problem: Spec) -> Spec:
    """A workload without its regulariser: lines of several regularisers share a panel."""
    return Spec(problem.name, tuple(each for each in problem.options if each[0] != "regulariser"))


def regulariser_of(cell: Cell) -> Spec | None:
    """That of a training run, or None."""
    found = dict(cell.problem.options).get("regulariser")
    return None if found is None else Spec.from_data(found)


def family_of(stepping: Spec) -> Spec:
    """The stepping without what a sweep varies: `adaptive(controller=pi)` for all its tolerances."""
    return Spec(stepping.name, tuple(each for each in stepping.options if each[0] not in SWEPT))


def key_of(cell: Cell) -> str:
    """What is one line, wherever it is drawn: solver × gradient × kind of stepping × regulariser."""
    term = regulariser_of(cell)
    return f"{cell.solver}/{cell.gradient}/{family_of(cell.stepping)}" + (f"/{term}" if term else "")


def fineness(record: Record) -> tuple[float, float]:
    """Sorts the cells of one line from the coarsest to the finest."""
    options = dict(record.cell.stepping.options)
    asked = options.get("steps", -options["dt"] if "dt" in options else -options.get("rtol", inf))
    return float(asked), -float(options.get("atol", inf))


def grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Lists of what has the same key, in order of first appearance."""
    found: dict[Hashable, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def merged(lines: Iterable[list[Record]], alike: Callable[[list[Record], list[Record]], bool]) -> list[Shared]:
    """Lines of different gradients of one solver that lie on one another, as one.

    A line is the records along it. Of each solver: the first of those that are alike, and the gradients that it stands
    for, none where it stands for all that the solver has.
    """
    found: list[Shared] = []
    for of_solver in grouped(
        lines, lambda line: (line[0].cell.solver, family_of(line[0].cell.stepping), regulariser_of(line[0].cell))
    ):
        classes: list[list[list[Record]]] = []
        for line in of_solver:
            same = next((each for each in classes if alike(each[0], line)), None)
            if same is None:
                classes.append([line])
            else:
                same.append(line)
        for each in classes:
            gradients = [line[0].cell.gradient for line in each] if len(classes) > 1 else []
            found.append((each[0], gradients))
    return found


def one_of_each(records: Iterable[Record], figure: Callable[[Record], float]) -> list[Record]:
    """One record for each configuration: of several seeds, or runs, that with the median of `figure`.

    A cell that was measured, and no mean of several, so that all its figures belong together. Of an even number it is
    the lower of the two in the middle.
    """
    alike = grouped(
        records,
        lambda each: (
            place_of(each), each.cell.solver, each.cell.gradient, each.cell.stepping, regulariser_of(each.cell)
        ),
    )  # fmt: skip
    return [sorted(group, key=figure)[(len(group) - 1) // 2] for group in alike]
