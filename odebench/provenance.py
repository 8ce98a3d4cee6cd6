"""Which code is behind a row: of each plugin that a process loaded its file, distribution, version and digest.

Torch-free, so that the process that runs workers can tell it as well as they can. Nothing is imported here: what is
asked about has been.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import sha256
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from odebench.plugin_files import Home, place_of
from odebench.plugin_imports import neighbours_of, sources
from odebench.spec import Spec

_DIGITS = 16  # hexadecimal, of a digest: 64 bits tell any two versions apart
_PLACES = ("root", "files")  # what records leave out: it is about this machine

Role = tuple[str, tuple[str, ...]]  # see `role`


@dataclass(frozen=True)
class Provenance:
    """One plugin as a process loaded it."""

    plugin: str  # as named: a path, a module, or `name = value` of an entry point
    file: str  # of its module, relative to `root`
    root: str  # absolute: the folder that holds the module, or the outermost package around it
    digest: str  # of `files`: their names and contents
    distribution: str = ""  # that it belongs to, if any
    version: str = ""
    files: tuple[str, ...] = ()  # all it is made of, relative to `root`
    names: tuple[str, ...] = ()  # what a suite can name that it registered, aliases included
    everywhere: bool = False  # whether it has a part in every row: it registered a metric, or nothing at all

    @property
    def path(self) -> Path:
        """Absolute, of the module's file."""
        return Path(self.root, self.file)

    @cached_property
    def places(self) -> frozenset[str]:
        """Absolute, of `files`."""
        return frozenset(str(Path(self.root, each)) for each in self.files)

    def to_data(self) -> dict[str, Any]:
        """JSON-ready; `from_data` reads it back."""
        return asdict(self)

    def to_record(self) -> dict[str, Any]:
        """As `to_data`, without absolute paths: what records hold."""
        data = {key: value for key, value in self.to_data().items() if key not in _PLACES}
        return data | {"plugin": self.file if Path(self.plugin).is_absolute() else self.plugin}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Provenance:
        return cls(**{**data, "files": tuple(data["files"]), "names": tuple(data["names"])})


def of_file(named: str, file: Path) -> Provenance:
    """Of a plugin that is a file."""
    home = Home(file.resolve())
    return _describe(named, home.file, home.root, (*home.own, *home.neighbours.places.values()), None)


def of_module(named: str, module: str, distribution: Distribution | None = None) -> Provenance:
    """Of a plugin that is the imported module `module`, and of `distribution` where that is known."""
    spec = sys.modules[module].__spec__
    file = _real(Path(spec.origin)) if spec is not None and spec.origin and spec.has_location else None
    words = module.split(".")
    # The outermost regular package: a namespace is shared with packages of others.
    outer = next((each for n in range(1, len(words) + 1) if (each := _package(".".join(words[:n]))) is not None), None)
    if file is None or (outer is None and file.name == "__init__.py"):
        return Provenance(named, "", "", "", _named(distribution), _version(distribution))
    root = outer.parent if outer is not None else file.parent
    own = (outer,) if outer is not None else (file,)
    beside = (
        {} if _is_site(root) else neighbours_of(own, lambda name: _beside(name, root), [str(root)], False).places
    )  # else all are strangers
    return _describe(named, file, root, (*own, *beside.values()), distribution)


def digest_of(root: Path, files: Iterable[str]) -> str:
    """Of names and contents, whatever the order; the same code at two places has one digest."""
    total = sha256()
    for name in sorted(set(files)):
        try:
            content = (root / name).read_bytes()
        except OSError:
            content = b""  # it went away while it was in use
        total.update(f"{len(name.encode(errors='surrogateescape'))} {len(content)} ".encode())
        total.update(name.encode(errors="surrogateescape") + content)
    return total.hexdigest()[:_DIGITS]


def behind(cell: Any, plugins: Iterable[Provenance]) -> tuple[Provenance, ...]:
    """The plugins that a cell makes use of: those that registered a name in it, and those with a part in every row."""
    named = set(_names(cell.to_data()))
    return tuple(each for each in plugins if each.everywhere or named.intersection(each.names))


