"""What a warning is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from odebench.record import Record


@dataclass(frozen=True)
class Results:
    """What the rules look at. `machine` is what machine.json holds; empty where it is not known."""

    records: Sequence[Record]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """Something that is not what it seems. In `text`, `{such}` stands for the number of cells, and the example."""

    topic: str
    records: Sequence[Record]
    example: Record
    text: str
