"""Little packages with a solver, in git repositories of their own, and a machine to install them on: for the gate."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYOUTS = ("src", "flat")

_PROJECT = """\
[build-system]
requires = ["{backend}"]
build-backend = "{backend_module}"

[project]
name = "gated-solvers"
version = "1.0"

[project.entry-points."odebench.solvers"]
halves = "gated_solvers.halves:Halves"

{tool}
"""
_HATCH = '[tool.hatch.build.targets.wheel]\npackages = ["{}gated_solvers"]\n'
_SETUPTOOLS = '[tool.setuptools]\npackages = ["gated_solvers"]\npackage-dir = {{"" = "{}"}}\n'
_SOLVER = """\
from odebench import Step, solver

from gated_solvers.steps import halve


@solver("halves")
class Halves:
    order, error_order = 1, None

    def init(self, f, t, y):
        return (y,)

    def step(self, f, t, dt, state):
        return Step((halve(f, t, dt, state[0]),))
"""
_STEPS = """\
def halve(f, t, dt, y):
    y = y + dt / 2 * f(t, y)
    return y + dt / 2 * f(t + dt / 2, y)
"""
SUITE = """\
name: gated
problems: [linear_decay]
solvers: [halves]
gradients: [direct]
stepping: [{fixed: {steps: 10}}]
measure: {warmup: 0}
"""
# What a pull request may bring, in steps.py.
FAULTS = {
    "evaluation": _STEPS.replace("    y = y + dt", "    f(t, y)\n    y = y + dt", 1),
    "leak": "import torch\n\nKEPT = []\n\n\n" + _STEPS.replace(
        "    y = y", "    KEPT.append(torch.zeros(1000, dtype=torch.float64))\n    y = y", 1),
    "time": _STEPS.replace("    y = y", "    sum(range(50_000))\n    y = y", 1),
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A Python with torch and odebench, into which a package is installed and nothing else gets."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell on it: `python` and `odebench` are its own, and pip builds without a network."""
        own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        path = os.pathsep.join([str(self.folder / "tools"), own["PATH"]])
        return {
            **own, "PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", **WHO,
        }  # fmt: skip

    def run(self, *words: str, where: Path, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """A command on it."""
        done = subprocess.run(
            words, cwd=where, env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def install(self, folder: Path, *options: str) -> None:
        """`pip install` of a package in source form."""
        self.run("python", "-m", "pip", "install", "--quiet", *options, str(folder), where=folder)


WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
_OUTER = "import site; list(map(site.addsitedir, {folders!r}))"
# An environment on top of the running one: `--system-site-packages` would leave out what a virtual environment has.
_PYTHON = """\
#!/usr/bin/env bash
"{python}" "$@" || exit
if [ "$1 $2" = "-m venv" ]; then echo '{above}' > "$(echo "${{@: -1}}"/lib/python*/site-packages)/outer.pth"; fi
"""


def make_machine(folder: Path) -> Machine:
    """An environment that has this odebench, and all that the running one has."""
    venv.create(folder, symlinks=True)
    own = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    outer = [str(ROOT), *site.getsitepackages()]
    (own / "outer.pth").write_text(f"{ROOT}\n{_OUTER.format(folders=outer)}\n")
    tools = folder / "tools"
    tools.mkdir()
    above = f"{ROOT}\n{_OUTER.format(folders=[str(own), *outer])}".replace("'", '"')
    python = _PYTHON.format(python=folder / "bin" / "python", above=above)
    for name, text in (("python", python), ("odebench", '#!/usr/bin/env bash\nexec python -P -m odebench "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return Machine(folder)


def git(*words: str, where: Path) -> str:
    done = subprocess.run(["git", *words], cwd=where, env={**os.environ, **WHO}, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(folder: Path, message: str = "change") -> str:
    """All of the working tree."""
    git("add", "-A", where=folder)
    git("commit", "-q", "-m", message, where=folder)
    return git("rev-parse", "HEAD", where=folder)


def make_package(folder: Path, layout: str, backend: str = "hatchling") -> Path:
    """A repository with one commit of a package whose solver calls f twice a step; and its suite and a README."""
    folder.mkdir(parents=True)
    place = "src/" if layout == "src" else ""
    tool = _HATCH.format(place) if backend == "hatchling" else _SETUPTOOLS.format(place.rstrip("/") or ".")
    module = "hatchling.build" if backend == "hatchling" else "setuptools.build_meta"
    files = {
        "pyproject.toml": _PROJECT.format(backend=backend, backend_module=module, tool=tool),
        f"{place}gated_solvers/__init__.py": "",
        f"{place}gated_solvers/halves.py": _SOLVER,
        f"{place}gated_solvers/steps.py": _STEPS,
        "benchmarks/suite.yaml": SUITE,
        "README.md": "Solvers.\n",
        ".gitignore": "build/\n*.egg-info/\n__pycache__/\nresults/\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git("init", "-q", "-b", "main", where=folder)
    commit(folder, "base")
    return folder


def steps_of(folder: Path) -> Path:
    """The file that a fault goes into."""
    # Neither what a build copied, nor the sources that a results folder keeps.
    copies = {"build", "results"}
    (file,) = (x for x in folder.rglob("steps.py") if "gated_solvers" in x.parts and not copies & set(x.parts))
    return file


def plant(folder: Path, fault: str) -> str:
    """Commit a fault; its hash."""
    steps_of(folder).write_text(FAULTS[fault])
    return commit(folder, fault)
