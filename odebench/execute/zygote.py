"""A process that has torch imported, has never run an operation, and forks itself for each CPU cell.

A fork takes 0.03 s where a new interpreter takes 1 s to import torch, and is as well isolated: there is no OpenMP
thread and no allocator state to inherit. A fresh worker is forked too, and becomes a new interpreter at once. So every
process of a run has one guardian: it reports how its workers end, adopts and kills what they leave behind, and kills
all of them when the run that started it is gone, however that ended.

Spoken over a socket, one JSON object per line:

    to the zygote     {"fork": {"fresh": false, "environment": {…}}} with four open files      {"reap": pid}
    from the zygote   {"ready": true}   {"forked": pid}   {"ended": pid, "code": exit code or minus a signal}

A worker that ended stays unreaped until the run says so: until then nobody else can have its number, and it is safe to
kill its process group.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

from odebench.execute import confine, worker

# What a worker of a CPU cell will need. Imported, never called.
_PRELOADED = (
    "torch",
    # torch imports this, and with it all of sympy, when a vector-Jacobian product is first asked for: 0.4 s, which
    # would fall into what a cell measures.
    "torch.fx.experimental.symbolic_shapes",
    "odebench.measure.cell",
    "odebench.truth",
    "odebench.problems",
    "odebench.solvers",
    "odebench.controllers",
    "odebench.gradients",
    "odebench.measure.metrics",
)


def main(descriptor: int, preload: bool) -> NoReturn:
    """Serve the socket `descriptor` until its other end is closed."""
    confine.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if preload:
        _preload(_PRELOADED)
    with socket.socket(fileno=descriptor) as connection:
        connection.set_inheritable(False)
        Zygote(connection).serve()
    os._exit(0)


def _preload(modules: Iterable[str]) -> None:
    for name in modules:
        with suppress(ImportError):  # the worker that needs it will say what is missing
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that a collection in a worker neither walks nor copies what all of them share


class Zygote:
    """The serving loop; one thread, asleep unless there is something to do."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.alive: set[int] = set()
        self.ended: set[int] = set()
        self.pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()

    def serve(self) -> None:
        """Until the run closes its end, or is gone."""
        for name in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(name, lambda *_: None)
        signal.set_wakeup_fd(self.pipe[1])
        self._say({"ready": True})
        try:
            while True:
                readable, _, _ = select.select([self.connection.fileno(), self.pipe[0]], [], [])
                if self.pipe[0] in readable and signal.SIGTERM in os.read(self.pipe[0], 4096):
                    break
                self._report()
                if self.connection.fileno() in readable and not self._obey():
                    break
        except OSError:
            pass  # the run is gone
        finally:
            for pid in self.alive | self.ended:
                _kill_group(pid)
            self._reap(self.alive | self.ended)

    def _obey(self) -> bool:
        line, descriptors, _, _ = socket.recv_fds(self.connection, 1 << 16, 4)
        if not line:
            return False
        for each in line.splitlines():
            message = json.loads(each)
            if "reap" in message:
                self._reap({message["reap"]})
            elif "fork" in message:
                self._fork(message["fork"], descriptors)
        return True

    def _fork(self, order: dict[str, Any], descriptors: list[int]) -> None:
        if new := [] if order["fresh"] else [name for name in order["modules"] if name not in sys.modules]:
            _preload(new)
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_worker(me, order, descriptors, [*self.pipe, self.connection.fileno()])
        self.alive.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        self._say({"forked": pid})

    def _report(self) -> None:
        for pid in sorted(self.alive):
            code = _exit_code(pid)
            if code is not None:
                self.alive.discard(pid)
                self.ended.add(pid)
                self._say({"ended": pid, "code": code})

    def _reap(self, pids: set[int]) -> None:
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self.alive -= pids
        self.ended -= pids
        # A living worker adopts its own orphans, so whatever else is a child of ours was left by one that ended.
        for _ in range(1000):
            orphans = _children() - self.alive - self.ended
            if not orphans:
                break
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _say(self, message: dict[str, Any]) -> None:
        self.connection.sendall(json.dumps(message).encode() + b"\n")


def _become_worker(parent: int, order: dict[str, Any], descriptors: list[int], foreign: list[int]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in foreign:
            os.close(descriptor)
        os.setsid()
        confine.die_with_parent(parent)
        confine.adopt_orphans()
        os.environ.update(order["environment"])
        if order["fresh"]:
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
            program = [sys.executable, "-P", "-m", "odebench.execute.worker", *map(str, descriptors)]
            os.execv(sys.executable, program)
        job, results, output, faults = descriptors
        worker.main(job, results, output, faults)
    finally:
        os._exit(1)


def _exit_code(pid: int) -> int | None:
    """How the child `pid` ended, or None; it stays unreaped where the system can do that."""
    if hasattr(os, "waitid"):
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}
    except OSError:
        return set()


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Between its fork and its setsid a worker has no group of its own yet.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "preload")
