"""The solve of one training run, as its model calls it: counted, and with what the regulariser adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from odebench.gradients.moving import Moving
from odebench.integrate import timed
from odebench.regularisers.regulariser import LocalTerm, PathTerm, Regulariser, StepTerm, TimeTerm
from odebench.training.penalised import over_leading, penalised
from odebench.types import Gradient, Mesh, Stepper

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Watch:
    """A `Trace` of one solve: how many steps, and, where wanted, one accepted step drawn evenly from all of them.

    Drawing while they come (a reservoir of one) keeps a single state, where choosing afterwards would keep them all.
    """

    draw: torch.Generator | None = None
    steps: int = 0
    rejected: int = 0
    chosen: tuple[float, Tensor] | None = None
    _last: tuple[float, Tensor] | None = None
    _seen: int = 0

    def saw(self, t: float, y: Tensor) -> None:
        if self.draw is None:
            return
        if self._last is not None:  # a step begins where this one ended; the last state begins none
            self._seen += 1
            if float(torch.rand((), generator=self.draw, dtype=torch.float64)) * self._seen < 1:
                self.chosen = self._last
        self._last = (t, y.detach())

    def went(self, mesh: Mesh, rejected: int) -> None:
        self.steps, self.rejected = len(mesh), rejected
        self._last = None

    def recalled(self, t: float, y: Tensor) -> None: ...

    def returned(self, steps: int, rejected: int) -> None: ...


@dataclass
class Counts:
    """Of the solves since they were last taken."""

    calls: int = 0
    steps: int = 0
    rejected: int = 0
    solves: int = 0


@dataclass
class Solving:
    """A solver, a gradient and a stepping, to be called by a model: see `workloads.workload.Solve`.

    `begin` is called before each training step; the terms of its solves add up in `penalty`. Without a regulariser, as
    in prediction, nothing is added.
    """

    stepper: Stepper
    gradient: Gradient
    control: Any
    regulariser: Regulariser | None = None
    counts: Counts = field(default_factory=Counts)
    penalty: Tensor | None = None
    draw: torch.Generator = field(default_factory=torch.Generator)
    moves: bool | None = None  # f draws random numbers or writes to buffers; not known before the first solve
    moving: Moving | None = None  # what of this solve has to be put back

    def begin(self, draw: torch.Generator) -> None:
        """A new training step, with its own random numbers."""
        self.draw, self.penalty, self.counts = draw, None, Counts()

    def __call__(
        self, f: Function, y0: Tensor, ts: Sequence[float], params: Sequence[Tensor], leading: int | None = None
    ) -> Tensor:
        """The solution at `ts`, shape (len(ts), *y0.shape)."""
        times, term = tuple(map(float, ts)), self.regulariser
        if self.moves is None:  # what f does at every call it does in every solve
            self.moves = Moving.of(f, times[0], y0) is not None
        if self.moves and torch.is_grad_enabled():
            self.moving = Moving.of(f, times[0], y0)
        if isinstance(term, TimeTerm):
            times = term.times(times, self.draw)
        counted, given = self._counted(f), tuple(params)
        self.counts.solves += 1
        if isinstance(term, (PathTerm, StepTerm)):
            return self._with_column(term, counted, y0, times, given, leading)
        if isinstance(term, LocalTerm):
            return self._with_step(term, counted, y0, times, given)
        return self._solve(counted, y0, times, given, self.stepper, self.control, Watch())

    def _counted(self, f: Function) -> Function:
        def counted(t: Tensor, y: Tensor) -> Tensor:
            self.counts.calls += 1
            return f(t, y)

        return counted

    def _solve(
        self, f: Function, y0: Tensor, ts: tuple[float, ...], params: Any, stepper: Any, control: Any, watch: Watch
    ) -> Tensor:
        how = self.gradient if self.moving is None else self.moving.under(self.gradient, y0, params, "the gradient")
        ys = how.solve(timed(f, y0), params, y0, ts, stepper, control, watch)
        self.counts.steps += watch.steps
        self.counts.rejected += watch.rejected
        return ys

    def _add(self, figure: Tensor) -> None:
        self.penalty = figure if self.penalty is None else self.penalty + figure

    def _with_column(
        self,
        term: PathTerm | StepTerm,
        f: Function,
        y0: Tensor,
        ts: tuple[float, ...],
        params: Any,
        leading: int | None,
    ) -> Tensor:
        """Rows laid flat, with one more component that the regulariser fills."""
        batch, n = y0.shape[0], y0[0].numel()
        sign = 1.0 if ts[-1] > ts[0] else -1.0

        def inner(t: Tensor, y: Tensor) -> Tensor:
            return f(t, y.reshape(batch, *y0.shape[1:])).reshape(batch, n)

        probe = torch.randn((batch, n), generator=self.draw, dtype=torch.float64).to(y0) if _probes(term) else y0
        if leading is not None and leading < n:
            probe = torch.cat((probe[:, :leading], probe.new_zeros((batch, n - leading))), 1) if _probes(term) else y0

        def column(t: Tensor, y: Tensor) -> Tensor:
            state = y[:, :n]
            slope = inner(t, state)
            if isinstance(term, PathTerm):
                every = term.integrand(inner, t, state, slope, probe)
                more = every[:, :leading].mean(1, keepdim=True) * sign
            else:
                more = slope.new_zeros((batch, 1))
            out = torch.cat((slope, more), 1)
            # An integrand that differentiates leaves a graph even where nobody asked for one.
            return out if torch.is_grad_enabled() else out.detach()

        control, watch = over_leading(self.control, n), Watch()
        stepper: Any = penalised(self.stepper, term, control) if isinstance(term, StepTerm) else self.stepper
        start = torch.cat((y0.reshape(batch, n), y0.new_zeros((batch, 1))), 1)
        ys = self._solve(column, start, ts, params, stepper, control, watch)
        total = ys[-1, :, n].mean()
        self._add(term.finish(total, watch.steps) if isinstance(term, StepTerm) else total)
        return ys[:, :, :n].reshape(len(ts), *y0.shape)

    def _with_step(self, term: LocalTerm, f: Function, y0: Tensor, ts: tuple[float, ...], params: Any) -> Tensor:
        """The solve, and after it one step from a state in its midst."""
        if term.by_step:
            watch = Watch(self.draw)
            ys = self._solve(f, y0, ts, params, self.stepper, self.control, watch)
            assert watch.chosen is not None, "a solve has a step"
            t, y = watch.chosen
        else:
            share = float(torch.rand((), generator=self.draw, dtype=torch.float64))
            t = ts[0] + share * (ts[-1] - ts[0])
            place = sum((saved - t) * (ts[-1] - ts[0]) <= 0 for saved in ts)
            with_it = (*ts[:place], t, *ts[place:]) if t not in ts else ts
            every = self._solve(f, y0, with_it, params, self.stepper, self.control, Watch())
            at = with_it.index(t)
            y, kept = every[at].detach(), [i for i in range(len(with_it)) if i != at or t in ts]
            ys = every[kept]
        if torch.is_grad_enabled():
            self._add(self._figure(term, timed(f, y0), t, y, ts[-1]))
        return ys

    def _figure(self, term: LocalTerm, f: Any, t: float, y: Tensor, end: float) -> Tensor:
        with torch.no_grad():
            state = tuple(leaf.detach() for leaf in self.stepper.init(f, t, y))
            dt, _ = self.control.first(f, self.stepper, (t, end), state)
        return term.figure(f, self.stepper, self.control, t, dt, state)


def _probes(term: Any) -> bool:
    return bool(getattr(term, "jacobian", 0.0))
