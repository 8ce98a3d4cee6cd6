"""The run's line to its zygote: started when it is first needed, and again if somebody killed it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import odebench
from odebench.errors import OdebenchError
from odebench.execute import confine, verdict

_START = 300.0  # seconds for the zygote to import torch, on a bad day
_MERCY = 10.0  # seconds for it to end by itself
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ZygoteLostError(Exception):
    """The zygote does not answer any more; somebody killed it."""


class Nursery:
    """A zygote and the socket to it. `preload`: whether it imports torch, which takes a second and saves one per cell.

    Raises:
        OdebenchError: no process can be started on this machine.
    """

    def __init__(self, *, preload: bool) -> None:
        self._torn = b""
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.connection, theirs = socket.socketpair()
        program = [sys.executable, "-P", "-m", "odebench.execute.zygote", str(theirs.fileno())]
        with theirs:
            # A session of its own: a Ctrl-C at the terminal is for the run, which then ends what it started.
            self._process = subprocess.Popen(
                [*program, "preload" if preload else "bare"], env=_environment(), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=self._words, stderr=self._words, start_new_session=True,
            )  # fmt: skip
        self.connection.settimeout(_START)
        try:
            self.hear()
        except ZygoteLostError as error:
            said = verdict.sentence(tail(self._words)[-300:])
            self._kill()
            raise OdebenchError(f"workers cannot be started with {sys.executable}: {said or 'no answer'}") from error
        except BaseException:
            self._kill()  # interrupted; it has no worker yet
            raise

    def fork(self, fresh: bool, environment: Mapping[str, str], files: list[int], modules: Sequence[str] = ()) -> None:
        """Ask for a worker with these four open files. The answer, `{"forked": pid}`, is to be heard."""
        order = {"fork": {"fresh": fresh, "environment": dict(environment), "modules": list(modules)}}
        try:
            socket.send_fds(self.connection, [json.dumps(order).encode() + b"\n"], files)
        except OSError as error:
            raise ZygoteLostError from error

    def hear(self) -> list[dict[str, Any]]:
        """What the zygote has to say; waits until there is something.

        Raises:
            ZygoteLostError: it is gone.
        """
        try:
            chunk = self.connection.recv(1 << 16)
        except OSError as error:
            raise ZygoteLostError from error
        if not chunk:
            raise ZygoteLostError
        *lines, self._torn = (self._torn + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def reap(self, pid: int) -> None:
        """Let go of an ended worker's number, and of what it left behind."""
        with suppress(OSError):  # the next `hear` finds out
            self.connection.sendall(json.dumps({"reap": pid}).encode() + b"\n")

    def close(self) -> None:
        """End the zygote, and with it every worker."""
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_MERCY)
        self._kill()

    def _kill(self) -> None:
        self.connection.close()
        self._process.kill()  # nothing happens if it has ended
        self._process.wait()
        self._words.close()


def threads(count: int) -> dict[str, str]:
    """The environment in which numerical libraries use `count` threads."""
    return dict.fromkeys(_THREADS, str(count))


def tail(file: IO[bytes], longest: int = 1 << 16) -> str:
    """The end of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - longest, 0))
    return file.read().decode(errors="replace")


def _environment() -> dict[str, str]:
    """What the zygote, and so every worker, starts with."""
    environment = {**os.environ, **threads(1), "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "", **confine.marked()}
    environment["KINETO_LOG_LEVEL"] = "99"  # or the profiler's first start prints to stderr
    root = Path(odebench.__file__).parents[1]
    if root.name not in ("site-packages", "dist-packages"):
        # A checkout that is not installed. The workers' `-P` keeps the current folder out: its `random.py` is not ours.
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *([known] if known else [])])
    return environment
