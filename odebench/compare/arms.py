"""The driver's end of an arm: one fresh process of one tree's code, asked one thing at a time."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from odebench.compare.trees import Tree
from odebench.errors import OdebenchError, UsageError
from odebench.execute.nursery import tail, threads

PROTOCOL = 1  # of odebench/execute/arm.py
_START = 180.0  # seconds for torch to be imported, on a bad day


class ArmLost(OdebenchError):
    """The process is gone, or does not answer; nothing can be asked of it any more."""


class ArmTrouble(OdebenchError):
    """It could not do what it was asked, and is still there."""


class Arm:
    """A running arm. `close` it, always: it waits for orders as long as its stdin is open.

    Raises:
        OdebenchError: no such process can be started.
    """

    def __init__(self, tree: Tree, plugins: list[str], measure: Mapping[str, Any]) -> None:
        self.tree = tree
        self._order = {"plugins": [tree.place(each) for each in plugins], "measure": dict(measure)}
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        environment = {**tree.environment, **threads(int(measure.get("threads", 1))), "PYTHONHASHSEED": "random"}
        environment |= {"KINETO_LOG_LEVEL": "99", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        try:
            self._process = subprocess.Popen(
                [tree.python, "-P", "-m", "odebench.execute.arm"], env=environment, cwd=tree.root,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._words.close()
            raise OdebenchError(f"{tree.python} cannot be started: {error.strerror or error}") from error

    def open(self) -> None:
        """Wait until it is there: several are started first, and then opened.

        Raises:
            UsageError: it is no odebench, one that is too old for this, or it loaded other code than its tree's.
        """
        try:
            said = self.ask({"open": self._order}, _START)
        except ArmLost as error:
            old = "odebench.execute.arm" in str(error)
            hint = "; it is older than comparisons of times: gate what is exact with --fail-on exact" if old else ""
            raise UsageError(f"{self.tree.label}: cannot be timed: {error}{hint}") from error
        if said.get("protocol") != PROTOCOL:
            raise UsageError(
                f"{self.tree.label}: odebench {said.get('version')} speaks another protocol of comparisons "
                f"({said.get('protocol')}, here {PROTOCOL}); compare results folders of both instead"
            )
        self.tree.require_sources(said.get("plugins"))

    def ask(self, message: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Its answer, within `patience` seconds.

        Raises:
            ArmLost: there is none.
            ArmTrouble: it says why it cannot.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
            line = _line(self._process.stdout, patience)
        except TimeoutError as error:
            raise ArmLost(f"no answer within {patience:.0f} s") from error
        except (OSError, EOFError) as error:
            raise ArmLost(self._last_words()) from error
        said: dict[str, Any] = json.loads(line)
        if "trouble" in said:
            raise ArmTrouble(said["trouble"])
        return said

    def close(self) -> None:
        """End the process and all it started."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._words.close()

    def _last_words(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        lines = tail(self._words).strip().splitlines()
        code = self._process.returncode
        ended = f"ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"its process {ended}{f': {lines[-1]}' if lines else ''}"


def _line(stream: IO[bytes], patience: float) -> bytes:
    """One line of an unbuffered reader's pipe."""
    deadline, line = time.monotonic() + patience, b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise TimeoutError
        chunk = os.read(stream.fileno(), 1 << 16)  # one line per question, so that nothing of the next is read
        if not chunk:
            raise EOFError
        line += chunk
    return line
