"""One gradient through one solver: is it exact, what does it evaluate, how does its memory grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import isfinite, log2

import torch
from torch import Tensor

from odebench.conformance.finding import Finding
from odebench.conformance.grounds import trainable
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.gradients import Direct, Invert, Sweep
from odebench.measure.count import count
from odebench.measure.trial import NativePair, TorchTrial
from odebench.measure.weigh import weigh
from odebench.problems import Bound
from odebench.types import Controller, Gradient, Stepper, Tick

EXACT = 1e-11
# What shipped gradients promise: whether they are those of the steps taken, and the power of the number of steps with
# which their memory grows. One of somebody's own says so by attributes `exact` and `growth`, and is taken to be exact.
_PROMISES: dict[str, tuple[bool, float]] = {
    "direct": (True, 1.0),
    "adjoint": (False, 0.0),
    "interpolated": (False, 1.0),
    "aca": (True, 1.0),
    "recursive": (True, 0.5),
    "reversible": (True, 0.0),
    "symplectic": (True, 1.0),
    "forward": (True, 0.0),
}
_LAWS = {0.0: "constant", 0.5: "as the root of steps", 1.0: "linear in steps"}


def gradients(name: str, how: Gradient, stepper: Stepper, label: str) -> Iterator[Finding]:
    """Everything about the pair; `label` is what its lines are called by."""
    refused = how.refusal(stepper)
    if refused:
        yield Finding(label, refused, "refused")
        return
    bound = trainable(stepper)
    exact, growth = _PROMISES.get(name, (getattr(how, "exact", True), getattr(how, "growth", None)))
    inverts = isinstance(how, Sweep) and isinstance(how.recall, Invert)
    if inverts and hasattr(stepper, "reverse_order"):
        exact = False
    if inverts and getattr(stepper, "reset", None):
        growth = 1.0
    if isinstance(how, Direct):
        yield _by_differences(bound, stepper, how, label)
    elif exact:
        yield from _exactness(bound, stepper, how, label)
    else:
        yield _tends(bound, stepper, how, label)
    yield _backward(bound, stepper, how, label)
    yield _memory(bound, stepper, how, label, growth)


def _exactness(bound: Bound, stepper: Stepper, how: Gradient, label: str) -> Iterator[Finding]:
    advice = "its backward pass is not the transpose of the steps taken; compare one step with autograd through step"
    meshes: dict[str, Controller] = {"fixed steps": Fixed(steps=24), "uneven steps": Replay(_uneven(bound.ts))}
    if stepper.error_order is not None:
        meshes["adaptive steps"] = Adaptive(rtol=1e-4, atol=1e-6)
    for where, control in meshes.items():
        gap = _gap(bound, stepper, how, control)
        figure = f"{gap:.1e} from backpropagation through the same {where}"
        yield Finding.judged(f"{label}: {where}", figure, gap <= EXACT, advice, gap)


def _tends(bound: Bound, stepper: Stepper, how: Gradient, label: str) -> Finding:
    """It claims no exactness; its error must vanish with the steps all the same."""
    coarse, fine = (_gap(bound, stepper, how, Fixed(steps=n)) for n in (48, 96))
    order = log2(coarse / fine) if fine > 0 else float("inf")
    figure = f"inexact by {fine:.1e} at 96 steps, shrinking as dt^{order:.1f}"
    holds = fine <= EXACT or (isfinite(fine) and order >= 0.7)
    return Finding.judged(f"{label}: fixed steps", figure, holds, "its error does not vanish with the steps", fine)


def _gap(bound: Bound, stepper: Stepper, how: Gradient, control: Controller) -> float:
    trial = TorchTrial.of(NativePair(bound, stepper, how, control))
    mesh = count(trial).log.mesh
    got, wanted = _taken(trial), _taken(TorchTrial.of(NativePair(bound, stepper, Direct(), Replay(mesh))))
    return float((got - wanted).norm() / wanted.norm())


def _taken(trial: TorchTrial) -> Tensor:
    trial.clear()
    trial.both()
    got = torch.cat(trial.gradients())
    trial.clear()
    return got


def _uneven(ts: tuple[float, ...]) -> tuple[Tick, ...]:
    """Steps of 7 and 13 in turn, landing on every saved time."""
    ticks = []
    for start, end in pairwise(ts):
        nodes = [start + (end - start) * (k // 2 * 20 + k % 2 * 7) / 80 for k in range(8)]
        ticks += [Tick(a, b - a, b == end) for a, b in pairwise([*nodes, end])]
    return tuple(ticks)


def _by_differences(bound: Bound, stepper: Stepper, how: Gradient, label: str) -> Finding:
    """Along one direction, against central differences with one extrapolation."""
    trial = TorchTrial.of(NativePair(bound, stepper, how, Fixed(steps=24)))
    got, leaves = _taken(trial), (bound.y0, *bound.params)
    draw = torch.Generator().manual_seed(1)
    ways = [torch.randn(leaf.shape, generator=draw, dtype=leaf.dtype) for leaf in leaves]

    def loss(h: float) -> float:
        with torch.no_grad():
            for leaf, way in zip(leaves, ways, strict=True):
                leaf.add_(way, alpha=h)
            trial.forward_plain()
            assert trial.ys is not None
            found = float(bound.loss(trial.ys))
            for leaf, way in zip(leaves, ways, strict=True):
                leaf.sub_(way, alpha=h)
        return found

    wide, narrow = ((loss(h) - loss(-h)) / (2 * h) for h in (2e-3, 1e-3))
    wanted = (4 * narrow - wide) / 3
    along = float(got @ torch.cat([way.reshape(-1) for way in ways]))
    gap = abs(along - wanted) / abs(wanted)
    advice = "something in step is cut off from the graph: detach, item, no_grad, or a value kept on the solver"
    return Finding.judged(f"{label}: differences", f"{gap:.1e} from finite differences", gap <= 1e-6, advice, gap)


def _backward(bound: Bound, stepper: Stepper, how: Gradient, label: str) -> Finding:
    counts = {
        n: count(TorchTrial.of(NativePair(bound, stepper, how, Fixed(steps=n)))).nfe_backward for n in (12, 24, 36, 48)
    }
    return affine(f"{label}: evaluations back", counts)


def affine(name: str, counts: dict[int, int]) -> Finding:
    """a·N + b where the counts are that; else how many a step, which must not grow from mesh to mesh."""
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(counts.items())]
    steps, total = next(iter(counts.items()))
    if len(set(rates)) == 1:
        rate, start = rates[0], total - rates[0] * steps
        return Finding(name, formula(rate, start), "pass", value=rate)
    most, last = max(rates[:-1]), rates[-1]
    figure = f"no formula a·N + b: {min(rates):.1f} to {max(rates):.1f} a step"
    advice = "evaluations a step grow with the number of steps: something is done over, or kept on the solver"
    return Finding.judged(name, figure, last <= 1.5 * most, advice, last)


def formula(rate: float, start: float) -> str:
    """`6·N + 1`."""
    grows = f"{rate:g}·N" if rate else ""
    return f"{grows} {'+' if start > 0 else '−'} {abs(start):g}".strip("+ ") if start else grows or "none"


def _memory(bound: Bound, stepper: Stepper, how: Gradient, label: str, claimed: float | None) -> Finding:
    once = replace(bound, ts=(bound.ts[0], bound.ts[-1]))
    found = []
    for steps in (12, 12, 24, 48):  # the first is to warm up
        trial = TorchTrial.of(NativePair(once, stepper, how, Fixed(steps=steps)))
        trial.both()
        found.append(weigh(trial)["peak_memory_bytes"])
    _, *peaks = found
    first, second = peaks[1] - peaks[0], peaks[2] - peaks[1]
    power = 0.0 if second <= 0.02 * peaks[2] else (log2(second / first) if first > 0 else 2.0)
    law = f"{peaks[-1]} bytes at 48 steps, growing as N^{power:.2f}"
    name = f"{label}: memory"
    if claimed is None:
        return Finding(name, f"{law}; nothing claimed", "pass", value=power)
    figure = f"{law}; promised: {_LAWS.get(claimed, f'N^{claimed:g}')}"
    advice = "it keeps more than it promises: a graph that is never let go, or states beyond those it needs"
    return Finding.judged(name, figure, power <= claimed + 0.25, advice, power)
