"""Names that a shell can complete. Torch-free, and silent whatever goes wrong: a shell shows no tracebacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import Any

Pairs = list[tuple[str, str]]  # (what to type, a word about it)

_DEVICES = (("cpu", "the processor"), ("cuda", "the first GPU"), ("cuda:1", "the second"), ("auto", "cuda if there"))
# The end of a filter: `solver=al`, where a value is wanted, or `gra`, where the name of an axis may come.
_VALUE = re.compile(r"(?P<before>.*?)(?P<axis>\w+)(?P<equal>\s*!?==?\s*)(?P<value>[\w.+-]*)", re.DOTALL)
_WORD = re.compile(r"(?P<before>(?:.*[\s(])?)(?P<word>\w*)", re.DOTALL)


def suites(ctx: Any, incomplete: str) -> Pairs:
    """Shipped suites by name, and YAML files and folders that begin so.

    bash takes `-k solver=al` for three words, so that the last of them lands here; it is the value of an axis.
    """
    words = list(ctx.params.get("suites") or ctx.params.get("suite") or ()) if ctx is not None else []
    if words[-1:] in (["="], ["!="]):
        return _start(incomplete, _values, str(ctx.params.get("where")).rpartition(" ")[2])
    return _start(incomplete, _suites, incomplete)


def results(incomplete: str) -> Pairs:
    """Results folders, the newest below `results` first; then CSV files, and folders on the way to some."""
    return _start(incomplete, _results, incomplete)


def solvers(incomplete: str) -> Pairs:
    """Solvers by name."""
    return _start(incomplete, _entries, ("solver",))


def claims(incomplete: str) -> Pairs:
    """What `check` takes: solvers, gradients, and Python files."""
    return _start(incomplete, _claims, incomplete)


def names(incomplete: str) -> Pairs:
    """All that `explain` knows."""
    return _start(incomplete, _names, incomplete)


def devices(incomplete: str) -> Pairs:
    """Where to compute."""
    return _start(incomplete, lambda _: _DEVICES, None)


def where(incomplete: str) -> Pairs:
    """The end of a filter: axes, and the values of an axis."""
    return _start(incomplete, _where, incomplete)


def columns(incomplete: str) -> Pairs:
    """The last of a list of columns; those before it are not offered again."""
    return _start(incomplete, _columns, incomplete)


def sort(incomplete: str) -> Pairs:
    """One column, with a minus for descending."""
    return _start(incomplete, _sort, incomplete)


def figures(incomplete: str) -> Pairs:
    """Kinds of figures."""
    return _start(incomplete, _figures, None)


def _start(incomplete: str, source: Callable[..., Iterable[tuple[str, str]]], argument: object) -> Pairs:
    found: Pairs = []
    with suppress(Exception):
        for name, about in source(argument):
            if name.startswith(incomplete):
                found.append((name, about))
    return found


def _suites(incomplete: str) -> Iterable[tuple[str, str]]:
    from odebench.suite.loading import shipped_suites

    yield from ((name, "shipped") for name in shipped_suites())
    yield from _paths(incomplete, (".yaml", ".yml"))


def _results(incomplete: str) -> Iterable[tuple[str, str]]:
    here = {path.parent for path in Path("results").glob("*/records.jsonl")}
    yield from ((str(path), "results") for path in sorted(here, key=lambda path: -path.stat().st_mtime))
    for name, about in _paths(incomplete, (".csv", ".jsonl")):
        if Path(name) not in here:
            holds = about == "folder" and any(Path(name, each).is_file() for each in ("records.jsonl", "results.csv"))
            yield (name.rstrip("/"), "results") if holds else (name, about)


def _claims(incomplete: str) -> Iterable[tuple[str, str]]:
    yield from _paths(incomplete, (".py",))
    yield from _entries(("solver", "gradient"))


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    for path in sorted(map(Path, glob(f"{escape(incomplete)}*"))):
        if path.is_dir():
            yield f"{path}/", "folder"
        elif path.suffix in suffixes:
            yield str(path), "file"


def _entries(kinds: Iterable[str]) -> Iterable[tuple[str, str]]:
    from odebench.registry import load_shipped, registries

    load_shipped()
    for kind in kinds:
        for entry in registries[kind]:
            yield entry.name, entry.summary or kind


def _names(_: object) -> Iterable[tuple[str, str]]:
    from odebench.cli.topics import topics
    from odebench.registry import registries

    known = list(topics())
    registered = {topic.name for topic in known if topic.kind in registries}
    for topic in known:
        bare = topic.kind in registries or topic.name not in registered
        yield topic.name if bare else f"{topic.kind}:{topic.name}", topic.about or topic.kind


def _where(incomplete: str) -> Iterable[tuple[str, str]]:
    from odebench.record import AXES

    axes = ("suite", *AXES)
    found = _VALUE.fullmatch(incomplete)
    if found is not None and found["axis"] in axes:
        for value, about in _values(found["axis"]):
            yield f"{found['before']}{found['axis']}{found['equal']}{value}", about
        return
    word = _WORD.fullmatch(incomplete)
    assert word is not None
    if word["before"].rstrip() and not re.search(r"(?:\b(?:and|or|not)|\()\s*$", word["before"]):
        yield from ((f"{word['before']}{each} ", "both" if each == "and" else "either") for each in ("and", "or"))
        return
    yield from ((f"{word['before']}{axis}=", "an axis") for axis in axes)
    yield f"{word['before']}not ", "the others"


def _values(axis: str) -> Iterable[tuple[str, str]]:
    from odebench.suite.grammar import DTYPES
    from odebench.suite.spelling import NAMED

    if axis in NAMED:
        yield from _entries((axis,))
    elif axis == "suite":
        yield from _suites("\0")  # no file is called so
    elif axis == "device":
        yield from _DEVICES
    elif axis == "dtype":
        yield from ((dtype, "") for dtype in DTYPES)


def _columns(incomplete: str) -> Iterable[tuple[str, str]]:
    before, comma, _ = incomplete.rpartition(",")
    given = {each.strip() for each in before.split(",")}
    yield from ((f"{before}{comma}{name}", about) for name, about in _known_columns() if name not in given)


def _sort(incomplete: str) -> Iterable[tuple[str, str]]:
    minus = "-" if incomplete.startswith("-") else ""
    yield from ((f"{minus}{name}", about) for name, about in _known_columns())


def _known_columns() -> Iterable[tuple[str, str]]:
    from odebench.cli.topics import topics
    from odebench.record import ALIASES

    yield from ((name, ", ".join(columns)) for name, columns in ALIASES.items())
    yield from ((topic.name, topic.about) for topic in topics() if topic.kind in ("metric", "column"))


def _figures(_: object) -> Iterable[tuple[str, str]]:
    from odebench.cli.topics import topics

    yield from ((topic.name, topic.about) for topic in topics() if topic.kind == "figure")
