"""The optimiser's loop, and what it leaves on the disk so that a killed run goes on as if nothing had been."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odebench.errors import Divergence
from odebench.record import Training
from odebench.regularisers.regulariser import WeightTerm, annealed
from odebench.training.solving import Solving
from odebench.workloads.workload import Task, Workload, streams

_NOISE = 7  # the stream of what regularisers draw, apart from those of data and models

History = dict[str, list[float]]
PER_STEP = ("loss", "penalty", "forward_seconds", "backward_seconds", "nfe_forward", "nfe_backward", "ode_steps")


@dataclass
class Descent:
    """A model on its way down. `history` has one number per training step under each name of `PER_STEP`."""

    task: Task
    solve: Solving
    training: Training
    optimiser: torch.optim.Optimizer
    batch: int
    seed: int
    step: int = 0
    history: History = field(default_factory=lambda: {name: [] for name in PER_STEP})

    def advance(self) -> None:
        """One step of training.

        Raises:
            Divergence: the loss or the gradient is not finite.
        """
        self._set_rate()
        began = time.perf_counter()
        loss, penalty = self.forward(self.step)
        middle, forward = self._clock(), self.solve.counts.calls
        loss_of_both(loss, penalty, self.weight).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        ended = self._clock()
        figures = (
            float(loss.detach()), 0.0 if penalty is None else float(penalty.detach()), middle - began, ended - middle,
            forward, self.solve.counts.calls - forward, self.solve.counts.steps,
        )  # fmt: skip
        for name, figure in zip(PER_STEP, figures, strict=True):
            self.history[name].append(figure)
        if not isfinite(figures[0]) or not isfinite(figures[1]):
            raise Divergence(f"the loss is not finite at training step {self.step}; take a smaller lr")
        self.step += 1

    def forward(self, step: int) -> tuple[Tensor, Tensor | None]:
        """(the loss, what the regulariser adds) of a training step, with graphs; `.grad` is empty afterwards."""
        self.optimiser.zero_grad(set_to_none=True)
        self.solve.begin(streams(self.seed, _NOISE, step))
        loss = self.task.loss(step, self.batch, self.solve)
        term = self.solve.regulariser
        return loss, term.penalty(self.task) if isinstance(term, WeightTerm) else self.solve.penalty

    @property
    def weight(self) -> float:
        """Of the regulariser, now."""
        term = self.solve.regulariser
        if term is None:
            return 0.0
        return annealed(term.weight, getattr(term, "weight_end", None), self.step, self.training.steps)

    def _set_rate(self) -> None:
        for group in self.optimiser.param_groups:
            first = group["initial_lr"]
            group["lr"] = annealed(first, self.training.lr_end, self.step, self.training.steps)

    def _clock(self) -> float:
        if torch.cuda.is_available() and next(self.task.model.parameters()).is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


def loss_of_both(loss: Tensor, penalty: Tensor | None, weight: float) -> Tensor:
    """What is differentiated."""
    return loss if penalty is None or not weight else loss + weight * penalty


def make_optimiser(task: Task, workload: Workload, training: Training) -> torch.optim.Optimizer:
    """That of the suite, or else of the workload."""
    name, lr = training.optimiser or workload.optimiser, training.lr or workload.lr
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    more: dict[str, Any] = {"lr": lr, "weight_decay": training.weight_decay}
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam,
        "adamax": torch.optim.Adamax,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
        "sgd": torch.optim.SGD,
    }
    if name in ("sgd", "rmsprop"):
        more["momentum"] = training.momentum
    made = kinds[name](parameters, **more)
    for group in made.param_groups:
        group["initial_lr"] = lr
    return made


@dataclass
class Checkpoint:
    """A file with all that a descent is, written whole or not at all. `identity` says what run it belongs to."""

    path: Path | None
    identity: str
    every: float  # seconds
    _last: float = field(default_factory=time.monotonic)

    def save(self, descent: Descent, evaluations: History, due: bool = False) -> None:
        """Write it, if it is `due` or the last one is old enough."""
        if self.path is None or not (due or time.monotonic() - self._last >= self.every):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        with temporary.open("wb") as file:
            torch.save(
                {
                    "identity": self.identity,
                    "step": descent.step,
                    "model": descent.task.model.state_dict(),
                    "optimiser": descent.optimiser.state_dict(),
                    "history": descent.history,
                    "evaluations": evaluations,
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self._last = time.monotonic()

    def load(self, descent: Descent, evaluations: History) -> str | None:
        """Go on from it, if it is there and of this run; a sentence if it was there."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            held = torch.load(self.path, map_location="cpu", weights_only=True)
            if held["identity"] != self.identity:
                return "a checkpoint of other settings or code was there, and training began anew"
            descent.task.model.load_state_dict(held["model"])
            descent.optimiser.load_state_dict(held["optimiser"])
        except Exception as error:  # a torn file may raise anything: IndexError, of torch 2.13
            return f"a checkpoint could not be read, and training began anew: {' '.join(str(error).split())[:200]}"
        descent.step = held["step"]
        descent.history.update(held["history"])
        evaluations.update(held["evaluations"])
        return f"training went on from a checkpoint after {descent.step} steps"


def steps_of(descent: Descent, every: int) -> Iterator[bool]:
    """Train to the end; yields after each step whether it is time to evaluate: every so many steps, and at the end."""
    while descent.step < descent.training.steps:
        descent.advance()
        yield descent.step % every == 0 or descent.step == descent.training.steps
