"""Text for people, on one line or folded; safe to print whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len

UNLIMITED = 10**6  # cells of a line that may be as long as it likes


def plain(value: Any) -> str:
    """Text on one line without control characters: names and reasons come from files, and may hold any escape."""
    text = " ".join(str(value).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def fold(text: str, width: int, indent: int = 1, after: str = "") -> list[str]:
    """`text` in lines of at most `width` cells; lines after the first are indented.

    Broken after spaces and the characters in `after`; only what is still too long after punctuation, and then anywhere.
    """
    lines = [""]
    for piece in _pieces(text, width - indent, after):
        if lines[-1].strip() and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append(" " * indent)
        for character in piece:
            if cell_len(lines[-1] + character) > width and lines[-1].strip() and not character.isspace():
                lines.append(" " * indent)
            lines[-1] += character
    return [line.rstrip() for line in lines]


def _pieces(text: str, width: int, after: str) -> Iterator[str]:
    for piece in re.findall(rf"[^\s{re.escape(after)}]*[\s{re.escape(after)}]*", text):
        fits = cell_len(piece.rstrip()) <= width
        yield from [piece] if fits else re.findall(r"[^=_/:-]*[=_/:-]*", piece)
