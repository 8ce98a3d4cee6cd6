"""The run's end of its workers: starts them through the zygote, sleeps until one has something to say, ends them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

from odebench.errors import OdebenchError
from odebench.execute import confine, verdict
from odebench.execute.messages import Answer
from odebench.execute.nursery import Nursery, ZygoteLostError, tail, threads

_MERCY = 10.0  # seconds for the kernel to bury what was killed
_HEADS_UP = 0.25  # seconds before its timeout at which a worker is asked where it is


@dataclass(frozen=True)
class Job:
    """What one worker is to do: `name` is one of `jobs.py`, or `module:function`; `payload` is JSON-ready."""

    name: str
    payload: Any
    timeout: float | None = None  # seconds, for the worker's whole life
    fresh: bool = False  # a new interpreter instead of a fork; what CUDA needs
    memory_share: float | None = None  # of the memory available when it starts; None: no limit
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()  # what it imports that is slow to: imported once, for all forks to come


@dataclass(eq=False)
class Worker:
    """One running worker, and, once `Crew.wait` has returned it, how it ended."""

    job: Job
    pid: int
    pipe: int
    output: IO[bytes]
    faults: IO[bytes]
    started: float  # monotonic
    oom_kills: int
    answer: Answer = field(default_factory=Answer)
    code: int | None = None
    asked: bool = False  # where it is, since its time is nearly over
    overdue: bool = False
    orphaned: bool = False  # nobody will tell of its end: the zygote died under it
    buried_by: float = float("inf")
    status: str = ""
    reason: str = ""

    @property
    def deadline(self) -> float:
        """When to look after it next if it says nothing; monotonic seconds."""
        if self.overdue:
            return self.buried_by
        if self.job.timeout is None:
            return float("inf")
        ahead = 0.0 if self.asked else min(_HEADS_UP, self.job.timeout / 10)
        return self.started + self.job.timeout - ahead


class Crew:
    """All processes of a run. A context manager: leaving it ends every one of them.

    Raises:
        UsageError: this process is itself a worker, or was started by one.
    """

    def __init__(self, *, preload: bool = True) -> None:
        confine.refuse_inside()
        self.running: list[Worker] = []
        self.wakeups = 0  # how often `wait` was woken; a waiting run costs nothing between them
        self.heard: Callable[[Worker], None] = lambda worker: None  # called when a worker has said something
        self._preload = preload
        self._selector = selectors.DefaultSelector()
        self._nursery: Nursery | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, job: Job) -> Worker:
        """Start a worker.

        Raises:
            OdebenchError: no process can be started on this machine.
        """
        try:
            worker = self._fork(job, self._nursery or self._open_nursery())
        except ZygoteLostError:
            # It was killed since the last job. Twice in a row is no bad luck any more.
            self._lose_nursery()
            try:
                worker = self._fork(job, self._open_nursery())
            except ZygoteLostError as error:
                raise OdebenchError("workers cannot be started: what forks them is killed at once") from error
        self.running.append(worker)
        self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
        return worker

    def wait(self) -> list[Worker]:
        """Sleep until at least one worker has ended, and return those that have, with status and reason.

        Returns nothing only if none is running.
        """
        ended: list[Worker] = []
        while self.running and not ended:
            self._listen(min(worker.deadline for worker in self.running))
            now = time.monotonic()
            for worker in list(self.running):
                if worker.code is None and now >= worker.deadline:
                    self._overdue(worker, now)
                if worker.code is not None:
                    self._bury(worker)
                    ended.append(worker)
        return ended

    def close(self) -> None:
        """Kill every worker and the zygote."""
        for worker in self.running:
            _kill_group(worker.pid)
            os.close(worker.pipe)
            worker.output.close()
            worker.faults.close()
        self.running.clear()
        self._close_nursery()
        self._selector.close()

    def _listen(self, until: float) -> None:
        timeout = None if until == float("inf") else max(until - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Worker):
                self._drain(key.data)
            else:
                self._hear()
        self.wakeups += 1

    def _drain(self, worker: Worker) -> None:
        while True:
            try:
                chunk = os.read(worker.pipe, 1 << 20)
            except BlockingIOError:
                return
            if not chunk:
                # The worker closed its end, or ended; its end is reported by the zygote.
                self._forget(worker)
                return
            worker.answer.feed(chunk)
            self.heard(worker)
            if worker.answer.garbage and not worker.overdue:
                _kill_group(worker.pid)

    def _forget(self, worker: Worker) -> None:
        if worker.pipe in self._selector.get_map():
            self._selector.unregister(worker.pipe)

    def _overdue(self, worker: Worker, now: float) -> None:
        if not worker.asked:
            worker.asked = True
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGUSR1)  # faulthandler answers it with a traceback
            return
        if worker.overdue:
            # It does not die: it is in a system call that nobody can end, and must not be waited for.
            worker.orphaned, worker.code = True, -signal.SIGKILL
            return
        worker.overdue, worker.buried_by = True, now + _MERCY
        _kill_group(worker.pid)

    def _bury(self, worker: Worker) -> None:
        """Take down the rest of its group, read what it left, and decide how it ended."""
        assert worker.code is not None
        _kill_group(worker.pid)  # what it started; unreaped, its number is still its own
        self._drain(worker)
        self._forget(worker)
        self.running.remove(worker)
        if not worker.orphaned and self._nursery is not None:
            self._nursery.reap(worker.pid)
        output, faults = tail(worker.output), tail(worker.faults)
        for file in (worker.output, worker.faults):
            file.close()
        os.close(worker.pipe)
        answer = worker.answer
        # A worker that has not come to its own code yet dies of being asked.
        late = worker.overdue or (worker.asked and worker.code < 0)
        if late and not (answer.done or answer.failed or answer.garbage):
            assert worker.job.timeout is not None
            worker.status, worker.reason = verdict.of_timeout(worker.job.timeout, faults)
        elif worker.orphaned and not (answer.done or answer.failed):
            worker.status, worker.reason = "crashed", "the process that starts workers was killed while this one ran"
        else:
            starved = confine.oom_kills() > worker.oom_kills
            worker.status, worker.reason = verdict.of_end(answer, worker.code, output, faults, starved=starved)

    def _fork(self, job: Job, nursery: Nursery) -> Worker:
        started = time.monotonic()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        # Files and not pipes: a hundred megabytes of prints neither block the worker nor wake the run.
        output, faults = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by _bury
        try:
            with tempfile.TemporaryFile() as task:
                task.write(_task(job))
                task.flush()
                files = [task.fileno(), theirs, output.fileno(), faults.fileno()]
                nursery.fork(job.fresh, {**threads(job.threads), **job.environment}, files, job.modules)
            pid = self._forked(nursery)
        except BaseException:
            os.close(ours)
            output.close()
            faults.close()
            raise
        finally:
            os.close(theirs)
        return Worker(job, pid, ours, output, faults, started, confine.oom_kills())

    def _forked(self, nursery: Nursery) -> int:
        while True:
            for message in nursery.hear():
                if "forked" in message:
                    return int(message["forked"])
                self._ended(message)

    def _hear(self) -> None:
        assert self._nursery is not None
        try:
            for message in self._nursery.hear():
                self._ended(message)
        except ZygoteLostError:
            self._lose_nursery()

    def _ended(self, message: dict[str, Any]) -> None:
        for worker in self.running:
            if worker.pid == message.get("ended"):
                worker.code = message["code"]

    def _open_nursery(self) -> Nursery:
        self._nursery = Nursery(preload=self._preload)
        self._selector.register(self._nursery.connection, selectors.EVENT_READ)
        return self._nursery

    def _lose_nursery(self) -> None:
        """Its workers die with it; `wait` tells of them."""
        for worker in self.running:
            if worker.code is None:
                worker.orphaned, worker.code = True, -signal.SIGKILL
        self._close_nursery()

    def _close_nursery(self) -> None:
        if self._nursery is not None:
            with suppress(KeyError):  # interrupted before it was registered
                self._selector.unregister(self._nursery.connection)
            self._nursery.close()
            self._nursery = None


def _task(job: Job) -> bytes:
    task = {
        "job": job.name,
        "payload": job.payload,
        "path": [*sys.path, os.getcwd()],
        "memory_share": job.memory_share,
    }
    return json.dumps(task).encode()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of it is gone
        os.killpg(pid, signal.SIGKILL)
