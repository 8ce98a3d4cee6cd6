"""Where a folder of source code keeps its modules, and what it offers: read from its build description, never built.

A side of a comparison is imported from its sources. Building each side was weighed against this: it gets compiled
modules and generated files right, and needs minutes and a network. So sources are the quick way, what they cannot do
is found out when they are loaded (see belonging.py), and whoever needs a build gives environments.
"""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
_VERSION = "0+of.this.side"  # where only a build could tell

EntryPoints = Mapping[str, Mapping[str, str]]  # group -> name -> value


@dataclass(frozen=True)
class Package:
    """One package in source form. `roots` are the folders in which imports find it, most special first.

    `entry_points` is None where only a build could tell them, and `name` is empty where none is written down.
    """

    folder: Path
    roots: tuple[Path, ...]
    name: str = ""
    version: str = _VERSION
    entry_points: EntryPoints | None = None

    def write_metadata(self, folder: Path) -> bool:
        """Put into `folder` what an installed package has there, so that this side's entry points are found.

        Metadata that comes earlier on the module path hides that of the same package later on. Without this a side
        would be asked for what the *installed* version of its package offers. Returns whether there was enough to tell.
        """
        if not self.name or self.entry_points is None:
            return False
        words = (re.sub(r"[^\w.+!]+", "_", each) for each in (plain_name(self.name).replace("-", "_"), self.version))
        info = folder / f"{'-'.join(words)}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n")
        groups = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in self.entry_points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        return True


def find_package(folder: Path, top: Path) -> Package | None:
    """The package of the first folder with a build description from `folder` up to `top`; None if there is none."""
    for each in (folder, *folder.parents):
        if any((each / name).is_file() for name in _FILES):
            return read_package(each)
        if each == top:
            break
    return None


def read_package(folder: Path) -> Package:
    """What the build description in `folder` says; by convention where it says nothing."""
    told = _Told.of(folder)
    found = (folder / each for each in told.roots)
    roots = tuple(dict.fromkeys(each for each in found if each.is_dir())) or source_folders(folder)
    return Package(folder, roots, told.name, told.version or _VERSION, told.entry_points)


def source_folders(folder: Path) -> tuple[Path, ...]:
    """By the convention of all build tools: `src` where modules lie in it, else the folder itself."""
    source = folder / "src"
    holds = source.is_dir() and any(
        each.suffix == ".py" or (each.is_dir() and next(each.rglob("*.py"), None)) for each in source.iterdir()
    )
    return (source,) if holds else (folder,)


@dataclass
class _Told:
    """What descriptions say, the first of several; roots as relative paths."""

    name: str = ""
    version: str = ""
    roots: list[str] = field(default_factory=list)
    entry_points: EntryPoints | None = None

    @classmethod
    def of(cls, folder: Path) -> _Told:
        told = cls()
        # Whoever has both [project] and setup.cfg means the first; setup.py only fills what is left open.
        for read, file in ((_pyproject, _FILES[0]), (_setup_cfg, _FILES[1]), (_setup_py, _FILES[2])):
            with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, configparser.Error, SyntaxError):
                told._add(read((folder / file).read_text(encoding="utf-8")))
        return told

    def _add(self, more: _Told) -> None:
        self.name = self.name or more.name
        self.version = self.version or more.version
        self.roots = self.roots or more.roots
        self.entry_points = more.entry_points if self.entry_points is None else self.entry_points


def _pyproject(text: str) -> _Told:
    config = tomllib.loads(text)
    project, poetry = _table(config, "project"), _table(config, "tool", "poetry")
    name, version = (project.get(key) or poetry.get(key) or "" for key in ("name", "version"))
    told = _Told(_text(name), _text(version), list(_tool_roots(_table(config, "tool"))))
    if project and "entry-points" not in project.get("dynamic", ()):
        told.entry_points = _groups(project.get("entry-points"))
    elif poetry and not project:
        told.entry_points = _groups(poetry.get("plugins"))
    return told


def _tool_roots(tool: Mapping[str, Any]) -> Iterator[str]:
    """The import roots that the usual backends are told, in the table of each."""
    setuptools = _table(tool, "setuptools")
    yield from _package_dir(_table(setuptools, "package-dir"))
    yield from _texts(_table(setuptools, "packages", "find").get("where"))
    for hatch in (_table(tool, "hatch", "build", "targets", "wheel"), _table(tool, "hatch", "build")):
        sources = hatch.get("sources")
        yield from (key for key, value in _table(sources).items() if value == "")
        yield from () if isinstance(sources, Mapping) else _texts(sources)
        yield from map(_parent, _texts(hatch.get("packages")))
        yield from _texts(hatch.get("dev-mode-dirs"))
    packages = _table(tool, "poetry").get("packages")
    for each in packages if isinstance(packages, list) else ():
        yield from _texts(_table(each).get("from", "."))
    yield from _texts(_table(tool, "pdm", "build").get("package-dir"))
    yield from _texts(_table(tool, "uv", "build-backend").get("module-root"))
    yield from _texts(_table(tool, "maturin").get("python-source"))
    yield from map(_parent, _texts(_table(tool, "scikit-build", "wheel").get("packages")))


def _setup_cfg(text: str) -> _Told:
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(text)
    told = _Told(config.get("metadata", "name", fallback=""), config.get("metadata", "version", fallback=""))
    if told.version.startswith(("attr:", "file:")):
        told.version = ""
    directories = _assignments(config.get("options", "package_dir", fallback=""))
    told.roots = [*_package_dir(directories)]
    told.roots += config.get("options.packages.find", "where", fallback="").split()
    if config.has_section("options.entry_points"):
        told.entry_points = {group: _assignments(points) for group, points in config["options.entry_points"].items()}
    return told


def _setup_py(text: str) -> _Told:
    """Of the call of `setup` what stands there in plain figures; nothing is run."""
    told = _Told()
    for call in (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        given = {each.arg: _literal(each.value) for each in call.keywords}
        if name in ("find_packages", "find_namespace_packages"):
            where = _literal(call.args[0]) if call.args else given.get("where")
            told.roots += _texts(where)
        elif name == "setup":
            told.name, told.version = _text(given.get("name")), _text(given.get("version"))
            told.roots = [*_package_dir(given.get("package_dir")), *told.roots]
            points = given.get("entry_points")
            if isinstance(points, dict):
                told.entry_points = {str(group): _assignments(_texts(each)) for group, each in points.items()}
    return told


def _package_dir(given: Any) -> Iterator[str]:
    """`{"": "src"}`, or `{"name": "lib/name"}`: the roots in which a package lies under its own name."""
    for name, place in given.items() if isinstance(given, Mapping) else ():
        path = PurePosixPath(_text(place))
        parts = tuple(part for part in _text(name).split(".") if part)
        if path.parts[len(path.parts) - len(parts) :] == parts:
            yield str(PurePosixPath(*path.parts[: len(path.parts) - len(parts)]))


def _table(config: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _groups(given: Any) -> EntryPoints:
    return {
        group: {name: value for name, value in _table(points).items() if isinstance(value, str)}
        for group, points in _table(given).items()
    }


def _assignments(given: str | Iterable[str]) -> dict[str, str]:
    """Lines of the form `name = value`."""
    lines = given.splitlines() if isinstance(given, str) else given
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _texts(given: Any) -> list[str]:
    """A text, or those of a list, as a list."""
    return [given] if isinstance(given, str) else [each for each in given or () if isinstance(each, str)]


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None


def plain_name(name: str) -> str:
    """Of a distribution, in the one spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
