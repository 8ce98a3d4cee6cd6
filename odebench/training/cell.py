"""One training run, from its names to its figures. Runs in a worker process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from odebench import registry
from odebench.controllers import as_told
from odebench.errors import Divergence, SolveError
from odebench.measure.cell import apply_settings
from odebench.measure.subject import ran_out
from odebench.provenance import behind, joint_digest
from odebench.record import Cell, Measure, Training
from odebench.spec import Spec
from odebench.training import gauges
from odebench.training.descent import PER_STEP, Checkpoint, Descent, History, make_optimiser, steps_of
from odebench.training.solving import Solving
from odebench.workloads.workload import Workload

Send = Callable[[dict[str, Any]], None]

_FIRST, _MOST = 200, 2000  # of the curves: steps kept one by one, and in all


def train_cell(cell: Cell, measure: Measure, training: Training, checkpoint: Path | None, send: Send) -> None:
    """Train the model, evaluating on the way; then what is judged at the end.

    Each finding is sent as soon as it is there. With a checkpoint in its file the run goes on from it, to the same
    numbers.

    Raises:
        Divergence: the loss is not finite.
        SolveError: a solve could not go on.
        DataError: files of the user's cannot be used.
    """
    send({"settings": apply_settings(measure)})
    torch.manual_seed(cell.seed)
    workload, term = _made(cell)
    device, dtype = torch.device(cell.device), getattr(torch, cell.dtype)
    task = workload.build(cell.seed, dtype, device)
    task.model.train()
    solve = Solving(
        registry.solvers.build(cell.solver), registry.gradients.build(cell.gradient),
        as_told(registry.steppings.build(cell.stepping)), term,
    )  # fmt: skip
    descent = Descent(task, solve, training, make_optimiser(task, workload, training), cell.batch, cell.seed)
    evaluations: History = {}
    file = Checkpoint(checkpoint, _identity(cell, training), training.checkpoint_every)
    said = file.load(descent, evaluations)
    send({"notes": [said] if said else [], "settings": _about(workload, task, training)})
    judge = gauges.Judge(workload, cell.seed, device)
    if not descent.step:
        _evaluate(descent, evaluations)
        # Kept with the evaluations, so that a run that goes on later still has it.
        first = judge.gradient_error(descent)
        evaluations |= {} if first is None else {"gradient_error_start": [first]}
    _train(descent, evaluations, file, send)
    _report(workload, descent, evaluations, judge, send)


def _made(cell: Cell) -> tuple[Workload, Any]:
    """(the workload, its regulariser or None)."""
    options = dict(cell.problem.options)
    named = options.pop("regulariser", None)
    workload: Workload = registry.workloads.get(cell.problem.name).build(options)
    term = None if named in (None, "none") else registry.regularisers.build(Spec.from_data(named))
    return workload, term


def _train(descent: Descent, evaluations: History, file: Checkpoint, send: Send) -> None:
    every = descent.training.evaluate_every or max(1, descent.training.steps // 10)
    try:
        for due in steps_of(descent, every):
            if due:
                _evaluate(descent, evaluations)
                send({"metrics": _means(descent.history), "samples": _curves(descent, evaluations)})
            file.save(descent, evaluations, due=descent.step == descent.training.steps)
    except (Divergence, SolveError):
        send({"metrics": _means(descent.history), "samples": _curves(descent, evaluations)})
        raise


def _evaluate(descent: Descent, evaluations: History) -> None:
    figures = gauges.evaluate(descent.task, descent.solve) | {"step": float(descent.step)}
    try:
        found = gauges.memory(descent)
        figures |= {} if found is None else {"memory": float(found)}
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
    for name, figure in figures.items():
        evaluations.setdefault(f"evaluated_{name}", []).append(figure)


def _report(workload: Workload, descent: Descent, evaluations: History, judge: gauges.Judge, send: Send) -> None:
    last = {name.removeprefix("evaluated_"): values[-1] for name, values in evaluations.items() if values}
    last.pop("step", None)
    last.pop("memory", None)
    metrics = _means(descent.history) | last | {"train_steps": descent.step}
    if "evaluated_memory" in evaluations:
        metrics["peak_memory_bytes"] = int(max(evaluations["evaluated_memory"]))
    metrics |= _time_to_target(workload, descent, evaluations)
    send({"metrics": metrics, "samples": _curves(descent, evaluations)})
    send({"metrics": {"gradient_error_discrete": gauges.discrete_error(descent)}})
    send({"metrics": _named("gradient_error", judge.gradient_error(descent)) | judge.hardness(descent)})
    if descent.solve.regulariser is not None:
        send({"metrics": gauges.regulariser_cost(descent)})


def _means(history: History) -> dict[str, float]:
    """Figures of a training step, over all of them: medians of times, means of counts."""
    if not history["loss"]:
        return {}
    forward, backward = history["forward_seconds"], history["backward_seconds"]
    sums = [a + b for a, b in zip(forward, backward, strict=True)]
    tail = history["loss"][-max(1, len(sums) // 10) :]
    return {
        "loss": fmean(tail),  # of the last tenth of the steps
        "nfe_forward": fmean(history["nfe_forward"]),
        "nfe_backward": fmean(history["nfe_backward"]),
        "steps": fmean(history["ode_steps"]),
        "forward_seconds": median(forward),
        "backward_seconds": median(backward),
        "wall_seconds": median(sums),
        "train_seconds": sum(sums),
    }


def _time_to_target(workload: Workload, descent: Descent, evaluations: History) -> dict[str, float]:
    """Seconds of training until the quality first met the target at an evaluation."""
    target = descent.training.target
    if target is None:
        return {}
    sign = 1 if workload.better == "higher" else -1
    pairs = zip(evaluations["evaluated_step"], evaluations["evaluated_quality"], strict=True)
    step = next((int(step) for step, quality in pairs if sign * quality >= sign * target), None)
    if step is None:
        return {}
    history = descent.history
    return {"seconds_to_target": sum(history["forward_seconds"][:step]) + sum(history["backward_seconds"][:step])}


def _curves(descent: Descent, evaluations: History) -> History:
    """The history, every step of the first 200 and evenly thinned beyond, under `trained_*`; and the evaluations."""
    count = len(descent.history["loss"])
    stride = max(1, -(-(count - _FIRST) // (_MOST - _FIRST)))
    kept = [i for i in range(count) if i < _FIRST or (i - _FIRST) % stride == 0 or i == count - 1]
    curves = {f"trained_{name}": [descent.history[name][i] for i in kept] for name in PER_STEP}
    return curves | {"trained_step": [float(i) for i in kept]} | evaluations


def _about(workload: Workload, task: Any, training: Training) -> dict[str, Any]:
    count = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
    return {
        "quality": workload.quality,
        "better": workload.better,
        "parameters": count,
        "training": training.to_data(),
    }


def _named(name: str, figure: float | None) -> dict[str, float]:
    return {} if figure is None else {name: figure}


def _identity(cell: Cell, training: Training) -> str:
    """What a checkpoint must have been made for."""
    settled = replace(training, checkpoint_every=0.0)
    code = joint_digest(behind(cell, registry.loaded_plugins()))  # an edited plugin is another model, or another solver
    return json.dumps([cell.to_data(), settled.to_data(), *([code] if code else [])], sort_keys=True)
