"""Where the operating system keeps its figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Roots:
    """The trees of Linux; elsewhere they are not there, and whatever is read from them is empty."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    def of_proc(self, name: str) -> str:
        """The text of a file below /proc, stripped; empty where there is none that can be read."""
        return read(self.proc / name)

    def of_sys(self, name: str) -> str:
        """The same below /sys."""
        return read(self.sys / name)

    def each_of_sys(self, pattern: str) -> list[str]:
        """The texts of all files below /sys that match, in the order of their names."""
        return [text for path in sorted(self.sys.glob(pattern)) if (text := read(path))]


def read(path: Path) -> str:
    """The text of a file, stripped; empty where it cannot be read. Files of /sys may fail in many ways."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def number(text: str) -> float | None:
    """The number that `text` is, or None."""
    try:
        return float(text)
    except ValueError:
        return None
