"""One cell, from its names to its figures. Runs in a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from odebench.errors import Divergence
from odebench.measure.claims import look_at_structure
from odebench.measure.clock import first_call, time_rounds, warm_up
from odebench.measure.count import Counts
from odebench.measure.foreign import ask_plugins, compare
from odebench.measure.match import match
from odebench.measure.peer_subject import build_beside, build_subject, library_of
from odebench.measure.statistics import time_metrics
from odebench.measure.subject import Subject, ran_out
from odebench.measure.trial import TorchTrial
from odebench.measure.weigh import process_peak_bytes
from odebench.record import Cell, Measure

Send = Callable[[dict[str, Any]], None]

# Of the timeout, what timing may use up; the rest is left for starting and reporting.
_SHARE_OF_TIMEOUT = 0.8

_AFTER_SEARCH = (
    "the search for the matched setting ran before in the same process: first_call_seconds starts warm, and "
    "process_peak_bytes and the peak of jax on a GPU include the search"
)


def measure_cell(cell: Cell, measure: Measure, truth: Path | None, send: Send) -> None:
    """First call, count, check, weigh, warm up, time: in this order, one gauge at a time.

    Where accuracy is to be matched the setting is searched before, and all the rest is of that setting.
    Each finding is sent as soon as it is there, so that a cell which dies later keeps it.

    Raises:
        Divergence: the solution or the gradient is not finite.
        SolveError: a solve could not go on.
        OutOfReach: no setting meets the error that is to be matched.
    """
    deadline = time.perf_counter() + _SHARE_OF_TIMEOUT * measure.timeout
    library = library_of(cell)
    send({"settings": apply_settings(measure) | ({} if library is None else library.versions)})
    if measure.match_error is not None:
        cell, found = match(cell, measure, truth)
        send({"settings": found, "notes": [_AFTER_SEARCH]})
    subject, twin = build_subject(cell, measure)
    trial = subject.trial
    if isinstance(trial, TorchTrial):
        send({"settings": {"gradient_bytes": trial.gradient_bytes}})
    send({"metrics": {"first_call_seconds": first_call(trial)}})
    counts = subject.count()
    send({"metrics": counts.metrics()})
    if counts.log.mesh:
        last = counts.log.mesh[-1]
        send({"mesh": [*(tick.t for tick in counts.log.mesh), last.t + last.dt]})
    if library is not None:
        compare(subject, counts, library, send)
    _check(subject, counts, truth, send)
    _weigh(subject, counts, send)
    ask_plugins(trial, send)
    look_at_structure(trial, send)
    beside, why = build_beside(cell, measure)
    if why is not None:
        send({"notes": [f"beside_ratio is empty: {why}"]})
    runs = warm_up(trial, measure.warmup, least=subject.warm_runs)
    if beside is not None:
        warm_up(beside, 1)  # its first call would stand in the first ratio
    rounds = time_rounds(trial, subject.bare(counts), measure.repeats, deadline, twin=twin, beside=beside)
    samples = rounds.samples()
    send({"samples": samples, "metrics": time_metrics(samples), "settings": {"warmup_runs": runs}})
    if len(rounds.forward) < measure.repeats:
        done = f"timed {len(rounds.forward)} of {measure.repeats} repeats: more would not fit in the timeout"
        send({"notes": [done]})


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


def _check(subject: Subject, counts: Counts, truth: Path | None, send: Send) -> None:
    try:
        metrics, gradient = subject.check(truth, lambda curves: send({"curves": curves}))
    except Divergence as error:
        send({"metrics": error.metrics})
        raise
    send({"metrics": metrics})
    try:
        discrete = subject.discrete(counts.log.rounds or counts.log.mesh, gradient)
    except (MemoryError, RuntimeError) as error:
        # Backpropagation through the same steps may need far more memory than the gradient that is measured.
        if not ran_out(error):
            raise
        subject.trial.clear()
        send({"notes": ["gradient_error_discrete is empty: its reference, direct, ran out of memory"]})
    else:
        send({"metrics": {} if discrete is None else {"gradient_error_discrete": discrete}})


def _weigh(subject: Subject, counts: Counts, send: Send) -> None:
    figures, notes = subject.weigh(counts)
    peak = process_peak_bytes()
    send({"metrics": figures if peak is None else figures | {"process_peak_bytes": peak}, "notes": notes})
