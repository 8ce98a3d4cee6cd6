"""The ordinary run of each side, by each side's own code and through its own command line, for all but times."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from odebench.compare.trees import Tree
from odebench.errors import NothingSelected, OdebenchError, UsageError
from odebench.execute.nursery import tail
from odebench.record import Record
from odebench.store import read_results
from odebench.suite.loading import Suite

_POLL = 0.05  # seconds between looks at two processes


@dataclass(frozen=True)
class Part:
    """One side of a comparison: its code, and what that code is to run."""

    tree: Tree
    suites: tuple[Suite, ...]


def run_both(base: Part, new: Part, where: str | None) -> tuple[list[Record], list[Record]]:
    """Records of both sides, which run at the same time: counts, bytes and errors do not mind.

    Only the command line and the results folder are used, so that code of any age can be a side.

    Raises:
        UsageError: one of the sides cannot run these suites, or ran other code than its own.
        NothingSelected: the filter leaves no cell.
    """
    with tempfile.TemporaryDirectory(prefix="odebench-") as folder, ExitStack() as ending:
        at = Path(folder)
        runs = [_start(part, at / name, where, ending) for name, part in (("base", base), ("new", new))]
        while any(process.poll() is None for process, _ in runs):
            time.sleep(_POLL)
        for part, (process, words) in zip((base, new), runs, strict=True):
            _judge(part.tree.label, process.returncode, tail(words))
        found = read_results(at / "base" / "results"), read_results(at / "new" / "results")
        for part, records in zip((base, new), found, strict=True):
            for plugins in (record.plugins for record in records if record.plugins):
                part.tree.require_sources(plugins)
        return found


def _start(part: Part, folder: Path, where: str | None, ending: ExitStack) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    folder.mkdir()
    suite = folder / "suite.yaml"
    _write(part, suite)
    words: IO[bytes] = ending.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    program = [part.tree.python, "-P", "-m", "odebench", "run", str(suite), "-o", str(folder / "results")]
    # One repeat: times are measured later, against each other.
    program += ["--repeats", "1", "--format", "csv", "--quiet", "--no-progress", *(["-k", where] if where else [])]
    process = subprocess.Popen(
        program, cwd=part.tree.root, env=part.tree.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words,
    )  # fmt: skip
    ending.callback(_end, process)
    return process, words


def _write(part: Part, path: Path) -> None:
    from odebench.suite.yaml_source import dump_documents

    documents = []
    for suite in part.suites:
        data = suite.to_data()
        if suite.plugins:
            data["plugins"] = [part.tree.place(each) for each in suite.plugins]
        documents.append(data)
    path.write_text(dump_documents(documents), encoding="utf-8")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()  # it ends its workers
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _judge(label: str, code: int, words: str) -> None:
    if code in (0, 3):
        return
    said = words.strip() or f"it ended with code {code}"
    kinds: dict[int, type[OdebenchError]] = {2: UsageError, 5: NothingSelected}
    raise kinds.get(code, OdebenchError)(f"{label}: cannot run the suite: {said}")


def plugins_of(suites: Sequence[Suite], name: str) -> tuple[str, ...]:
    """All plugins that cells of the suite `name` may need."""
    return tuple(dict.fromkeys(each for suite in suites if suite.name == name for each in suite.plugins))
