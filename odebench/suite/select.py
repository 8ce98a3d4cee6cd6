"""The filter of `-k`: `solver=alf and device!=cuda`, `not (mlp or gradient="recursive(checkpoints=8)")`.

    any    = all {"or" all}
    all    = one {"and" one}
    one    = "not" one | "(" any ")" | axis ("=" | "!=") value | value

A value is a bare name, which means every configuration of that name, or a full spelling, which means only itself. A
value without an axis is looked for on every axis, and as the name of a suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from odebench.errors import UnknownName, did_you_mean
from odebench.record import AXES, Cell
from odebench.registry import registries
from odebench.spec import Spec
from odebench.suite.spelling import DEPTH, NAMED, Cursor, covers, scalar

Test = Callable[[Cell], bool]
_KEYWORD = re.compile(r"(and|or|not)(?![^\s()=!])")


@dataclass(frozen=True)
class Filter:
    """Which cells to take."""

    text: str
    _test: Test

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read a filter.

        Raises:
            UsageError: it is none; the message names the column and what was expected there.
        """
        cursor = Cursor(text, "filter")
        test = _any(cursor, 0)
        if cursor.peek():
            cursor.fail("'and', 'or' or the end")
        return cls(text, test)

    def matches(self, cell: Cell) -> bool:
        """Whether the filter takes the cell."""
        return self._test(cell)


def _keyword(cursor: Cursor, word: str) -> bool:
    cursor.blanks()
    found = _KEYWORD.match(cursor.text, cursor.position)
    if found is None or found.group(1) != word or _names_axis(cursor, found.end()):
        return False
    cursor.position = found.end()
    return True


def _names_axis(cursor: Cursor, end: int) -> bool:
    return cursor.text[end:].lstrip()[:1] in ("=", "!")


def _any(cursor: Cursor, depth: int) -> Test:
    tests = [_all(cursor, depth)]
    while _keyword(cursor, "or"):
        tests.append(_all(cursor, depth))
    return lambda cell: any(test(cell) for test in tests)


def _all(cursor: Cursor, depth: int) -> Test:
    tests = [_one(cursor, depth)]
    while _keyword(cursor, "and"):
        tests.append(_one(cursor, depth))
    return lambda cell: all(test(cell) for test in tests)


def _one(cursor: Cursor, depth: int) -> Test:
    if depth > DEPTH:
        cursor.fail(f"at most {DEPTH} levels of parentheses and not")
    if _keyword(cursor, "not"):
        inner = _one(cursor, depth + 1)
        return lambda cell: not inner(cell)
    if cursor.accept("("):
        inner = _any(cursor, depth + 1)
        if not cursor.accept(")"):
            cursor.fail("')', 'and' or 'or'")
        cursor.blanks()
        return inner
    start = cursor.position
    for word in ("and", "or"):
        if _keyword(cursor, word):
            cursor.fail("a name or axis=value", start)
    if not cursor.peek() or cursor.peek() in "=!,)[]{}<>&|":
        cursor.fail("a name or axis=value")
    data = cursor.spelling()
    cursor.blanks()
    if cursor.peek() not in ("=", "!"):
        return _anywhere(data)
    return _on_axis(cursor, data, start)


def _on_axis(cursor: Cursor, axis: Any, start: int) -> Test:
    axes = ("suite", *AXES)
    if axis not in axes:
        known = did_you_mean(str(axis), axes) if isinstance(axis, str) else ""
        cursor.fail("an axis", start, known or f"; the axes are {', '.join(axes)}")
    equal = not cursor.accept("!")
    if not cursor.accept("="):
        cursor.fail("'=' after '!'")
    cursor.accept("=")
    cursor.blanks()
    at = cursor.position
    if not cursor.peek() or cursor.peek() in "=!,()[]{}<>&|":
        cursor.fail(f"a value of {axis}")
    # What is in quotes is a name with options, but for suites: their names may hold blanks and brackets.
    data = (cursor.quoted() if axis == "suite" else None) or cursor.spelling()
    cursor.blanks()
    if axis in ("batch", "seed") and not (isinstance(data, str) and type(scalar(data)) is int):
        cursor.fail("a whole number", at)
    if axis not in NAMED and not isinstance(data, str):
        cursor.fail(f"a {axis} without options", at)
    return lambda cell: _agrees(axis, data, cell) is equal


def _anywhere(data: Any) -> Test:
    return lambda cell: any(_agrees(axis, data, cell) for axis in ("suite", *AXES))


def _agrees(axis: str, data: Any, cell: Cell) -> bool:
    actual = getattr(cell, axis)
    if axis in NAMED:
        return covers(_canonical(axis, data), actual)
    if not isinstance(data, str):
        return False
    return bool(scalar(data) == actual) if isinstance(actual, int) else covers(data, actual)


def _canonical(axis: str, data: Any) -> Spec:
    """The name that results show, where an alias was given. A name in no registry may be a plugin's: it stays."""
    spec = Spec.from_data(data)
    try:
        return Spec(registries[axis].get(spec.name).name, spec.options)
    except UnknownName:
        return spec
