"""Whether two sides hold the same code at two places, as in a pull request that touches nothing but documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from odebench.compare.belonging import LIBRARIES
from odebench.compare.loaded import Loaded
from odebench.plugin_files import PREFIX

_CACHES = ("__pycache__",)


def same_code(base: Loaded, new: Loaded) -> bool:
    """Whether all that the sides could load of their own is equal, byte for byte; in doubt it is not.

    Of plug-ins their sources are compared. Of a folder, besides, all that lies where imports look, loaded or not:
    fields and schemes import at any time. Of an environment, what is installed from folders; all else by its version.
    """
    if base.tree.installed is not new.tree.installed or base.sources is None or base.sources != new.sources:
        return False
    if not base.tree.installed:
        points = [[each.entry_points for each in side.tree.packages] for side in (base, new)]
        return points[0] == points[1] and _digests(base) == _digests(new)
    own = [_own_tops(side) for side in (base, new)]
    return (
        base.python == new.python
        and _versions(base) == _versions(new)
        and own[0] == own[1]
        and own[0] <= {name.partition(".")[0] for name in base.modules}
        and own[1] <= {name.partition(".")[0] for name in new.modules}
        and _digests(base) == _digests(new)
    )


def _digests(side: Loaded) -> dict[str, str]:
    """What lies where -> its digest."""
    found = _installed_files(side) if side.tree.installed else _source_files(side)
    return {str(file.relative_to(top)): hashlib.sha256(file.read_bytes()).hexdigest() for top, file in found}


def _source_files(side: Loaded) -> Iterator[tuple[Path, Path]]:
    (home,) = side.tree.homes
    # Where packages lie beside documents and tests, folders count that are packages or were imported from.
    mixed = {home, side.tree.root, *(each.folder for each in side.tree.packages)}
    imported = {name.partition(".")[0] for name in side.modules}
    for path in (each for each in side.tree.paths if each.is_relative_to(home)):
        yield from ((home, file) for file in path.glob("*.py"))
        for folder in (each for each in path.iterdir() if each.is_dir() and each.name.isidentifier()):
            if path not in mixed or folder.name in imported or (folder / "__init__.py").is_file():
                yield from ((home, file) for file in _files(folder))


def _installed_files(side: Loaded) -> Iterator[tuple[Path, Path]]:
    own = _own_tops(side)
    for name, file in side.modules.items():
        top, *below = name.split(".")
        if top.startswith(PREFIX):
            continue
        if top in own or not set(LIBRARIES).intersection(file.parts):
            if file.name.startswith("__init__."):
                below.append("")
            root = file.parents[len(below)] if len(below) < len(file.parents) else file.parent
            place = root / top
            yield from ((root, each) for each in (_files(place) if place.is_dir() else [file]))


def _files(folder: Path) -> Iterator[Path]:
    return (
        each for each in folder.rglob("*")
        if each.is_file() and each.suffix != ".pyc" and not set(_CACHES).intersection(each.parts)
    )  # fmt: skip


def _own_tops(side: Loaded) -> frozenset[str]:
    """Top-level modules of odebench, of plug-ins, and of what is installed from a folder."""
    named = (each.module.partition(".")[0] for each in side.plugins if each.module in side.modules)
    plugins = {name for name in named if not name.startswith(PREFIX)}  # what is a file is among the sources
    local = {top for name in side.local for top in side.tops.get(name, ())}
    return frozenset({"odebench", *plugins, *local})


def _versions(side: Loaded) -> dict[str, str]:
    """Of all that is not compared byte for byte; a package that is built from sources has a new version each time."""
    tops = _own_tops(side)
    own = {name for name, found in side.tops.items() if not tops.isdisjoint(found)}.union(side.local)
    return {name: version for name, version in side.distributions.items() if name not in own}
