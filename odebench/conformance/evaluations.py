"""Evaluations of f: how many a solve makes, and whether each of them is used."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from odebench.conformance.finding import Finding
from odebench.conformance.gradient import affine
from odebench.conformance.grounds import trainable
from odebench.controllers import Fixed
from odebench.integrate import timed, walk
from odebench.measure.count import CountedField
from odebench.types import Stepper


def evaluations(stepper: Stepper) -> Iterator[Finding]:
    """The formula of forward evaluations at fixed steps, and those of one step whose value enters nothing."""
    counts = {n: _forward(stepper, n) for n in (12, 24, 36, 48)}
    if (again := _forward(stepper, 12)) != counts[12]:
        figure = f"12 steps took {counts[12]} evaluations first and {again} later"
        yield Finding("evaluations", figure, "fail", "keep nothing on the solver between solves")
    else:
        yield affine("evaluations", counts)
    yield _unused(stepper)


def _forward(stepper: Stepper, steps: int) -> int:
    bound = trainable(stepper)
    f = CountedField(bound.f)
    with torch.no_grad():
        field = timed(f, bound.y0)
        walk(field, stepper, Fixed(steps=steps), bound.ts, stepper.init(field, bound.ts[0], bound.y0.detach()))
    return f.calls


def _unused(stepper: Stepper) -> Finding:
    bound = trainable(stepper)
    plain = timed(bound.f, bound.y0)
    with torch.no_grad():
        state = stepper.init(plain, bound.ts[0], bound.y0.detach())
    taped, reached = 0, set[int]()

    def watched(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        nonlocal taped
        out: torch.Tensor = bound.f(t, y)
        if out.requires_grad:
            taped += 1
            # A set: an implicit scheme passes many cotangents through one call, for its Jacobian.
            out.register_hook(partial(note, taped))  # type: ignore[no-untyped-call]
        return out

    def note(call: int, bar: torch.Tensor) -> None:
        reached.add(call)

    before = tuple(leaf.detach().clone().requires_grad_(leaf.is_floating_point()) for leaf in state)
    with torch.enable_grad():
        step = stepper.step(timed(watched, bound.y0), bound.ts[0], 0.05, before)
        ends = [x for x in (*step.state, step.error) if x is not None and x.requires_grad]
        sum((x.sum() for x in ends), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    for parameter in bound.params:
        parameter.grad = None
    left = taped - len(reached)
    figure = f"{left} of {taped} in a step reach neither the state nor the error" if left else "every one is used"
    return Finding.judged("unused evaluations", figure, not left, "delete them: f is what a solve costs", left)
