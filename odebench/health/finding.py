"""One line of what a doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How much a fact matters to a measurement. `TOLD` is neither good nor bad."""

    FINE = "fine"
    MIND = "mind"
    SPOILS = "spoils"
    UNKNOWN = "unknown"
    TOLD = "told"


@dataclass(frozen=True)
class Finding:
    """A fact, how much it matters, and what to do about it: one sentence, empty where nothing is to be done."""

    topic: str
    name: str
    figure: str
    state: State
    advice: str = ""
