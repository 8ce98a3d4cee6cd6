"""What `run` and `show` add on stderr: what to mind about these results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from odebench.record import Record
from odebench.report.screen import Screen


def tell_advice(records: Iterable[Record], screen: Screen, results: str | Path | None = None) -> None:
    """Say it, each sentence once; nothing where the screen is quiet. `results` is the folder with machine.json."""
    from odebench.report.advice import advice
    from odebench.report.text import UNLIMITED, fold

    if screen.quiet:
        return
    for each in advice(records, machine_of(results)):
        for line in fold(f"mind: {each.text}", screen.width or UNLIMITED, 2):
            screen.note(line)


def machine_of(results: str | Path | None) -> Mapping[str, Any]:
    """What machine.json of a results folder holds; nothing where there is none, or none that can be read."""
    try:
        facts = json.loads((Path(results or "") / "machine.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if results is not None and isinstance(facts, dict) else {}
