"""Ways back through a step: its inverse over a thousand steps, and the shortcuts that must equal the long way."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot, isfinite, log, log2

import torch

from odebench.autodiff import vjp
from odebench.conformance.finding import Finding
from odebench.conformance.grounds import swing, trainable
from odebench.controllers import Fixed
from odebench.integrate import advance_of, timed, walk
from odebench.problems import Bound
from odebench.types import Advancing, Mesh, Reversible, Staged, State, Stepper, Unpulling

_STEPS = 1000
_NEAR = 1e-11  # two ways to reckon one thing in float64


def reversals(stepper: Stepper) -> Iterator[Finding]:
    """A thousand steps of an oscillation undone, and how far a small error grows on the way back."""
    if not isinstance(stepper, Reversible):
        yield Finding("reversal", "it has no unstep, so that gradient `reversible` refuses it", "refused")
        return
    claimed: int | None = getattr(stepper, "reverse_order", None)
    if claimed is not None:
        coarse, fine = (_back_and_forth(stepper, swing(5.0), n)[0] for n in (20, 40))
        order = log2(coarse / fine) if fine > 1e-13 else float("inf")
        figure = f"the way back misses by {fine:.1e} at 40 steps, shrinking as dt^{order:.2f}; claimed {claimed}"
        yield Finding.judged("reversal", figure, order >= claimed - 0.5, "correct reverse_order, or unstep", order)
        return
    reset: int | None = getattr(stepper, "reset", None)
    steps = min(_STEPS, reset or _STEPS)
    drift, grown = _back_and_forth(stepper, swing(0.02 * steps), steps)
    one, _ = _back_and_forth(stepper, swing(0.02), 1)
    told = f"after {steps} steps" + (", as many as lie between two resets" if reset else "")
    if one > 1e-12:
        advice = "unstep(f, t, dt, step(f, t, dt, s).state) must be s in every leaf: solve the step's equations for s"
        yield Finding("reversal", f"one step is undone to {one:.1e} only", "fail", advice, one)
        return
    advice = (
        "the step is undone, but rounding grows on the way back: damp less, or store the state now and then (reset)"
    )
    yield Finding.judged("reversal", f"undone to {drift:.1e} {told}", drift <= 1e-11, advice, drift)
    lost = f"; nothing is left after some {log(1e16) / log(grown):.0f} steps" if grown > 1.002 else ""
    yield Finding.judged(
        "amplification", f"an error grows by {grown:.4f} a step on the way back{lost}", drift <= 1e-11, advice, grown
    )


def _back_and_forth(stepper: Stepper, bound: Bound, steps: int) -> tuple[float, float]:
    """(relative gap in the worst leaf after going back, growth of a small error for each step back)."""
    f = timed(bound.f, bound.y0)
    with torch.no_grad():
        start = stepper.init(f, bound.ts[0], bound.y0.detach())
        seen = walk(f, stepper, Fixed(steps=steps), bound.ts, start)
        state = _back(stepper, bound, seen.mesh, seen.last)
        short = seen.mesh[-min(steps, 100) :]
        nudge = tuple(leaf * (1.0 + 1e-7 * (-1) ** k) for k, leaf in enumerate(seen.last))
        plain, moved = (_back(stepper, bound, short, last) for last in (seen.last, nudge))
    size = float(bound.y0.detach().norm())
    gap = max(float((a - b).nan_to_num().norm()) for a, b in zip(state, start, strict=True)) / size
    apart, began = _apart(moved, plain), _apart(nudge, seen.last)
    growth = (apart / began) ** (1 / len(short)) if isfinite(apart) and apart > 0 else float("inf")
    return (gap if isfinite(gap) else float("inf")), max(growth, 1.0)


def _back(stepper: Stepper, bound: Bound, mesh: Mesh, state: State) -> State:
    assert isinstance(stepper, Reversible)
    f = timed(bound.f, bound.y0)
    for t, dt, _ in reversed(mesh):
        state = stepper.unstep(f, t, dt, state)
    return state


def _apart(a: State, b: State) -> float:
    return hypot(*(float((x - y).nan_to_num().norm()) for x, y in zip(a, b, strict=True)))


def shortcuts(stepper: Stepper) -> Iterator[Finding]:
    """`advance`, `pull` and `unpull` against what they stand for, over one step with random cotangents."""
    bound = trainable(stepper)
    f, (t, dt) = timed(bound.f, bound.y0), (bound.ts[0] + 0.4, 0.1)
    with torch.no_grad():
        state = walk(f, stepper, Fixed(steps=8), (bound.ts[0], t), stepper.init(f, bound.ts[0], bound.y0.detach())).last
        after = stepper.step(f, t, dt, state).state
        moved = advance_of(stepper)(f, t, dt, state)
    if isinstance(stepper, Advancing):
        gap = _gap(moved, after)
        advice = "advance must give the very state of step, only cheaper"
        yield Finding.judged("advance", f"{gap:.1e} from step", gap <= 1e-13, advice, gap)
    draw = torch.Generator().manual_seed(0)
    bar = tuple(torch.randn(leaf.shape, generator=draw, dtype=leaf.dtype) for leaf in state)
    bars, shares = vjp(lambda *s: advance_of(stepper)(f, t, dt, s), state, bar, bound.params)
    if isinstance(stepper, Staged):
        gap = _gap_all(stepper.pull(f, t, dt, state, bar, bound.params), (bars, shares))
        advice = "pull must be the transpose of step: compare it with autograd through step, leaf by leaf"
        yield Finding.judged("pull", f"{gap:.1e} from autograd through the step", gap <= _NEAR, advice, gap)
    if isinstance(stepper, Unpulling):
        gap = _gap_all(stepper.unpull(f, t, dt, after, bar, bound.params), (state, bars, shares))
        advice = "unpull must give what unstep and autograd through step give, leaf by leaf"
        yield Finding.judged("unpull", f"{gap:.1e} from unstep and autograd", gap <= _NEAR, advice, gap)


def _gap_all(got: tuple[State, ...], wanted: tuple[State, ...]) -> float:
    return max(_gap(a, b) for a, b in zip(got, wanted, strict=True))


def _gap(got: State, wanted: State) -> float:
    sizes = [float(b.nan_to_num().norm()) for b in wanted]
    gaps = [float((a.detach() - b).nan_to_num().norm()) for a, b in zip(got, wanted, strict=True)]
    return max(gaps, default=0.0) / max([*sizes, 1e-300])
