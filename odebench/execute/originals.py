"""The sources of plugins beside the rows that they gave: kept in `sources/`, run again where the originals are gone.

sources/<digest>/…       what a plugin is made of, as it was loaded, below the folder that holds it
sources/plugins.json     as named in suite.yaml -> {"digest": …, "file": …} of the copy loaded last
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path

from odebench.provenance import Provenance, behind, digest_of, digests_of, role
from odebench.record import Cell, Record
from odebench.writing import replace

SOURCES, INDEX = "sources", "plugins.json"


class Originals:
    """Keeps copies in the results folder `folder`. A plugin that was edited has a copy of each version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / SOURCES
        self._kept: set[str] = set()

    def keep(self, plugins: Iterable[Provenance]) -> None:
        """Have a copy of what each of `plugins` is made of; those that run from their copy have one."""
        fresh = [each for each in plugins if each.digest and each.digest not in self._kept]
        self._kept |= {each.digest for each in fresh}
        index = read_index(self.folder.parent)
        for each in fresh:
            if not Path(each.root).is_relative_to(self.folder.resolve()) and self._copy(each):
                index[each.plugin] = {"digest": each.digest, "file": each.file}
        if fresh and index:
            replace(self.folder / INDEX, json.dumps(index, indent=2) + "\n")

    def _copy(self, plugin: Provenance) -> bool:
        place = self.folder / plugin.digest
        if not place.is_dir():
            draft = self.folder / f".{plugin.digest}.part"
            shutil.rmtree(draft, ignore_errors=True)
            for name in plugin.files:
                with suppress(FileNotFoundError):  # then the digest tells
                    (draft / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(Path(plugin.root, name), draft / name)
            if digest_of(draft, plugin.files) != plugin.digest:
                shutil.rmtree(draft, ignore_errors=True)  # it was edited since it was loaded
                return False
            draft.rename(place)
        return True


class Versions:
    """Which versions of each plugin the rows of a folder are of, `records` first."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._seen = {key: set(digests) for key, digests in digests_of(records).items()}

    def remarks(self, cell: Cell, used: Iterable[Provenance]) -> list[str]:
        """For the notes of a new row, of `cell`, that `used` are behind."""
        told = []
        for each in used:
            seen = self._seen.setdefault(role(cell, each), set())
            if others := sorted(seen - {each.digest}):
                name = each.to_record()["plugin"]
                told.append(f"{name} was edited; other rows of this folder are of its version {', '.join(others)}")
            seen.add(each.digest)
        return told


def read_index(folder: Path) -> dict[str, dict[str, str]]:
    """Of a results folder: plugin as named -> its copy; empty where there is none, or none that can be read."""
    try:
        index = json.loads((folder / SOURCES / INDEX).read_text(encoding="utf-8"))
        copies = {str(named): {key: str(about[key]) for key in ("digest", "file")} for named, about in index.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {named: about for named, about in copies.items() if about["digest"].isalnum()}


def stand_ins(folder: Path) -> dict[str, str]:
    """Of a results folder: plugin that is a file and is gone -> the file of its copy."""
    found = {}
    for named, about in read_index(folder).items():
        copy = (folder / SOURCES / about["digest"] / about["file"]).resolve()
        inside = copy.is_relative_to((folder / SOURCES / about["digest"]).resolve())  # nothing else may run
        if Path(named).is_absolute() and not Path(named).is_file() and copy.is_file() and inside:
            found[named] = str(copy)
    return found


@contextmanager
def importable(folder: Path | None) -> Iterator[list[str]]:
    """Have modules of plugins that are gone imported from their copies in a results folder; the names of those."""
    index = {} if folder is None else read_index(folder)
    gone = {
        named: str((folder / SOURCES / about["digest"]).resolve())
        for named, about in index.items()
        if folder is not None and " = " not in named and not Path(named).is_absolute() and not _is_there(named)
    }
    before = list(sys.path)
    sys.path += [each for each in dict.fromkeys(gone.values()) if Path(each).is_dir()]
    try:
        yield list(gone)
    finally:
        sys.path[:] = before


def remarks(
    folder: Path, plugins: Iterable[Provenance], missing: Iterable[Cell], done: Iterable[Record], gone: Iterable[str]
) -> Iterator[str]:
    """What is to be said before cells of a resumed folder run: which code they run, where that is not the obvious."""
    cells, before = list(missing), digests_of(done)
    for named in gone:
        yield f"plugin {Path(named).name} is gone; its copy in {folder / SOURCES} is run"
    for each in plugins:
        roles = {role(cell, each) for cell in cells if behind(cell, [each])}
        old = [(digest, rows) for key in roles for digest, rows in before.get(key, {}).items()]
        others = sum(rows for digest, rows in old if digest != each.digest)
        if others:
            rows = "1 row here was" if others == 1 else f"{others} rows here were"
            yield (
                f"plugin {each.to_record()['plugin']} differs from the one that {rows} measured with (copies are in "
                f"{folder / SOURCES}); the cells to come run it as it is now, and are not to be compared with those"
            )


def _is_there(module: str) -> bool:
    """Whether a module of that name could be imported by a worker; nothing is imported here."""
    first, *words = module.split(".")
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(first) or PathFinder.find_spec(first, [str(Path.cwd())])
        for word in words:
            spec = spec and PathFinder.find_spec(word, list(spec.submodule_search_locations or ()))
        return spec is not None
    return False
