"""Who is alive: processes found by a marker that they inherited in their environment."""

from __future__ import annotations

import time
from pathlib import Path


def alive(marker: str) -> list[str]:
    """Command lines of the processes that have `marker` in their environment; zombies do not count."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


def survivors(marker: str, patience: float = 20.0) -> list[str]:
    """Those that are still there after `patience` seconds; returns as soon as there are none."""
    end = time.monotonic() + patience
    while (found := alive(marker)) and time.monotonic() < end:
        time.sleep(0.02)
    return found
