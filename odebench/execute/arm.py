"""One arm of a paired comparison: a fresh process that prepares cells, and times blocks of solves when it is told to.

It answers each line of JSON on stdin with one on stdout. A comparison of two revisions runs the arm of each revision's
own code, so this exchange is kept stable: what is added must be optional.

    {"open": {"plugins": […], "measure": {…}}}  ->  {"protocol": 1, "version": "…", "home": "…"}, and "plugins", those
                                                    that it loaded, as records have them
    {"cell": {…}, "bare": false}                ->  {"seconds": s} of one warm solve, or {"trouble": "a sentence"}
    {"time": n}                                 ->  {"forward_seconds": s, "backward_seconds": s}, means of n solves,
                                                    and "busy", the share of the time that the process ran; with
                                                    `bare` also "plain_seconds", "bare_forward_seconds" and
                                                    "bare_seconds", as `overhead` needs them

The end of stdin is the end of the process, so that an arm outlives nobody.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import odebench
from odebench import machine, registry
from odebench.execute import confine, verdict
from odebench.record import Cell, Measure

PROTOCOL = 1


class Arm:
    """What is prepared."""

    def __init__(self) -> None:
        self.measure = Measure()
        self.subject: Any = None
        self.bare: Any = None

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """One answer to one message; what goes wrong is an answer too."""
        if "open" in message:
            return self._open(message["open"])
        if "cell" in message:
            return self._prepare(Cell.from_data(message["cell"]), bool(message.get("bare")))
        return self._time(int(message["time"]))

    def _open(self, order: Mapping[str, Any]) -> dict[str, Any]:
        from odebench.measure.cell import apply_settings

        registry.load_builtins()
        for plugin in order["plugins"]:
            registry.load_plugin(plugin)
        self.measure = Measure.from_data(order["measure"])
        apply_settings(self.measure)
        gc.collect()
        gc.freeze()  # what was imported stays; to walk it at each collection takes longer than most cells
        return {
            "protocol": PROTOCOL, "version": machine.version(), "home": str(Path(odebench.__file__).parents[1]),
            "plugins": [each.to_record() for each in registry.loaded_plugins()],
        }  # fmt: skip

    def _prepare(self, cell: Cell, bare: bool) -> dict[str, Any]:
        from odebench.measure.clock import first_call, time_solve, warm_up
        from odebench.measure.peer_subject import build_alone

        self.subject = self.bare = None  # what was there is let go of first
        gc.enable()
        gc.collect()
        self.subject = build_alone(cell, self.measure)
        trial = self.subject.trial
        first_call(trial)
        if bare:
            self.bare = self.subject.bare(self.subject.count())
        warm_up(trial, self.measure.warmup, least=self.subject.warm_runs)
        trial.clear()
        gc.collect()
        gc.disable()  # a collection would be charged to whichever arm it happens in
        return {"seconds": sum(time_solve(trial))}

    def _time(self, solves: int) -> dict[str, Any]:
        from odebench.measure.clock import time_solve, timed

        trial = self.subject.trial
        rows: list[tuple[float, ...]] = []
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(solves):
            trial.clear()
            row: tuple[float, ...] = time_solve(trial)
            if self.bare is not None:
                trial.clear()
                loops: tuple[Callable[[], None], ...] = (trial.forward_plain, self.bare.forward, self.bare.both)
                row += tuple(timed(loop, trial.sync) for loop in loops)
            rows.append(row)
        trial.clear()
        busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
        names = ("forward_seconds", "backward_seconds", "plain_seconds", "bare_forward_seconds", "bare_seconds")
        means = {name: sum(column) / solves for name, column in zip(names, zip(*rows, strict=True), strict=False)}
        return means | {"busy": busy}


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Until `orders` ends."""
    arm = Arm()
    for line in orders:
        try:
            said = arm.answer(json.loads(line))
        except BaseException as error:  # a plugin may raise anything
            status, reason = verdict.of_exception(error)
            said = {"trouble": f"{status}: {reason}"}
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()


def main() -> NoReturn:
    """The process."""
    confine.die_with_parent(os.getppid())
    confine.yield_memory_first()
    confine.mark()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the comparison, which then closes stdin
    # Whatever a plugin prints must not be taken for an answer.
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    with suppress(OSError):
        serve(orders, answers)
    os._exit(0)  # torch takes 0.3 s to shut down


if __name__ == "__main__":
    sys.exit(main())
