"""How a scheme behaves: the state it is given stays as it is, runs repeat, other dtypes, devices and shapes work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from odebench.conformance.finding import Finding
from odebench.conformance.grounds import trainable
from odebench.controllers import Fixed
from odebench.gradients import Direct
from odebench.integrate import timed
from odebench.measure.trial import NativePair, TorchTrial
from odebench.problems import Bound
from odebench.solve import odeint
from odebench.spec import Spec
from odebench.types import Advancing, Gradient, Reversible, Selective, Staged, State, Stepper, Unpulling

STEPS = Fixed(steps=24)
_LACKING = "a solver has order, error_order, init(f, t, y) and step(f, t, dt, state); see odebench.types.Stepper"


def steps(stepper: Stepper) -> Iterator[Finding]:
    """One step: of the right shape, and finite."""
    if not isinstance(stepper, Stepper):
        lacking = [name for name in ("order", "error_order", "init", "step") if not hasattr(stepper, name)]
        yield Finding("a step", f"it lacks {', '.join(lacking)}", "fail", _LACKING)
        return
    if not isinstance(stepper.order, int) or stepper.order < 1:
        yield Finding("a step", f"order is {stepper.order!r}", "fail", "order is a whole number of at least 1")
        return
    bound = trainable(stepper)
    f, y, (t, dt) = timed(bound.f, bound.y0), bound.y0.detach().clone(), (bound.ts[0], 0.05)
    with torch.no_grad():
        state = stepper.init(f, t, y)
        after = stepper.step(f, t, dt, state).state
    if not isinstance(after, tuple) or len(after) != len(state) or after[0].shape != y.shape:
        got = (
            [tuple(getattr(leaf, "shape", ())) for leaf in after] if isinstance(after, tuple) else type(after).__name__
        )
        advice = "the state is a tuple of tensors, the solution first, of as many leaves after a step as before"
        yield Finding("a step", f"its state is {got}", "fail", advice)
        return
    finite = bool(after[0].isfinite().all())
    yield Finding.judged("a step", "taken, finite" if finite else "not finite", finite, "look at the coefficients")


def untouched(stepper: Stepper) -> Iterator[Finding]:
    """Nothing that is handed in is changed."""
    bound = trainable(stepper)
    f, t, dt = timed(bound.f, bound.y0), bound.ts[0], 0.05
    with torch.no_grad():
        before = stepper.init(f, t, bound.y0.detach().clone())
        after = stepper.step(f, t, dt, tuple(leaf.clone() for leaf in before)).state
    bar = tuple(torch.ones_like(leaf) for leaf in before)
    calls: dict[str, Callable[[State], Any]] = {"step": lambda state: stepper.step(f, t, dt, state)}
    if isinstance(stepper, Advancing):
        calls["advance"] = lambda state: stepper.advance(f, t, dt, state)
    if isinstance(stepper, Reversible):
        calls["unstep"] = lambda state: stepper.unstep(f, t, dt, state)
    if isinstance(stepper, Unpulling):
        calls["unpull"] = lambda state: stepper.unpull(f, t, dt, state, bar, bound.params)
    if isinstance(stepper, Staged):
        calls["pull"] = lambda state: stepper.pull(f, t, dt, state, bar, bound.params)
    changed = [name for name, call in calls.items() if _changes(call, after if name[:2] == "un" else before, bar)]
    figure = f"{', '.join(calls)} leave it alone" if not changed else f"{', '.join(changed)} changes it in place"
    advice = "make new tensors: y + dt * k, not y += dt * k; a step may be taken twice, rejected or transposed"
    yield Finding.judged("the state handed in", figure, not changed, advice)


def _changes(call: Callable[[State], Any], state: State, bar: State) -> bool:
    given = tuple(leaf.clone() for leaf in state)
    kept = [leaf.clone() for leaf in (*given, *bar)]
    with torch.no_grad():
        call(given)
    return not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip((*given, *bar), kept, strict=True))


def repeats(stepper: Stepper, again: Stepper) -> Iterator[Finding]:
    """Two runs of one scheme, and one of the same built anew, agree in every bit of the solution and its gradient."""
    bound = trainable(stepper)
    first, *others = (solve(bound, each) for each in (stepper, stepper, again))
    same = all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    gap = max(relative(b, a) for other in others for a, b in zip(first, other, strict=True))
    advice = "keep nothing on the solver between steps, draw no random numbers; what a step needs belongs in the state"
    yield Finding.judged(
        "determinism", "three runs agree in every bit" if same else f"runs differ by {gap:.1e}", same, advice, gap
    )


def single(stepper: Stepper) -> Iterator[Finding]:
    """float32: the solution stays in it, and is that of float64 to its rounding."""
    yield _alike(stepper, "float32", torch.float32, "cpu", (1e-5, 1e-4))


def on_cuda(stepper: Stepper) -> Iterator[Finding]:
    """The same on a GPU as on the CPU."""
    if not torch.cuda.is_available():
        yield Finding("CUDA", "no CUDA device", "skipped", "check it again where there is one")
        return
    yield _alike(stepper, "CUDA", torch.float64, "cuda", (1e-11, 1e-10))


def _alike(stepper: Stepper, name: str, dtype: torch.dtype, device: str, within: tuple[float, float]) -> Finding:
    bound = trainable(stepper)
    f = copy.deepcopy(bound.f).to(dtype=dtype, device=device)
    y0 = bound.y0.detach().to(dtype=dtype, device=device).requires_grad_()
    ys, bar = solve(Bound(f, tuple(f.parameters()), y0, bound.ts, bound.loss), stepper)
    if ys.dtype != dtype or ys.device.type != device:
        where = f"the solution is {ys.dtype} on {ys.device}".replace("torch.", "")
        return Finding(name, where, "fail", "make tensors like y: torch.zeros_like(y), y.new_tensor(…)")
    there, bar_there = solve(bound, stepper)
    gaps = relative(ys.to("cpu", torch.float64), there), relative(bar, bar_there)
    figure = f"solution {gaps[0]:.1e} and gradient {gaps[1]:.1e} from float64 on the CPU"
    holds = gaps[0] <= within[0] and gaps[1] <= within[1]
    return Finding.judged(name, figure, holds, "keep constants as Python floats, and every tensor like y", max(gaps))


def shapes(stepper: Stepper, spec: Spec) -> Iterator[Finding]:
    """Through `odeint`: a tuple, a state of three axes and one of none, each as the plain solve has it."""
    t = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)
    options = {"dt": 0.1}
    q, p = (torch.sin(torch.arange(6, dtype=torch.float64) + k) for k in (0.0, 2.0))

    def pendulum(t: Tensor, y: Tensor) -> Tensor:
        q, p = y.chunk(2, -1)
        return torch.cat((p, -torch.sin(q)), -1)

    plain = odeint(pendulum, torch.cat((q, p)), t, method=spec, options=options, params=())
    qs, ps = odeint(lambda t, y: (y[1], -torch.sin(y[0])), (q, p), t, method=spec, options=options, params=())
    gaps = {"a tuple": relative(torch.cat((qs, ps), -1), plain)}
    pairs = torch.stack((q, p), -1)
    block = odeint(pendulum, pairs.reshape(1, 3, 2, 2), t, method=spec, options=options, params=())
    gaps["(1, 3, 2, 2)"] = relative(torch.cat(block.reshape(3, 6, 2).unbind(-1), -1), plain)
    if not isinstance(stepper, Selective):

        def waning(t: Tensor, y: Tensor) -> Tensor:
            return -y * torch.cos(t)

        scalar, row = (
            odeint(waning, torch.ones(shape, dtype=torch.float64), t, method=spec, options=options, params=())
            for shape in ((), (1,))
        )
        gaps["no axis"] = relative(scalar[:, None], row)
    worst = max(gaps.values())
    figure = f"{', '.join(gaps)}: {worst:.1e} from a plain vector"
    yield Finding.judged(
        "states of any shape", figure, worst <= 1e-12, "work on y as a whole, whatever its axes", worst
    )


def solve(bound: Bound, stepper: Stepper, how: Gradient | None = None) -> tuple[Tensor, Tensor]:
    """(solution at the saved times, the gradient, flat, float64, on the CPU), at fixed steps."""
    trial = TorchTrial.of(NativePair(bound, stepper, how or Direct(), STEPS))
    trial.clear()
    trial.forward()
    assert trial.ys is not None
    ys = trial.ys.detach()
    trial.backward()
    got = torch.cat(trial.gradients())
    trial.clear()
    return ys, got


def relative(got: Tensor, reference: Tensor) -> float:
    """‖got − reference‖ / ‖reference‖."""
    return float((got - reference).norm() / reference.norm())
