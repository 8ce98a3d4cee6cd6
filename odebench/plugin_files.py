"""Plugins that are files: imported so that each finds the modules beside it, as a script does.

A plugin's own folder is asked before the working folder and PYTHONPATH, and after the standard library and what is
installed: a neighbour called `torch.py` is never taken for torch. Where the folder is a package, relative imports work
too; its `__init__.py` runs only if the plugin imports relatively. To put the folder on `sys.path` was rejected: at its
front it hides what is installed, and at its end the working folder hides it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from odebench.errors import UsageError
from odebench.plugin_imports import Neighbours, imports, neighbours_of

PREFIX = "odebench_plugin_"  # what the modules of plugins that are files are called


def _firm() -> list[str]:
    """Where the standard library and installed packages lie: the path at the start, without what its owner added."""
    added = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return [each for each in sys.path if each and each not in (*added, os.getcwd())]


_FIRM = _firm() if os.path.exists(".") else list(filter(None, sys.path))


@dataclass(frozen=True)
class Home:
    """A plugin's file, and where it belongs."""

    file: Path  # absolute, links resolved

    @cached_property
    def package(self) -> Path | None:
        """The folder of the outermost package around the file."""
        found = None
        for folder in self.file.parents:
            if not (folder / "__init__.py").is_file():
                break
            found = folder
        return found

    @property
    def root(self) -> Path:
        """The folder that holds the file, or the package it is part of."""
        return self.file.parent if self.package is None else self.package.parent

    @property
    def folders(self) -> list[str]:
        """Where its absolute imports look."""
        return list(dict.fromkeys([str(self.file.parent), str(self.root)]))

    @property
    def name(self) -> str:
        """What its module is called: a name of its own, so that two files of one name are two modules."""
        if self.package is None:
            return _unique(self.file)
        inner = self.file.relative_to(self.package).with_suffix("")
        words = inner.parts[:-1] if inner.name == "__init__" else inner.parts
        return ".".join([_unique(self.package), *(word.replace(".", "_") for word in words)])

    @cached_property
    def in_package(self) -> bool:
        """Whether it is imported as a part of its package."""
        return self.package is not None and (self.file.name == "__init__.py" or imports(self.file).relative)

    @property
    def own(self) -> tuple[Path, ...]:
        """What it is made of, its neighbours apart: its file, or its package's folder."""
        return (self.package,) if self.in_package and self.package is not None else (self.file,)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The modules beside it that it imports, and those that these import."""
        return neighbours_of(self.own, lambda name: place_of(_FINDER.neighbour(name, self.folders)), self.folders)


def load_file(path: Path) -> ModuleType:
    """Import the plugin `path`, once.

    Raises:
        UsageError: there is no such file, or one of its neighbours has the name of another module that is imported.
        Exception: whatever it raises itself.
    """
    if path.suffix != ".py" or not path.is_file():
        raise UsageError(f"plugin {path}: there is no such Python file")
    home = Home(path.resolve())
    known = sys.modules.get(home.name) or _imported_from(home.file)
    if known is not None:
        return known
    _FINDER.enter(home)
    try:
        _FINDER.make_way(home)
        return importlib.import_module(home.name) if home.in_package else _execute(home)
    finally:
        _FINDER.leave()


def place_of(spec: ModuleSpec | None) -> Path | None:
    """The file that a spec stands for, or the folder of its package."""
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.has_location else None


class _Finder(importlib.abc.MetaPathFinder):
    """Finds neighbours of plugins, and the packages that plugins are part of."""

    def __init__(self) -> None:
        self.folders: dict[str, None] = {}  # of all plugins so far
        self.packages: dict[str, Path] = {}
        self.loading: list[Home] = []
        self.known: dict[str, Path] = {}  # neighbours of all plugins so far
        self.late: set[str] = set()  # those of them that are imported inside functions

    def enter(self, home: Home) -> None:
        """`home` is about to be imported."""
        self.loading.append(home)
        self.folders |= dict.fromkeys(home.folders)
        if home.package is not None:
            self.packages[_unique(home.package)] = home.package
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def make_way(self, home: Home) -> None:
        """Have the neighbours of `home` found, and not others of their names that are imported already.

        Raises:
            UsageError: it cannot be told later which is meant, because one of the two is imported inside a function.
        """
        for name, place in home.neighbours.places.items():
            before = self.known.get(name)
            there = place_of(getattr(sys.modules.get(name), "__spec__", None))
            strange = there is not None and there not in (place, before)
            late = before is not None and before != place and name in self.late | home.neighbours.late
            if strange or late:
                raise UsageError(
                    f"plugin {home.file}: it imports {name} beside it, and this process has {name} from "
                    f"{there or before}; rename one of them, or put an __init__.py beside the plugin and write "
                    f"`from . import {name}`"
                )
            if there == before != place:
                for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
                    del sys.modules[each]  # whoever imported it keeps it
            self.known[name] = place
        self.late |= home.neighbours.late

    def leave(self) -> None:
        """It has been, or failed."""
        self.loading.pop()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks."""
        if fullname in self.packages:
            folder = self.packages[fullname]
            return _spec(fullname, folder / "__init__.py", [str(folder)])
        if path is not None or "." in fullname:
            return None
        if self.loading:
            return self.neighbour(fullname, self.loading[-1].folders)
        # An import inside a function. Whose it is cannot be told; `make_way` saw to it that it does not matter.
        place = self.known.get(fullname)
        return self.neighbour(fullname, list(self.folders) if place is None else [str(place.parent)])

    def neighbour(self, name: str, folders: list[str]) -> ModuleSpec | None:
        """The module `name` in one of `folders`, unless the name belongs to something else."""
        spec = PathFinder.find_spec(name, folders)
        if spec is None or self._is_taken(name):
            return None
        if spec.loader is None and _is_module(PathFinder.find_spec(name)):
            return None  # a folder that only happens to be called so
        if isinstance(spec.loader, SourceFileLoader) and spec.origin is not None:
            file = Path(spec.origin)
            known = sys.modules.get(Home(file.resolve()).name)
            loader = _Source(name, str(file)) if known is None else _Again(known)
            return importlib.util.spec_from_file_location(
                name, file, loader=loader, submodule_search_locations=spec.submodule_search_locations
            )
        return spec

    def _is_taken(self, name: str) -> bool:
        if name in sys.stdlib_module_names or name == __name__.partition(".")[0]:
            return True
        if _is_module(PathFinder.find_spec(name, _FIRM)):
            return True
        others = (each for each in sys.meta_path if each is not self and each is not PathFinder)
        return any(each.find_spec(name, None) is not None for each in others if hasattr(each, "find_spec"))


