"""The command that runs one cell again, and no other one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from odebench.page.sources import Source
from odebench.record import AXES, Cell
from odebench.spec import Spec
from odebench.suite.grammar import LISTS

Values = Mapping[str, tuple[Spec | str | int, ...]]  # axis -> what it takes in a suite


def commands(source: Source) -> list[str]:
    """For each record of `source`, quoted for a POSIX shell.

    The suite is the one that the results folder holds, as it was resolved. A folder without it names no file; then
    the suite is taken to be called like itself.
    """
    several = len(source.suites) > 1
    values = {name: _values(source, name) for name in dict.fromkeys(each.cell.suite for each in source.records)}
    found = []
    for record in source.records:
        cell = record.cell
        file = str(source.suite_file) if source.suite_file else f"{cell.suite}.yaml"
        wanted = filter_of(cell, values[cell.suite], several)
        found.append(shlex.join(["odebench", "run", file, *(["-k", wanted] if wanted else [])]))
    return found


def filter_of(cell: Cell, values: Values, several_suites: bool = False) -> str:
    """What `-k` takes for `cell` in a suite whose axes take `values`; empty for its only cell.

    An axis that takes one value needs no word. One that is not in `values` may take any.
    """
    tests = [f"suite={cell.suite!r}"] if several_suites else []
    for axis in AXES:
        value, known = getattr(cell, axis), values.get(axis, ())
        if known != (value,):
            tests.append(f"{axis}={value}")
            tests += [f"{axis}!={each}" for each in known if each != value and _means_too(value, each)]
    return " and ".join(tests)


def _means_too(value: Spec | str | int, other: Spec | str | int) -> bool:
    """Whether a filter that says `value` takes `other` as well: a bare name means all that is called so."""
    if isinstance(value, Spec):
        return isinstance(other, Spec) and not value.options and value.name == other.name
    return isinstance(value, str) and str(other).partition(":")[0] == value


def _values(source: Source, name: str) -> Values:
    """Of the suite as it was resolved: a run that was filtered or interrupted has not measured them all."""
    suite = source.suite(name)
    if suite is None:
        measured = [each.cell for each in source.records if each.cell.suite == name]
        # Configurations that a bare name would take too; what else there may be is not known.
        return {axis: tuple(dict.fromkeys(getattr(cell, axis) for cell in measured)) for axis in AXES}
    # `auto` stands for a device that is named in the cells.
    return {axis: getattr(suite, key) for axis, key in LISTS.items() if "auto" not in getattr(suite, key)}
