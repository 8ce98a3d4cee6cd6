"""How steady this machine is: one small solve, timed in blocks; and what torch says of itself. Runs in a worker."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import torch

from odebench import registry
from odebench.measure.cell import apply_settings
from odebench.measure.clock import first_call, time_solve, warm_up
from odebench.measure.peer_subject import build_alone
from odebench.record import Cell, Measure
from odebench.spec import Spec

_BLOCK = 0.005  # seconds that a block takes at least: far beyond what the clock can tell apart, as in a comparison


def measure_steadiness(payload: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """A worker's job: {"device", "seconds"} -> answer {"blocks", "busy", "torch"}.

    `blocks` are seconds of one solve, each the mean over a block of equally many; `busy` is the share of each block's
    time in which this process ran.
    """
    registry.load_shipped()
    measure = Measure()
    apply_settings(measure)
    # Of the kind that is measured here: a small neural field, odebench's own loop and backward pass, some milliseconds.
    cell = Cell(
        "doctor", Spec.of("mlp", {"dim": 8, "hidden": 32}), Spec("rk4"), Spec("aca"), Spec.of("fixed", {"steps": 8}),
        device=payload["device"], batch=32,
    )  # fmt: skip
    subject = build_alone(cell, measure)
    trial = subject.trial
    first_call(trial)
    warm_up(trial, measure.warmup, least=subject.warm_runs)
    gc.collect()
    gc.freeze()
    gc.disable()
    solves = ceil(_BLOCK / max(sum(time_solve(trial)), 1e-9))
    blocks: list[float] = []
    busy: list[float] = []
    end = time.perf_counter() + payload["seconds"]
    while not blocks or time.perf_counter() < end:
        wall, cpu, total = time.perf_counter(), time.process_time(), 0.0
        for _ in range(solves):
            trial.clear()
            total += sum(time_solve(trial))
        blocks.append(total / solves)
        busy.append((time.process_time() - cpu) / (time.perf_counter() - wall))
    send({"answer": {"blocks": blocks, "busy": busy, "torch": _build()}})


def _build() -> dict[str, Any]:
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "openmp": torch.backends.openmp.is_available(),  # type: ignore[no-untyped-call]
        "mkl": torch.backends.mkl.is_available(),  # type: ignore[no-untyped-call]
    }