_FINDER = _Finder()


class _Source(SourceFileLoader):
    """Compiles what is in the file now: a cache is known by time and size, and an edit may keep both."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Again(importlib.abc.Loader):
    """A plugin that another imports by its plain name is the module it already is."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _is_module(spec: ModuleSpec | None) -> bool:
    """Whether there is a module or a regular package, and not just a folder of that name."""
    return spec is not None and spec.loader is not None


def _spec(name: str, file: Path, inside: list[str] | None = None) -> ModuleSpec:
    loader = _Source(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=inside)
    assert spec is not None
    return spec


def _execute(home: Home) -> ModuleType:
    spec = _spec(home.name, home.file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[home.name] = module
    try:
        _Source(home.name, str(home.file)).exec_module(module)
    except BaseException:
        del sys.modules[home.name]
        raise
    return module


def _imported_from(file: Path) -> ModuleType | None:
    """The module that was imported from `file`, under whatever name."""
    for module in list(sys.modules.values()):
        known = getattr(module, "__file__", None)
        if isinstance(known, str) and known.endswith(file.name) and module.__name__ != "__main__":
            with_links = Path(known)
            if with_links == file or with_links.resolve() == file:
                return module
    return None


def _unique(place: Path) -> str:
    return PREFIX + sha256(os.fsencode(place)).hexdigest()[:16]
