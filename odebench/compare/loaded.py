"""What each side of a comparison loads, asked of a process of its own before anything is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odebench.compare import probe
from odebench.compare.package import plain_name
from odebench.compare.trees import Source, Tree, sources_of
from odebench.errors import UsageError
from odebench.provenance import folder_of

_PATIENCE = 180.0  # seconds for all plugins to load, and whatever they import


@dataclass(frozen=True)
class Plugin:
    """Something that registers what suites name: `named` by a suite or an option, else an entry point."""

    what: str
    module: str
    named: bool
    distribution: str


@dataclass(frozen=True)
class Loaded:
    """What a side loads. Files are resolved; `modules` are all but those of the standard library.

    Distributions are named as `plain_name` has it.
    """

    tree: Tree
    modules: Mapping[str, Path]
    plugins: tuple[Plugin, ...]
    distributions: Mapping[str, str]  # what is installed -> version
    tops: Mapping[str, frozenset[str]]  # distribution -> its top-level modules, of those that may matter
    local: Mapping[str, Path]  # of these, what was installed from a folder
    python: str
    sources: frozenset[Source] | None  # of plug-ins; None of an odebench that does not tell

    @classmethod
    def from_data(cls, tree: Tree, data: Mapping[str, Any]) -> Loaded:
        """From an answer of probe.py."""
        folders = ((plain_name(name), folder_of(text)) for name, text in data["local"].items())
        return cls(
            tree,
            {name: Path(file).resolve() for name, file in data["modules"].items()},
            tuple(Plugin(**{**each, "distribution": plain_name(each["distribution"])}) for each in data["plugins"]),
            {plain_name(name): version for name, version in data["distributions"].items()},
            {plain_name(name): frozenset(tops) for name, tops in data["tops"].items()},
            {name: folder for name, folder in folders if folder is not None},
            data["python"],
            None if data["sources"] is None else sources_of(data["sources"]),
        )


def look_at(trees: Sequence[Tree], plugins: Sequence[str]) -> list[Loaded]:
    """What each of `trees` loads for these plugins; all of them are asked at the same time.

    Raises:
        UsageError: one of them cannot load a plug-in.
    """
    processes: list[subprocess.Popen[str]] = []
    try:
        for tree in trees:
            processes.append(_start(tree))
        for tree, process in zip(trees, processes, strict=True):
            assert process.stdin is not None
            with suppress(OSError):  # it says why it is gone
                process.stdin.write(json.dumps(_order(tree, plugins)))
                process.stdin.close()
        return [_hear(tree, process) for tree, process in zip(trees, processes, strict=True)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _order(tree: Tree, plugins: Sequence[str]) -> dict[str, list[str]]:
    made = [each.name for each in tree.packages if each.name]
    return {"plugins": [tree.place(each) for each in plugins], "names": sorted(tree.names()), "distributions": made}


def _start(tree: Tree) -> subprocess.Popen[str]:
    program = [tree.python, "-P", str(Path(probe.__file__).resolve())]
    try:
        return subprocess.Popen(
            program, cwd=tree.root, env={**tree.environment, "PYTHONDONTWRITEBYTECODE": "1"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"{tree.label}: {tree.python} cannot be started: {error.strerror or error}") from error


def _hear(tree: Tree, process: subprocess.Popen[str]) -> Loaded:
    process.stdin = None  # written and closed already
    try:
        answer, words = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{tree.label}: its plugins were not loaded within {_PATIENCE:.0f} s") from error
    said = json.loads(answer) if answer.strip() else {"trouble": _last(words) or f"code {process.returncode}"}
    if "trouble" in said:
        raise UsageError(f"{tree.label}: cannot be loaded: {said['trouble']}{_advice(tree)}")
    return Loaded.from_data(tree, said)


def _advice(tree: Tree) -> str:
    if tree.installed:
        return ""
    return (
        "; what has to be built first (compiled modules, generated files) needs environments: "
        f"install each side into one of its own ({Path(sys.executable).name} -m venv), and name these folders"
    )


def _last(words: str) -> str:
    lines = words.strip().splitlines()
    return lines[-1].strip() if lines else ""
