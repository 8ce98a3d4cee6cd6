"""Backpropagation through the step-size control: steps whose lengths carry a graph, walked by the common loop."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, isfinite
from typing import Any

import torch
from torch import Tensor

from odebench.controllers import Adaptive
from odebench.gradients.direct import slopes
from odebench.integrate import walk
from odebench.types import Field, Mesh, Sloped, State, Step, Stepper, Trace, Verdict, can

# What the loop knows as a number, as a function of y0 and θ. A length that is not here was cut to land.
Lengths = dict[float, Tensor]


def solve(
    f: Field, y0: Tensor, ts: tuple[float, ...], stepper: Stepper, control: Adaptive, trace: Trace | None
) -> Tensor:
    """The solution at `ts`, its graph that of the steps and of the choice of their lengths."""
    leaves = slopes(stepper)
    assert leaves is not None, "the gradient refuses schemes whose state is not known to scale"
    lengths: Lengths = {}
    scaled = _Scaled(stepper, leaves, lengths)
    return torch.stack(walk(f, scaled, _Followed(control, lengths), ts, scaled.init(f, ts[0], y0), trace=trace).ys)


@dataclass(frozen=True)
class _Scaled:
    """`base` with its steps taken as unit steps of dt·f, so that dt may carry a graph. State: that of base, and t.

    A step of an explicit scheme depends on dt and f by their product alone; slopes in its state are multiplied too.
    """

    base: Stepper
    leaves: tuple[int, ...]
    lengths: Lengths

    @property
    def order(self) -> int:
        return self.base.order

    @property
    def error_order(self) -> int | None:
        return self.base.error_order

    def slope(self, state: State) -> Tensor | None:
        return self.base.slope(state[:-1]) if can(self.base, Sloped) else None

    def init(self, f: Field, t: float, y: Tensor) -> State:
        return *self.base.init(f, t, y), torch.scalar_tensor(t, dtype=torch.float64, device=y.device)

    def step(self, f: Field, t: float, dt: float, state: State) -> Step:
        *leaves, at = state
        # The loop's numbers, so that rounding in them cannot grow; the graph is this one's.
        at = t + (at - at.detach())
        length = self.lengths.get(dt)
        h = dt - (at - at.detach()) if length is None else length
        like = h.to(state[0].real.dtype)

        def unit(place: float, y: Tensor) -> Tensor:
            return f(at + h * place, y) * like

        start = tuple(leaf * like if i in self.leaves else leaf for i, leaf in enumerate(leaves))
        after, error = self.base.step(unit, 0.0, 1.0, start)
        end = tuple(leaf / like if i in self.leaves else leaf for i, leaf in enumerate(after))
        return Step((*end, at + h), error)


@dataclass(frozen=True)
class _Followed:
    """`control`, its verdicts unchanged, with the length it asks for next as a function of the errors seen."""

    control: Adaptive
    lengths: Lengths

    @property
    def max_steps(self) -> int:
        return self.control.max_steps

    @property
    def longest(self) -> float:
        return self.control.longest

    def refusal(self, stepper: Stepper) -> str | None:
        return self.control.refusal(stepper)

    def mesh(self, ts: tuple[float, ...]) -> Mesh | None:
        return None

    def first(self, f: Field, stepper: Stepper, ts: tuple[float, ...], state: State) -> tuple[float, Any]:
        dt, memory = self.control.first(f, stepper, ts, state)
        one = torch.ones_like(state[-1])
        self.lengths[dt] = dt * one
        return dt, (memory, (one, one))

    def judge(self, dt: float, before: State, step: Step, order: int, memory: Any) -> Verdict:
        inner, errors = memory
        accept, following, inner = self.control.judge(dt, before, step, order, inner)
        size = self.control.error(before, step).to(errors[0])
        if accept:
            size = size.clamp_min(1e-10)
        errors = (size, *errors)
        exponents = self.control.exponents if accept else (1.0, 0.0, 0.0)
        self.lengths[following] = self._length(dt, following, step.state[-1] - before[-1], errors, exponents, order)
        return Verdict(accept, following, (inner, errors[:2] if accept else errors[1:]))

    def _length(
        self,
        dt: float,
        following: float,
        h: Tensor,
        errors: tuple[Tensor, ...],
        exponents: tuple[float, ...],
        order: int,
    ) -> Tensor:
        """`following`, with the derivative of the law that was in force."""
        control, law = self.control, torch.ones_like(h)
        factor = control.safety
        for error, exponent in zip(errors, exponents, strict=True):
            size = float(error.detach())
            if exponent and isfinite(size):
                factor *= size ** (-exponent / order)
                law = law * error ** (-exponent / order)
        if any(limit and isclose(abs(following), limit) for limit in (control.min_step, control.longest)):
            return torch.full_like(h, following)
        if not isclose(following, dt * factor, rel_tol=1e-9):  # no quicker than min_factor and max_factor
            law = torch.ones_like(h)
        length = h * law
        return length * (following / length.detach())
