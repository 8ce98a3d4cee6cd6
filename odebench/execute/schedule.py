"""Which worker to start next: a cell's truth before the cell, GPU cells alone, CPU cells `jobs` at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from odebench.execute.crew import Job, Worker
from odebench.execute.truths import Truths
from odebench.plan import Planned
from odebench.record import Cell
from odebench.suite.loading import Suite

# torch imports the first when an optimiser is made: more than a second.
_OF_TRAINING = ("torch._dynamo", "torch.optim", "odebench.training.cell")


@dataclass(frozen=True)
class Task:
    """One thing to do: a cell, or the truth of one."""

    cell: Cell
    suite: Suite
    truth: Path | None  # of a cell, the truth it is judged by; of a truth, where it goes
    job: Job
    started: str = ""

    @property
    def is_cell(self) -> bool:
        return self.job.name in ("cell", "train")


class Schedule:
    """The cells still to come, in the order of the plan.

    Args:
        pending: cells with the suite they belong to.
        jobs: how many CPU cells may run at once.
        folder: of the results, where training runs leave checkpoints.
    """

    def __init__(self, pending: Iterable[tuple[Planned, Suite]], truths: Truths, jobs: int, folder: Path) -> None:
        self._folder = folder.resolve()
        self._pending = dict(enumerate(pending))
        self._truths = truths
        self._jobs = jobs
        self.running: dict[Worker, Task] = {}

    def refused(self) -> list[Planned]:
        """Take out the refused cells that are next in line."""
        if self._jobs == 1 and self.running:
            return []  # so that records come in the order of the plan
        found = []
        for index, (planned, _) in list(self._pending.items()):
            if planned.refusal is None:
                break
            found.append(planned)
            del self._pending[index]
        return found

    def next(self) -> Task | None:
        """What to start now; None if something that runs must end first, or nothing is left."""
        if len(self.running) >= self._jobs or any(_on_gpu(task) for task in self.running.values()):
            return None
        for index, (planned, suite) in self._pending.items():
            if planned.refusal is not None:
                continue
            if suite.training is not None:
                task = self._training(planned.cell, suite)
                if _on_gpu(task) and self.running:
                    return None
                del self._pending[index]
                return task
            truth = self._truths.path(planned.cell)
            if not self._truths.settled(truth):
                if self._truths.under_way(truth):
                    continue
                job = self._truths.job(truth, planned.cell, suite, 1 / self._jobs)
                return Task(planned.cell, suite, truth, job)
            task = self._cell(planned.cell, suite, truth)
            if _on_gpu(task) and self.running:
                return None  # its clock and its memory are not to be shared
            del self._pending[index]
            return task
        return None

    def _training(self, cell: Cell, suite: Suite) -> Task:
        assert suite.training is not None
        payload = {
            "cell": cell.to_data(),
            "measure": suite.measure.to_data(),
            "training": asdict(suite.training),
            "checkpoint": str(checkpoint_of(self._folder, cell)),
            "plugins": list(suite.plugins),
        }
        return Task(cell, suite, None, self._job("train", payload, cell, suite), now())

    def _cell(self, cell: Cell, suite: Suite, path: Path) -> Task:
        truth = None if self._truths.trouble(path) else path
        payload = {
            "cell": cell.to_data(),
            "measure": suite.measure.to_data(),
            "truth": None if truth is None else str(truth),
            "plugins": list(suite.plugins),
        }
        return Task(cell, suite, path, self._job("cell", payload, cell, suite), now())

    def _job(self, name: str, payload: dict[str, Any], cell: Cell, suite: Suite) -> Job:
        gpu = cell.device != "cpu"
        # cuBLAS reads this when it starts, and without it refuses to be deterministic.
        environment = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if gpu and suite.measure.deterministic else {}
        share = None if gpu else 1 / self._jobs
        modules = _OF_TRAINING if name == "train" else ()
        return Job(name, payload, suite.measure.timeout, gpu, share, suite.measure.threads, environment, modules)


def checkpoint_of(folder: Path, cell: Cell) -> Path:
    """Where a training run leaves what it needs to go on after a crash."""
    return folder / "checkpoints" / f"{sha256(f'{cell.suite}/{cell.key}'.encode()).hexdigest()[:24]}.pt"


def now() -> str:
    """UTC, to the second, as records show it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _on_gpu(task: Task) -> bool:
    return task.is_cell and task.cell.device != "cpu"
