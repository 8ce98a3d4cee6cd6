"""What a worker says while it works: one JSON object per line, so that whatever ends it, what came before is kept.

    {"metrics": {…}} {"samples": {…}} {"mesh": […]} {"notes": […]} {"settings": {…}}   parts of a record, in any order
    {"curves": {…}} {"plugins": […]}                                                other parts
    {"answer": …}                                                                   the answer of a job that is no cell
    {"done": true}  or  {"failed": {"status": …, "reason": …}}                        always the last

NaN and infinities are written as Python's json writes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odebench.provenance import Provenance
from odebench.record import STATUSES

LARGEST_ANSWER = 1 << 28  # bytes; a mesh of ten million nodes


@dataclass
class Answer:
    """The messages of one worker, merged as they arrive."""

    metrics: dict[str, float | int] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    mesh: list[float] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plugins: list[dict[str, Any]] | None = None  # those it loaded, as `Provenance.to_data`
    settings: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    done: bool = False
    failed: tuple[str, str] | None = None  # status, reason
    garbage: str = ""  # the start of the first line that is no message
    received: int = 0  # bytes
    _torn: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Take in bytes as they come; a line counts once it is complete."""
        self.received += len(chunk)
        if self.received > LARGEST_ANSWER:
            self.garbage = self.garbage or f"more than {LARGEST_ANSWER} bytes"
            self._torn = b""
            return
        *lines, self._torn = (self._torn + chunk).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            for key, value in message.items():
                _MERGE[key](self, value)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.garbage = self.garbage or repr(line[:60])[1:]


def _numbers(value: Any) -> dict[str, float | int]:
    if not all(type(each) in (int, float) for each in value.values()):
        raise TypeError
    return dict(value)


def _floats(value: Any) -> list[float]:
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        raise TypeError
    return value


def _lists(value: Any) -> dict[str, list[float]]:
    return {key: _floats(each) for key, each in value.items()}


def _provenance(value: Any) -> list[dict[str, Any]]:
    return [Provenance.from_data(each).to_data() for each in value]


def _failed(value: Any) -> tuple[str, str]:
    if value["status"] not in STATUSES:
        raise ValueError
    return value["status"], str(value["reason"])


_MERGE: dict[str, Callable[[Answer, Any], None]] = {
    "metrics": lambda to, value: to.metrics.update(_numbers(value)),
    "samples": lambda to, value: to.samples.update(_lists(value)),
    "mesh": lambda to, value: setattr(to, "mesh", _floats(value)),
    "curves": lambda to, value: setattr(to, "curves", _lists(value)),
    "notes": lambda to, value: to.notes.extend(str(each) for each in value),
    "plugins": lambda to, value: setattr(to, "plugins", _provenance(value)),
    "settings": lambda to, value: to.settings.update(value),
    "answer": lambda to, value: setattr(to, "answer", value),
    "done": lambda to, value: setattr(to, "done", bool(value)),
    "failed": lambda to, value: setattr(to, "failed", _failed(value)),
}


def send(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write one message, whole."""
    left = memoryview(json.dumps(message, default=_plain).encode() + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch, and paths and the like, for json."""
    for convert in ("tolist", "item"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return list(value) if isinstance(value, (set, frozenset)) else str(value)
