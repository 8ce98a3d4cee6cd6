"""What `--base` and `--new` may name: a git revision, a folder of source code, or an environment with odebench."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import odebench
from odebench.compare.package import Package, find_package, source_folders
from odebench.compare.sources import folders_installed_from, library_folders
from odebench.errors import UsageError

Source = tuple[str, str]  # of a plug-in: its file, relative to the folder that holds it, and the digest of its sources


def sources_of(plugins: Iterable[Mapping[str, Any]]) -> frozenset[Source]:
    """Of plug-ins as `Provenance` and records have them."""
    return frozenset((str(each["file"]), str(each["digest"])) for each in plugins)


@dataclass(frozen=True)
class Tree:
    """Code to be measured.

    `root` is where `python` works, and `paths` go first on its module path. `homes` hold the side's files, and stand in
    for `origin`, so that files of the one can be found in the other. Sources have one, and what is loaded of the side
    must lie there. An `installed` tree brings its own odebench, and no path of ours; its homes are the folders that it
    was installed from, if any are left.
    """

    label: str
    python: str
    root: Path
    origin: Path
    homes: tuple[Path, ...]
    paths: tuple[Path, ...] = ()
    packages: tuple[Package, ...] = ()
    installed: bool = False
    unpacked: bool = False  # from a revision of the repository at `origin`
    sources: frozenset[Source] | None = None  # of the plug-ins that it was seen to load, where that is known

    @property
    def environment(self) -> dict[str, str]:
        """Of a process of this code."""
        own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if self.installed:
            return own
        # A tree need not hold odebench: then this one, wherever it lies, runs the tree's plugins.
        known = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        home = str(Path(odebench.__file__).parents[1])
        return own | {"PYTHONPATH": os.pathsep.join(dict.fromkeys([*map(str, self.paths), *known, home]))}

    def place(self, path: str) -> str:
        """Where this tree has what the origin has at `path`; other paths, and names of modules, stay."""
        file = Path(path)
        if not file.is_relative_to(self.origin) or any(file.is_relative_to(each) for each in self.homes):
            return path
        places = [each / file.relative_to(self.origin) for each in self.homes]
        # Sources that lack the file are not to be given another's; an environment need not have been built from here.
        return str(next((each for each in places if each.exists() or not self.installed), path))

    def require_sources(self, plugins: Iterable[Mapping[str, Any]] | None) -> None:
        """Make sure that a process of this tree, which says what it loaded, loaded what this tree was seen to hold.

        Raises:
            UsageError: it loaded other sources: another file, or they were edited in the meantime.
        """
        if self.sources is None or plugins is None:
            return
        for file, digest in sorted(sources_of(plugins) - self.sources):
            raise UsageError(
                f"{self.label}: a process loaded {file} with other sources (digest {digest}) than those of this side; "
                "leave the code alone while it is compared, or install each side into an environment of its own"
            )

    def holds(self, module: str) -> bool:
        """Whether its sources have a file for `module` where imports look first."""
        *above, name = module.split(".")
        if (above or [name])[0] in sys.stdlib_module_names:
            return False
        places = [each.joinpath(*above) for each in self.paths]
        return any((each / f"{name}.py").is_file() or (each / name / "__init__.py").is_file() for each in places)

    def names(self) -> Iterator[str]:
        """The top-level modules that its sources hold, but for folders without `__init__.py`."""
        for each in (entry for path in self.paths if path.is_dir() for entry in path.iterdir()):
            name = each.stem if each.suffix == ".py" else each.name
            if name.isidentifier() and self.holds(name):
                yield name


@contextmanager
def open_tree(named: str) -> Iterator[Tree]:
    """The tree that `named` means; what had to be unpacked is removed in the end.

    A folder that is an environment (it has a `bin/python`), or a Python program itself, stands for the odebench that
    is installed there. Any other folder is source code as it lies there. All else is a revision of the git repository
    around the working folder: it is unpacked to a temporary folder, so that working tree and index stay untouched.

    Sources need not be installed: their packages are found where their build descriptions say.

    Raises:
        UsageError: it is none of these.
    """
    inside = Path.cwd().resolve()
    here, path = top_of(inside) or inside, Path(named)
    program = _program(path)
    with TemporaryDirectory(prefix="odebench-") as folder:
        at = Path(folder).resolve()
        if program is not None:
            # Its own empty folder to work in: the working folder must not shadow what is installed.
            sources = folders_installed_from(library_folders(program.parent.parent))
            homes = dict.fromkeys(top_of(each) or each for each in sources)
            yield Tree(named, str(program), at, here, tuple(homes), installed=True)
        elif path.is_dir():
            root = path.resolve()
            yield _of_sources(Tree(named, sys.executable, root, here, (here if root == inside else root,)), root, at)
        else:
            commit = _commit(named, here)
            root = at / commit[:12]
            _unpack(commit, here, root)
            label = f"{named} ({commit[:8]})" if not commit.startswith(named) else named
            start = root / inside.relative_to(here)
            yield _of_sources(Tree(label, sys.executable, root, here, (root,), unpacked=True), start, at / "metadata")


def top_of(folder: Path) -> Path | None:
    """The top folder of the git repository around `folder`, if any."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    return Path(top).resolve() if top else None


def _of_sources(tree: Tree, start: Path, metadata: Path) -> Tree:
    """The tree with its packages: that around `start`, and those whose folders are installed from the origin."""
    (home,) = tree.homes
    installed = (each for each in folders_installed_from() if each.is_relative_to(tree.origin))
    folders = dict.fromkeys([start, *(home / each.relative_to(tree.origin) for each in installed)])
    found = (find_package(each, home) for each in folders if each.is_dir())
    packages = tuple({each.folder: each for each in found if each is not None}.values())
    told = [each.write_metadata(metadata) for each in packages]
    roots = [path for each in packages for path in each.roots] or list(source_folders(home))
    paths = dict.fromkeys([*([metadata] if any(told) else []), *roots, tree.root])
    return replace(tree, paths=tuple(paths), packages=packages)


def _program(path: Path) -> Path | None:
    for each in (path / "bin" / "python", path / "Scripts" / "python.exe"):
        if each.exists():
            return each.absolute()  # not resolved: behind its link a program does not know its environment
    return path.absolute() if path.is_file() and os.access(path, os.X_OK) else None


def _commit(named: str, here: Path) -> str:
    if shutil.which("git") is None:
        raise UsageError(f"{named!r} is no folder, and there is no git here to look for such a revision")
    # `--end-of-options`: a name that begins with a dash is no option.
    commit = _git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
    if not commit:
        raise UsageError(
            f"{named!r} is neither a revision of the git repository here, nor a folder; "
            "give for instance main, HEAD~1, a tag, `.` for the working tree, or an environment's folder"
        )
    return commit


def _unpack(commit: str, here: Path, root: Path) -> None:
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=here, capture_output=True, check=False)
    if done.returncode:
        raise UsageError(f"git cannot unpack {commit}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(root, filter=_inside)


def _inside(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo | None:
    """What a revision holds, but for links that lead out of it: what is behind them is no part of the revision."""
    try:
        return tarfile.data_filter(member, root)
    except (tarfile.AbsoluteLinkError, tarfile.LinkOutsideDestinationError):
        return None


def _git(where: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, check=False, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
