"""Names with options as text, `coupled(base=rk4, coupling=0.999)`, and what plain scalars mean (YAML 1.2 core)."""

from __future__ import annotations

import re
from ast import literal_eval
from dataclasses import dataclass
from math import inf
from typing import Any, NoReturn

from odebench.errors import UsageError
from odebench.record import AXES
from odebench.spec import Spec

DEPTH = 40  # of nesting, in a spelling, a filter or a suite; far beyond sense, far below Python's own limit
DIGITS = 300  # the longest number that is read; Python itself refuses to read or print some thousands of digits
NAMED = AXES[:4]  # the axes whose values are names with options

NULL = re.compile(r"(?:null|Null|NULL|~|)")
BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)")
FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_WORD = re.compile(r"[^\s()\[\]{},=!<>&|'\"]+")
_BLANKS = re.compile(r"\s*")
_QUOTED = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
_OF_PYTHON = {"None": None, "inf": inf, "-inf": -inf}  # as `repr` has what YAML spells otherwise


def scalar(text: str) -> Any:
    """What a plain YAML 1.2 scalar means: `1e-5` is a float, `0o17` is 15, `no` and `12:30:45` are strings.

    Raises:
        UsageError: it is a number of absurd length.
    """
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text[0] in "tT"
    whole = INT.fullmatch(text) is not None
    if not whole and not FLOAT.fullmatch(text):
        return text
    if len(text) > DIGITS:
        raise UsageError(f"a number of {len(text)} characters is absurd; write at most {DIGITS}")
    if whole:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


@dataclass
class Cursor:
    """A place in a text that is read from left to right."""

    text: str
    what: str  # what the text is, for messages: `filter`
    position: int = 0

    def blanks(self) -> None:
        """Step over white space."""
        found = _BLANKS.match(self.text, self.position)
        self.position = found.end() if found else self.position

    def peek(self) -> str:
        """The character here; empty at the end."""
        return self.text[self.position : self.position + 1]

    def accept(self, token: str) -> bool:
        """Step over `token` if it is here."""
        here = self.text.startswith(token, self.position)
        self.position += len(token) * here
        return here

    def word(self) -> str:
        """Step over a run of characters that mean nothing by themselves; empty if there are none here."""
        found = _WORD.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return found.group() if found else ""

    def quoted(self) -> str | None:
        """Step over a string in quotes and return what is inside; None if there is no quote here."""
        mark = self.peek()
        if mark not in ("'", '"'):
            return None
        found = _QUOTED.match(self.text, self.position)
        if found is None:
            self.fail(f"a closing {mark}", len(self.text))
        start, self.position = self.position, found.end()
        try:
            return str(literal_eval(found.group()))
        except (SyntaxError, ValueError):
            return self.fail("a string as Python has it", start)

    def fail(self, expected: str, position: int | None = None, hint: str = "") -> NoReturn:
        """Say what was expected, and where.

        Raises:
            UsageError: always.
        """
        at = self.position if position is None else position
        rest = Cursor(self.text, self.what, at)
        got = (rest.word() or rest.peek())[:40]
        shown = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        raise UsageError(
            f"{self.what} {shown!r}, column {at + 1}: expected {expected}, got {repr(got) if got else 'the end'}{hint}"
        )

    def spelling(self, depth: int = 0) -> Any:
        """A bare name as a string, or `name(key=value, …)` as a one-key mapping."""
        start = self.position
        inside = self.quoted()
        if inside is not None:
            return parse(inside, self.what) if inside else self.fail("a name", start)
        name = self.word() or self.fail("a name")
        return {name: self._options(depth)} if self.peek() == "(" else name

    def _options(self, depth: int) -> dict[str, Any]:
        if depth > DEPTH:
            self.fail("less nesting")
        self.accept("(")
        options: dict[str, Any] = {}
        self.blanks()
        while not self.accept(")"):
            start = self.position
            key = self.word() or self.fail("an option or ')'")
            self.blanks()
            if not self.accept("="):
                self.fail(f"'=' after {key!r}")
            if key in options:
                self.fail(f"{key!r} only once", start)
            options[key] = self._value(depth + 1)
            if not self.accept(",") and self.peek() != ")":
                self.fail("',' or ')'")
            self.blanks()
        return options

    def _value(self, depth: int) -> Any:
        self.blanks()
        value: Any = self._items(depth) if self.accept("[") else self.quoted()
        if value is None:
            start = self.position
            word = self.word() or self.fail("a value")
            if self.peek() == "(":
                self.position = start
                value = self.spelling(depth)
            else:
                value = _OF_PYTHON[word] if word in _OF_PYTHON else scalar(word)
        self.blanks()
        return value

    def _items(self, depth: int) -> list[Any]:
        if depth > DEPTH:
            self.fail("less nesting")
        items: list[Any] = []
        self.blanks()
        while not self.accept("]"):
            items.append(self._value(depth + 1))
            if not self.accept(",") and self.peek() != "]":
                self.fail("',' or ']'")
            self.blanks()
        return items


def parse(text: str, what: str = "name") -> Any:
    """Read a whole text as a bare name or a spelling, to the data that a suite would hold.

    Raises:
        UsageError: it is neither; the message names the column and what was expected there.
    """
    cursor = Cursor(text, what)
    cursor.blanks()
    data = cursor.spelling()
    cursor.blanks()
    if cursor.peek():
        cursor.fail("the end")
    return data


def covers(wanted: Spec | str | int, actual: Spec | str | int) -> bool:
    """Whether an `exclude` rule or a filter that says `wanted` means the value `actual` of a square.

    A bare name means every configuration of that name (`cuda` every `cuda:N`), a full spelling only itself.
    """
    if isinstance(actual, Spec):
        if not isinstance(wanted, Spec):
            return False
        return wanted == actual or (wanted.name == actual.name and not wanted.options) or str(wanted) == str(actual)
    if isinstance(wanted, str) and isinstance(actual, str):
        return wanted in (actual, actual.partition(":")[0])
    return wanted == actual
