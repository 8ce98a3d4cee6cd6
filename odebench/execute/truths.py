"""The true answers that cells are judged by: worked out once per problem, dtype, batch and seed, and kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from odebench import registry
from odebench.execute.crew import Job, Worker
from odebench.record import Cell
from odebench.suite.loading import Suite

PATIENCE = 300.0  # seconds that a truth may take at least; it is shared by many cells, and then kept


def cache_folder() -> Path:
    """Where truths are kept: `$ODEBENCH_CACHE`, else `odebench` in the user's cache folder."""
    own = os.environ.get("ODEBENCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "odebench")


class Truths:
    """Which truths are there, which are being worked out, and which cannot be had. A context manager."""

    def __init__(self) -> None:
        self._paths: dict[tuple[object, ...], Path] = {}
        self._ready: set[Path] = set()
        self._failed: dict[Path, str] = {}
        self._running: dict[Worker, Path] = {}
        self._passing: str | None = None

    def __enter__(self) -> Truths:
        return self

    def __exit__(self, *_: object) -> None:
        if self._passing is not None:
            shutil.rmtree(self._passing, ignore_errors=True)

    def path(self, cell: Cell) -> Path:
        """The file that holds, or will hold, the truth of `cell`."""
        from odebench.truth import truth_path

        key = (cell.problem, cell.dtype, cell.batch, cell.seed)
        if key not in self._paths:
            self._paths[key] = truth_path(*key, self._folder(cell))
        return self._paths[key]

    def settled(self, path: Path) -> bool:
        """Whether nothing more can be done about it: it is there and whole, or cannot be had."""
        from odebench.truth import readable

        if path not in self._ready and path.is_file() and path not in self._running.values() and readable(path):
            self._ready.add(path)
        return path in self._ready or path in self._failed

    def under_way(self, path: Path) -> bool:
        """Whether a worker is at it."""
        return path in self._running.values()

    def trouble(self, path: Path) -> str | None:
        """Why it cannot be had, or None."""
        return self._failed.get(path)

    def job(self, path: Path, cell: Cell, suite: Suite, memory_share: float) -> Job:
        """The job that works it out."""
        payload = {
            "problem": cell.problem.to_data(), "dtype": cell.dtype, "batch": cell.batch, "seed": cell.seed,
            "path": str(path), "plugins": list(suite.plugins),
        }  # fmt: skip
        return Job("truth", payload, max(suite.measure.timeout, PATIENCE), memory_share=memory_share)

    def began(self, path: Path, worker: Worker) -> None:
        """A worker took it."""
        self._running[worker] = path

    def ended(self, worker: Worker) -> str | None:
        """The worker is done with it; says what went wrong, if something did."""
        path = self._running.pop(worker)
        if worker.status == "ok" and self.settled(path):
            return None
        self._failed[path] = worker.reason or "its worker wrote no file that can be read"
        return self._failed[path]

    def _folder(self, cell: Cell) -> Path:
        registry.load_shipped()
        if cell.problem.name in registry.problems.entries:
            return cache_folder() / "truth"
        # A plugin's, which this process does not load: its code may change between runs, and its name does not tell.
        self._passing = self._passing or tempfile.mkdtemp(prefix="odebench-truth-")
        return Path(self._passing)
