"""What source files import, read and never run."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SOURCES = (".py", ".so", ".pyd")
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
Resolve = Callable[[str], Path | None]  # name -> its file, or its package's folder


@dataclass
class Imports:
    """First words of what a file imports: all of them, and those that it imports inside functions, so at any time."""

    names: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    relative: bool = False

    def look(self, node: ast.AST, late: bool = False) -> None:
        """Take in what `node` imports, and all inside it."""
        late = late or isinstance(node, _LATER)
        self.relative |= isinstance(node, ast.ImportFrom) and node.level > 0
        for name in _named(node):
            self.names.add(name)
            if late:
                self.late.add(name)
        for inner in ast.iter_child_nodes(node):
            self.look(inner, late)


def imports(file: Path) -> Imports:
    """Of a compiled file, or one that cannot be read, nothing: whoever imports it is told."""
    found = Imports()
    if file.suffix == ".py":
        try:
            found.look(ast.parse(file.read_bytes()))
        except (OSError, SyntaxError, ValueError, RecursionError):
            return Imports()
    return found


def sources(place: Path) -> Iterator[Path]:
    """The file `place`, or every source file of a package's folder: Python and compiled, no caches."""
    if not place.is_dir():
        yield place
        return
    seen = set()
    for folder, inner, names in os.walk(place, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = sorted(each for each in inner if each != "__pycache__" and not each.startswith("."))
        if real in seen:
            inner.clear()  # a link that leads back
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(_SOURCES))


@dataclass(frozen=True)
class Neighbours:
    """What some sources import of what lies beside them."""

    places: dict[str, Path]  # name -> file, or folder of a package
    late: frozenset[str]  # those of the names that are imported inside functions


def neighbours_of(own: Iterable[Path], resolve: Resolve, folders: Iterable[str], late: bool = True) -> Neighbours:
    """All modules in `folders` that `own`, files or packages, import and `resolve` knows, and those that these import.

    Read from the sources and not from what is imported by now, so that imports inside functions count, and the answer
    does not depend on which other plugins the process has. A file that names nothing in `folders` is not parsed: that
    takes a second for a package of three hundred. `late`: whether it is asked which are imported inside functions.
    """
    found: dict[str, Path] = {}
    inside: set[str] = set()
    left = {name for folder in folders for name in _modules_in(folder)}
    queue = [file for place in own for file in sources(place)]
    while queue:
        file = queue.pop()
        if not _mentions(file, left.union(found) if late else left):
            continue
        said = imports(file)
        inside |= said.late
        for name in said.names & left:
            left.discard(name)  # asked once
            place = resolve(name)
            if place is not None:
                found[name] = place
                queue += sources(place)
    return Neighbours(found, frozenset(inside & found.keys()))


def _modules_in(folder: str) -> set[str]:
    """What may be imported from a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            names = {each.name.partition(".")[0] for each in entries if each.name.endswith(_SOURCES) or each.is_dir()}
    except OSError:
        return set()
    return set(filter(str.isidentifier, names))


def _mentions(file: Path, names: Iterable[str]) -> bool:
    """Whether one of the names may be imported there."""
    try:
        content = file.read_bytes() if file.suffix == ".py" else b""
    except OSError:
        return False
    # A word such as `tests` is in many a file; one that is imported stands in a line with `import`.
    lines = b"\n".join(line for line in content.splitlines() if b"import" in line)
    wanted = "|".join(rf"\b{name}\b" for name in names) or "(?!)"
    return re.search(wanted, lines.decode(errors="replace")) is not None


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name.partition(".")[0] for each in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module.partition(".")[0]]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        named = node.args[0].value
        if called in ("import_module", "__import__") and isinstance(named, str) and named[:1] not in ("", "."):
            return [named.partition(".")[0]]
    return []
