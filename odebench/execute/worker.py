"""The worker process: one job, and it ends. Forked from the zygote, or started fresh by it with `python -m`.

It is given four open files: the job (JSON), the pipe for its messages, and two files without a name, one for what is
printed and one for faulthandler's tracebacks.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

from odebench.execute import confine, jobs, messages, verdict


def main(job: int, results: int, output: int, faults: int) -> NoReturn:
    """Run the job that can be read from the file descriptor `job`, and end the process."""
    code = 1
    try:
        task = _read(job)
        results, faults = _settle(results, output, faults)
        faulthandler.enable(file=faults, all_threads=False)
        # The run asks where a worker is before it kills it. `dump_traceback_later` was rejected: it reads the stack
        # from another thread while the interpreter moves on, and has crashed workers that were only slow.
        faulthandler.register(signal.SIGUSR1, file=faults, all_threads=False)
        confine.yield_memory_first()
        confine.limit_resources(task["memory_share"])
        _perform(task, results)
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(code)  # torch takes 0.3 s to shut down, and a plugin's own exit handlers may hang


def _perform(task: dict[str, Any], results: int) -> None:
    try:
        sys.path.extend(entry for entry in task["path"] if entry not in sys.path)
        jobs.find(task["job"])(task["payload"], lambda message: messages.send(results, message))
        _flush()
        last: dict[str, Any] = {"done": True}
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: a plugin may raise anything
        confine.lift_memory_limit()
        status, reason = verdict.of_exception(error)
        last = {"failed": {"status": status, "reason": reason}}
        sys.excepthook(type(error), error, error.__traceback__)
        _flush()
    messages.send(results, last)


def _read(job: int) -> dict[str, Any]:
    with os.fdopen(job, "rb") as file:
        file.seek(0)
        task: dict[str, Any] = json.load(file)
    return task


def _settle(results: int, output: int, faults: int) -> tuple[int, int]:
    """Point the standard streams where they belong, and keep every other file from processes that a plugin starts."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in (nothing, output):
        os.close(descriptor)
    for descriptor in (results, faults):
        os.set_inheritable(descriptor, False)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(name, signal.SIG_DFL)
    return results, faults


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # what a plugin put there, or a file that is full
            stream.flush()


if __name__ == "__main__":
    confine.die_with_parent(os.getppid())
    main(*(int(argument) for argument in sys.argv[1:5]))
