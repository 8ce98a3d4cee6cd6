"""Two columns of text."""

from __future__ import annotations

from collections.abc import Iterable

from odebench.report.text import fold


def aligned(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Names, and words beside them, folded."""
    pairs = list(rows)
    left = max((len(name) for name, _ in pairs), default=0)
    lines = []
    for name, text in pairs:
        folded = fold(" ".join(text.split()), max(24, width - left - 4), 0)
        lines.append(f"  {name:<{left}}  {folded[0]}".rstrip())
        lines += [f"{'':{left + 4}}{line}" for line in folded[1:]]
    return lines
