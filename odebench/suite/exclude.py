"""The `exclude` rules of a suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from odebench.errors import UsageError, did_you_mean
from odebench.record import AXES
from odebench.registry import registries
from odebench.spec import Spec
from odebench.suite.options import Finding, Trail, resolve, show
from odebench.suite.spelling import NAMED, covers, parse


@dataclass(frozen=True)
class Rule:
    """One line of `exclude`: the squares that agree with it on every axis it names."""

    wanted: tuple[tuple[str, Spec | str | int], ...]

    def matches(self, square: Mapping[str, Any]) -> bool:
        """Whether the square, an axis -> value mapping, is excluded."""
        return all(covers(value, square[axis]) for axis, value in self.wanted)

    def to_data(self) -> dict[str, Any]:
        """As a suite has it."""
        return {axis: value.to_data() if isinstance(value, Spec) else value for axis, value in self.wanted}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Rule:
        """The inverse of `to_data`, without checks."""
        items = data.items()
        return cls(tuple((axis, Spec.from_data(value) if axis in NAMED else value) for axis, value in items))


def may_cover(wanted: Any, present: Any) -> bool:
    """`covers`, where `auto` may turn out to be cpu or cuda, whatever this machine has."""
    return covers(wanted, present) or (present == "auto" and wanted in ("cpu", "cuda"))


def read_rule(
    rule: Any,
    trail: Trail,
    present: Mapping[str, tuple[Any, ...] | None],
    checks: Mapping[str, Callable[[Any, Trail, list[Finding]], Any]],
    kinds: Mapping[str, str],
    found: list[Finding],
) -> Rule | None:
    """One rule, or None after reporting. On each axis it must match one of the values that are `present` there.

    `kinds` tells the registry of an axis where that is not called as the axis is.

    A square is one value of each axis, so a rule whose every axis matches one also matches a square. An axis whose own
    list is wrong is not judged; its values are None.
    """
    if not isinstance(rule, dict) or not rule:
        found.append(Finding(trail, f"expected a mapping of axes to values, got {show(rule)}"))
        return None
    wanted: list[tuple[str, Any]] = []
    for axis, value in rule.items():
        here = (*trail, axis)
        if axis not in AXES:
            hint = did_you_mean(axis, AXES) or f"; the axes are {', '.join(AXES)}"
            found.append(Finding(here, f"no axis is called {show(axis)}{hint}", key=True))
            continue
        one = _name(kinds.get(axis, axis), value, here, found) if axis in NAMED else checks[axis](value, here, found)
        if one is None:
            continue
        wanted.append((axis, one))
        values = present[axis]
        if values is not None and not any(may_cover(one, each) for each in values):
            shown = ", ".join(map(str, values))
            shown = shown if len(shown) <= 100 else f"{shown[:99]}…"
            found.append(Finding(here, f"the rule matches no square: no {axis} is {one}; the suite has {shown}"))
    return Rule(tuple(wanted)) if wanted else None


def _name(kind: str, value: Any, trail: Trail, found: list[Finding]) -> Spec | None:
    data = value
    if isinstance(value, str) and "(" in value:
        try:
            data = parse(value)
        except UsageError as error:
            found.append(Finding(trail, str(error)))
            return None
    if not isinstance(data, str):
        return resolve(kind, data, trail, found)
    # A bare name stands for all its configurations, so options that it must be given are not missing here.
    try:
        return Spec(registries[kind].get(data).name)
    except UsageError as error:
        found.append(Finding(trail, str(error) if len(data) <= 60 else f"no {kind} is called {show(data)}"))
        return None
