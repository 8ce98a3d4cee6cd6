"""Parts of pages that are made from the code, between two marks each; what is written by hand around them stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parent
END = "<!-- end -->"
_PART = re.compile(rf"(<!-- made by docs/[\w/]+\.py: (.+?) -->\n)(.*?)^{END}$", re.MULTILINE | re.DOTALL)


def parts_of(page: str) -> dict[str, str]:
    """Name -> what stands between its marks, of docs/`page`."""
    return {name: part.strip() for _, name, part in _PART.findall((DOCS / page).read_text(encoding="utf-8"))}


def update(page: str, parts: Mapping[str, str]) -> None:
    """Put each part between its marks in docs/`page`.

    Raises:
        ValueError: the page has no place for a part, or one that nothing is made for.
    """
    path, places = DOCS / page, set(parts_of(page))
    for name in places ^ set(parts):
        lacks = "nothing is made for the marks" if name in places else "there are no marks"
        raise ValueError(f"docs/{page}: {lacks} of {name!r}; edit the page or its script")
    text = _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n\n{END}", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


def table(header: str, rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; `header` has the names of the columns between bars."""
    names = [name.strip() for name in header.split("|")]
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prose(text: str) -> str:
    """Words of the code as Markdown that shows them as they are, but for what stands in backticks."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if index % 2 else _plain(piece) for index, piece in enumerate(pieces))


def _plain(text: str) -> str:
    escaped = re.sub(r"(?<!\w)_|_(?!\w)|[\\*|$]", lambda found: f"\\{found[0]}", text)
    return escaped.replace("<", "&lt;")
