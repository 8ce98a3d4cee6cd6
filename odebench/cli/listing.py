"""What can be named in a suite, as a list: the pages of `odebench list`. Torch-free."""

from __future__ import annotations

from typing import Any

from odebench.cli.aligned import aligned
from odebench.cli.explain_entry import peer_of
from odebench.cli.explain_peer import heading, library_data
from odebench.registry import Option, registries
from odebench.report.text import UNLIMITED, plain
from odebench.suite.options import default_of, describe


def listing(kinds: str, width: int | None = None) -> str:
    """One line for each entry: name, aliases, summary, options; other libraries' methods last, library by library.

    `kinds` is `solvers`, `suites`, …
    """
    if kinds == "suites":
        return "\n".join(aligned([(each["name"], each["summary"]) for each in _suites()], width or UNLIMITED)) + "\n"
    registry = registries[kinds.removesuffix("s")]
    common = [option.name for option in registry.common]
    parts: dict[str | None, list[tuple[str, str]]] = {None: []}
    for entry in registry:
        peer = peer_of(entry)
        own = [name for name in entry.options if name not in common]
        options = f" [{', '.join(own)}]" if own else ""
        row = " = ".join((entry.name, *entry.aliases)), f"{entry.summary.rstrip('.')}{options}"
        parts.setdefault(None if peer is None else heading(peer), []).append(row)
    lines = []
    for title, rows in parts.items():
        lines += [*([] if title is None else ["", title]), *aligned(rows, width or UNLIMITED)]
    lines += [f"\nevery {registry.kind} also takes {', '.join(common)}"] if common else []
    return "\n".join(lines) + "\n"


def catalogue(kinds: str) -> list[dict[str, Any]]:
    """The same for programs: plain data, one mapping for each entry."""
    if kinds == "suites":
        return _suites()
    found = []
    for entry in registries[kinds.removesuffix("s")]:
        peer = peer_of(entry)
        data = {
            "name": entry.name,
            "aliases": list(entry.aliases),
            "summary": entry.summary,
            "reference": entry.reference,
            "source": entry.source,
            "options": {name: _option_data(option) for name, option in entry.options.items()},
        }
        found.append(data if peer is None else data | {"library": library_data(peer)})
    return found


def _suites() -> list[dict[str, Any]]:
    from odebench.suite.loading import shipped_suites
    from odebench.suite.yaml_source import read_documents

    found = []
    for name, path in shipped_suites().items():
        about = [str(document.data.get("description", "")) for document in read_documents(path)]
        found.append({"name": name, "summary": plain(" ".join(about)), "path": str(path)})
    return found


def _option_data(option: Option) -> dict[str, Any]:
    data = {"type": describe(option.type), "required": option.required}
    return data if option.required else data | {"default": default_of(option)}
