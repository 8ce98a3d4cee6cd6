"""What `--base` and `--new` may name: a git revision, a folder of source code, or an environment with odebench."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import odebench
from odebench.errors import UsageError


@dataclass(frozen=True)
class Tree:
    """Code to be measured.

    `root` goes first on the module path of `python` and is where it works; `origin` is what `root` is a copy of, so
    that files of the one can be found in the other. An `installed` tree brings its own odebench, and no path of ours.
    """

    label: str
    python: str
    root: Path
    origin: Path
    installed: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Of a process of this code."""
        own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if self.installed:
            return own
        # A tree need not hold odebench: then this one, wherever it lies, runs the tree's plugins.
        known = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
        home = str(Path(odebench.__file__).parents[1])
        return own | {"PYTHONPATH": os.pathsep.join(dict.fromkeys([str(self.root), *known, home]))}

    def place(self, path: str) -> str:
        """Where this tree has what the origin has at `path`; other paths, and names of modules, stay."""
        file = Path(path)
        return str(self.root / file.relative_to(self.origin)) if file.is_relative_to(self.origin) else path


@contextmanager
def open_tree(named: str) -> Iterator[Tree]:
    """The tree that `named` means; what had to be unpacked is removed in the end.

    A folder that is an environment (it has a `bin/python`), or a Python program itself, stands for the odebench that
    is installed there. Any other folder is source code as it lies there. All else is a revision of the git repository
    around the working folder: it is unpacked to a temporary folder, so that working tree and index stay untouched.

    Raises:
        UsageError: it is none of these.
    """
    here = _repository() or Path.cwd()
    path = Path(named)
    program = _program(path)
    if program is not None:
        with TemporaryDirectory(prefix="odebench-") as empty:  # the working folder must not shadow what is installed
            yield Tree(named, str(program), Path(empty), Path(empty), installed=True)
    elif path.is_dir():
        root = path.resolve()
        yield Tree(named, sys.executable, root, here if root == here else root)
    else:
        commit = _commit(named, here)
        with TemporaryDirectory(prefix="odebench-") as folder:
            root = Path(folder).resolve() / commit[:12]
            _unpack(commit, here, root)
            yield Tree(f"{named} ({commit[:8]})" if not commit.startswith(named) else named, sys.executable, root, here)


def _program(path: Path) -> Path | None:
    for each in (path / "bin" / "python", path / "Scripts" / "python.exe"):
        if each.exists():
            return each.absolute()  # not resolved: behind its link a program does not know its environment
    return path.absolute() if path.is_file() and os.access(path, os.X_OK) else None


def _repository() -> Path | None:
    top = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    return Path(top).resolve() if top else None


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
        archive.extractall(root, filter="data")


def _git(where: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, check=False, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
