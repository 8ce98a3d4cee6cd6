"""What is measured of a model in training, apart from its loss: quality, exactness, memory, hardness, extra cost."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive
from odebench.errors import SolveError
from odebench.gradients import Direct, StoreAll, Sweep
from odebench.measure.check import relative
from odebench.measure.weigh import MOST_EVENTS, peak_bytes
from odebench.regularisers.global_error import StepStiffness
from odebench.regularisers.stiffness import STABILITY
from odebench.spec import Spec
from odebench.training.descent import Descent, loss_of_both
from odebench.training.solving import Counts, Solving
from odebench.workloads.workload import Task, Workload, streams

_TRUTH = 1e-9  # rtol and atol of the gradient that counts as the true one, by dopri8
_TOLERANCE = 1e-6  # at which the hardness of a field is told
_PROBE = 10**6  # the number of a minibatch that training never comes to
_ROUNDS = 5
_MOST = 2000  # trials of those solves; a field with kinks takes far more, and its figures are then left empty
_EVENTS = 200  # allocations and releases that come with an evaluation of f and its gradient, at most


def evaluate(task: Task, solve: Solving) -> dict[str, float]:
    """Quality on held-out data, by the model as it is used: no regulariser, no graph.

    Also `nfe_predict`, evaluations of f a solve, and `predict_seconds` of the whole evaluation.
    """
    plain = Solving(solve.stepper, Direct(), solve.control)
    task.model.eval()
    began = time.perf_counter()
    with torch.no_grad():
        figures = dict(task.evaluate(plain))
    took = time.perf_counter() - began
    task.model.train()
    if plain.counts.solves:
        figures |= {"nfe_predict": plain.counts.calls / plain.counts.solves}
    return figures | {"predict_seconds": took}


def memory(descent: Descent) -> int | None:
    """Peak bytes of one gradient of the loss, above the model and the optimiser; the gradients themselves included.

    None where it would take more allocations on a CPU than can be listed.
    """
    device = next(descent.task.model.parameters()).device
    with torch.no_grad():  # also so that what is allocated once for good lies below the floor
        descent.forward(_PROBE)
    if device.type == "cpu" and descent.solve.counts.calls * _EVENTS > MOST_EVENTS:
        return None

    def run() -> None:
        loss, penalty = descent.forward(_PROBE)
        loss_of_both(loss, penalty, descent.weight).backward()  # type: ignore[no-untyped-call]

    found = peak_bytes(run, device)
    descent.optimiser.zero_grad(set_to_none=True)
    return found


class Judge:
    """The same model in float64, solved far more tightly: what gradients and fields are judged by."""

    def __init__(self, workload: Workload, seed: int, device: torch.device) -> None:
        self.task = workload.build(seed, torch.float64, device)

    def gradient_error(self, descent: Descent) -> float | None:
        """‖g − g*‖ / ‖g*‖ of a minibatch's loss, g* by dopri8 at 1e-9; None where that cannot be had."""
        got = _gradient(descent.task, replace(descent.solve, regulariser=None), descent.batch)
        tight = Adaptive(_TRUTH, _TRUTH, max_steps=_MOST)
        truth = Solving(registry.solvers.build(Spec("dopri8")), Sweep(StoreAll()), tight)
        self._take(descent)
        try:
            return relative(got, _gradient(self.task, truth, descent.batch))
        except SolveError:
            return None

    def hardness(self, descent: Descent) -> dict[str, float]:
        """Of the learnt field: `hardness_steps`, as tsit5 takes at 1e-6, and `stiffness`, its largest estimate."""
        loose = Adaptive(_TOLERANCE, _TOLERANCE, max_steps=_MOST)
        solve = Solving(registry.solvers.build(Spec("tsit5")), Direct(), loose, StepStiffness(form="code"))
        self._take(descent)
        solve.begin(streams(0))
        try:
            with torch.no_grad():
                self.task.loss(_PROBE, descent.batch, solve)
        except SolveError:
            return {}
        if not solve.counts.solves or solve.penalty is None:
            return {}
        return {
            "hardness_steps": solve.counts.steps / solve.counts.solves,
            "stiffness": float(solve.penalty) / solve.counts.solves * STABILITY,
        }

    def _take(self, descent: Descent) -> None:
        self.task.model.load_state_dict(descent.task.model.state_dict())


def discrete_error(descent: Descent) -> float:
    """The gradient of a minibatch's loss against backpropagation through the very same steps."""
    solve = replace(descent.solve, regulariser=None)
    got = _gradient(descent.task, solve, descent.batch)
    return relative(got, _gradient(descent.task, replace(solve, gradient=Direct()), descent.batch))


def regulariser_cost(descent: Descent) -> dict[str, float]:
    """Time of a gradient with the regulariser over one without, alternating, and the evaluations of f it adds."""
    with_it = descent.solve
    without = replace(with_it, regulariser=None)
    ratios, calls = [], 0
    for _ in range(_ROUNDS):
        bare, took = _timed(descent, without), _timed(descent, with_it)
        ratios.append(took / bare)
        calls = with_it.counts.calls - without.counts.calls
    descent.solve = with_it
    return {"regulariser_ratio": median(ratios), "regulariser_nfe": calls}


def _timed(descent: Descent, solve: Solving) -> float:
    descent.solve = solve
    began = time.perf_counter()
    loss, penalty = descent.forward(_PROBE)
    loss_of_both(loss, penalty, descent.weight).backward()  # type: ignore[no-untyped-call]
    took = time.perf_counter() - began
    descent.optimiser.zero_grad(set_to_none=True)
    return took


def _gradient(task: Task, solve: Solving, batch: int) -> Tensor:
    """Of the loss of a minibatch that training never sees, with respect to all that is trained; flat, float64."""
    solve.counts = Counts()
    solve.begin(streams(0))
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    loss = task.loss(_PROBE, batch, solve)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
    return torch.cat([g.detach().to("cpu", torch.float64).reshape(-1) for g in flat])
