"""Where what was measured of the programs is kept."""

from __future__ import annotations

import json
from pathlib import Path

from programs.comparing import Compared

MEASURED = Path(__file__).resolve().parent / "measured.json"


def read(kept: Path) -> list[Compared]:
    """All that a file of measurements has; nothing where there is no file."""
    return (
        [Compared.from_record(each) for each in json.loads(kept.read_text(encoding="utf-8"))] if kept.exists() else []
    )


def replace(kept: Path, name: str, found: list[Compared]) -> None:
    """Put what was measured of one program into the file, in place of what was there of it."""
    lines = [json.dumps(each.record()) for each in (*(each for each in read(kept) if each.program != name), *found)]
    kept.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