def role(cell: Any, plugin: Provenance) -> Role:
    """The plugin as records name it, and by which of its names it is behind the cell.

    Two files of one name are two plugins: what they registered tells them apart, where an edit leaves it alone.
    """
    own = plugin.names if plugin.everywhere else sorted(set(_names(cell.to_data())).intersection(plugin.names))
    return plugin.to_record()["plugin"], tuple(own)


def digests_of(records: Iterable[Any]) -> dict[Role, dict[str, int]]:
    """Role -> digest -> how many of `records` it is behind, in their order."""
    found: dict[Role, dict[str, int]] = {}
    for record in records:
        plugins = (Provenance.from_data({"root": "", "files": (), **each}) for each in record.plugins)
        for each in behind(record.cell, plugins):
            counts = found.setdefault(role(record.cell, each), {})
            counts[each.digest] = counts.get(each.digest, 0) + 1
    return found


def folder_of(direct_url: str | None) -> Path | None:
    """The folder that a `direct_url.json` (PEP 610) names; None where it is an archive or a repository elsewhere."""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        told = json.loads(direct_url or "")
        url = urlsplit(told["url"])
        if url.scheme == "file" and "dir_info" in told:
            return Path(unquote(url.path)).resolve()
    return None


def joint_digest(plugins: Iterable[Provenance]) -> str:
    """One digest for the plugins behind a row; empty where there is none."""
    digests = sorted({each.digest for each in plugins if each.digest})
    if len(digests) < 2:
        return "".join(digests)
    return sha256(" ".join(digests).encode()).hexdigest()[:_DIGITS]


def with_names(source: Provenance, registered: Iterable[Any]) -> Provenance:
    """`source` with the names of the entries it `registered`."""
    entries = list(registered)
    names = dict.fromkeys(name for each in entries for name in (each.name, *each.aliases))
    everywhere = not entries or any(each.kind == "metric" for each in entries)
    return replace(source, names=tuple(names), everywhere=everywhere)


def _describe(named: str, file: Path, root: Path, places: Iterable[Path], known: Distribution | None) -> Provenance:
    files = sorted({each.relative_to(root).as_posix() for place in places for each in sources(place)})
    found = known or _distribution(file, root)
    digest = digest_of(root, files)
    return Provenance(
        named, file.relative_to(root).as_posix(), str(root), digest, _named(found), _version(found), tuple(files)
    )


def _beside(name: str, root: Path) -> Path | None:
    """Where the module `name` is, if that is directly in `root`."""
    try:
        place = place_of(getattr(sys.modules.get(name), "__spec__", None) or importlib.util.find_spec(name))
    except (ImportError, ValueError):
        return None
    return _real(place) if place is not None and _real(place).parent == root else None


def _package(name: str) -> Path | None:
    """The folder of the regular package `name`."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return _real(Path(file).parent) if isinstance(file, str) and Path(file).stem == "__init__" else None


def _real(place: Path) -> Path:
    """Absolute, links on the way resolved; not the last one, which may lead elsewhere."""
    return place.parent.resolve() / place.name


def _is_site(folder: Path) -> bool:
    return folder.name in ("site-packages", "dist-packages") or str(folder) in sysconfig.get_paths().values()


def _distribution(file: Path, root: Path) -> Distribution | None:
    """The one that `file` was installed by, or that is an editable installation of a folder around it."""
    if _is_site(root):
        inside = file.relative_to(root).as_posix()
        return next(
            (each for each in importlib.metadata.distributions(path=[str(root)]) if f"{inside}," in _list_of(each)),
            None,
        )
    for each in importlib.metadata.distributions():
        url = each.read_text("direct_url.json") or ""
        if '"editable"' in url and (home := folder_of(url)) is not None and file.is_relative_to(home):
            return each
    return None


def _list_of(distribution: Distribution) -> str:
    return distribution.read_text("RECORD") or ""


def _named(distribution: Distribution | None) -> str:
    return "" if distribution is None else str(distribution.metadata["Name"] or "")


def _version(distribution: Distribution | None) -> str:
    return "" if distribution is None else str(distribution.version or "")


def _names(data: Any) -> Iterable[str]:
    """Every word of a cell, at any depth: names of entries are among them."""
    if isinstance(data, Spec):
        data = data.to_data()
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from (*_names(key), *_names(value))
    elif isinstance(data, (list, tuple)):
        for each in data:
            yield from _names(each)
