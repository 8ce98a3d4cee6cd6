"""Names that a shell can complete. Torch-free, and silent whatever goes wrong: a shell shows no tracebacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from glob import escape, glob
from pathlib import Path

Pairs = list[tuple[str, str]]  # (what to type, a word about it)


def suites(incomplete: str) -> Pairs:
    """Shipped suites by name, and YAML files and folders that begin so."""
    return _start(incomplete, _suites, incomplete)


def solvers(incomplete: str) -> Pairs:
    """Solvers by name."""
    return _start(incomplete, _entries, ("solver",))


def names(incomplete: str) -> Pairs:
    """All that `explain` knows."""
    return _start(incomplete, _entries, ("solver", "gradient", "stepping", "problem", "metric"))


def _start(incomplete: str, source: Callable[..., Iterable[tuple[str, str]]], argument: object) -> Pairs:
    found: Pairs = []
    with suppress(Exception):
        found = [(name, about) for name, about in source(argument) if name.startswith(incomplete)]
    return found


def _suites(incomplete: str) -> Iterable[tuple[str, str]]:
    from odebench.suite.loading import shipped_suites

    yield from ((name, "shipped") for name in shipped_suites())
    for path in sorted(map(Path, glob(f"{escape(incomplete)}*"))):
        if path.is_dir():
            yield f"{path}/", "folder"
        elif path.suffix in (".yaml", ".yml"):
            yield str(path), "file"


def _entries(kinds: Iterable[str]) -> Iterable[tuple[str, str]]:
    from odebench.registry import load_shipped, registries

    load_shipped()
    for kind in kinds:
        for entry in registries[kind]:
            yield entry.name, entry.summary or kind
