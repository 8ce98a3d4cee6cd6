"""One cell, from its names to its figures. Runs in a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from odebench import registry
from odebench.errors import Divergence
from odebench.measure.bare import BareLoop
from odebench.measure.check import check, check_discrete
from odebench.measure.clock import first_call, time_rounds, warm_up
from odebench.measure.count import Counts, count
from odebench.measure.statistics import time_metrics
from odebench.measure.trial import NativeTrial
from odebench.measure.weigh import MOST_EVALUATIONS, process_peak_bytes, weigh
from odebench.problems import bind
from odebench.record import Cell, Measure

Send = Callable[[dict[str, Any]], None]

# Of the timeout, what timing may use up; the rest is left for starting and reporting.
_SHARE_OF_TIMEOUT = 0.8


def measure_cell(cell: Cell, measure: Measure, truth: Path | None, send: Send) -> None:
    """First call, count, check, weigh, warm up, time: in this order, one gauge at a time.

    Each finding is sent as soon as it is there, so that a cell which dies later keeps it.

    Raises:
        Divergence: the solution or the gradient is not finite.
        SolveError: a solve could not go on.
    """
    deadline = time.perf_counter() + _SHARE_OF_TIMEOUT * measure.timeout
    send({"settings": apply_settings(measure)})
    trial = build_trial(cell)
    send({"metrics": {"first_call_seconds": first_call(trial)}})
    counts = count(trial)
    mesh = counts.log.mesh
    send({"metrics": counts.metrics(), "mesh": [*(tick.t for tick in mesh), trial.bound.ts[-1]]})
    _check(trial, counts, truth, send)
    _weigh(trial, counts, send)
    for entry in registry.metrics:
        if entry.source != "odebench":
            send({"metrics": {entry.name: float(entry.factory(trial))}})
    runs = warm_up(trial, measure.warmup)
    rounds = time_rounds(trial, BareLoop.of(trial.bound, counts), measure.repeats, deadline)
    samples = rounds.samples()
    send({"samples": samples, "metrics": time_metrics(samples), "settings": {"warmup_runs": runs}})
    if len(rounds.forward) < measure.repeats:
        send(
            {"notes": [f"timed {len(rounds.forward)} of {measure.repeats} repeats: more would not fit in the timeout"]}
        )


def build_trial(cell: Cell) -> NativeTrial:
    """The solve that `cell` names."""
    bound = bind(cell.problem, batch=cell.batch, seed=cell.seed, dtype=cell.dtype, device=cell.device)
    return NativeTrial.of(
        bound,
        registry.solvers.build(cell.solver),
        registry.gradients.build(cell.gradient),
        registry.steppings.build(cell.stepping),
    )


def apply_settings(measure: Measure) -> dict[str, Any]:
    """Set threads, TF32 and determinism for this process; what was set."""
    torch.set_num_threads(measure.threads)
    torch.backends.cuda.matmul.allow_tf32 = measure.tf32
    torch.backends.cudnn.allow_tf32 = measure.tf32
    if measure.deterministic:  # the call imports torch._inductor, a second in every cell
        torch.use_deterministic_algorithms(True)
    return {
        "threads": measure.threads,
        "tf32": measure.tf32,
        "deterministic": measure.deterministic,
        "torch": torch.__version__,
    }


def _check(trial: NativeTrial, counts: Counts, truth: Path | None, send: Send) -> None:
    try:
        metrics, gradient = check(trial, truth)
    except Divergence as error:
        send({"metrics": error.metrics})
        raise
    send({"metrics": metrics})
    try:
        send({"metrics": {"gradient_error_discrete": check_discrete(trial, counts.log.mesh, gradient)}})
    except (MemoryError, RuntimeError) as error:
        # Backpropagation through the same steps may need far more memory than the gradient that is measured.
        if not _ran_out(error):
            raise
        trial.clear()
        send({"notes": ["gradient_error_discrete is empty: its reference, direct, ran out of memory"]})


def _weigh(trial: NativeTrial, counts: Counts, send: Send) -> None:
    if not trial.bound.y0.is_cuda and counts.nfe_forward + counts.nfe_backward > MOST_EVALUATIONS:
        send({"notes": [f"memory is not weighed on a CPU beyond {MOST_EVALUATIONS} evaluations of f"]})
    else:
        send({"metrics": weigh(trial)})
    peak = process_peak_bytes()
    if peak is not None:
        send({"metrics": {"process_peak_bytes": peak}})


def _ran_out(error: BaseException) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
