"""Writes docs/solvers.md from the registry: every scheme with what it claims, and what was computed to check it.

`make solvers`. A few minutes on one core; nothing in it depends on the machine but the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log
from pathlib import Path
from statistics import linear_regression

import torch
from torch import Tensor

from odebench.controllers import Fixed
from odebench.integrate import advance_of, timed, walk
from odebench.problems import bind
from odebench.registry import Entry, gradients, load_shipped, solvers, steppings
from odebench.solvers.reach import outside
from odebench.spec import Spec
from odebench.truth import compute_truth
from odebench.types import Selective, Stepper

ROOT = Path(__file__).resolve().parent.parent
MORE = {
    "alf": [{"eta": 0.9}],
    "coupled": [{"base": "dopri5"}, {"base": "rk4", "coupling": 0.9}],
    "adams_bashforth": [{"order": 2}],
    "backstep": [{"base": "dopri5"}],
}
COLUMNS = (
    "solver | order | observed | on | evaluations | embedded | FSAL | real axis | imaginary axis | gradients | steps"
)
ROUNDING, FAR = 1e-10, 1e6
# Where the leading error term does not happen to vanish.
FALLING, TOP = Spec.of("lotka_volterra", {"span": (0.0, 1.0)}), Spec("rigid_body")
CIRCLE, ORBIT = (
    Spec.of("harmonic_oscillator", {"span": (0.0, 5.0)}),
    Spec.of("henon_heiles", {"span": (0.0, 3.0)}),
)


def growth(stepper: Stepper, rates: Tensor) -> Tensor:
    """The spectral radius of one step with dt = 1 on y' = λy, for each of the complex `rates` λ.

    In real arithmetic, as a turning and growing pair. What a step does to a state is linear, so it is applied to each
    entry of the state in turn, after as many steps as a multistep scheme takes to start; entries that are no slope and
    no solution (times, Jacobians) are left as those steps made them.
    """
    real, imaginary = rates.real.contiguous(), rates.imag.contiguous()

    def f(_t: float | Tensor, y: Tensor) -> Tensor:
        a, b = y.unbind(-1)
        return torch.stack((real * a - imaginary * b, imaginary * a + real * b), -1)

    size, t, advance = len(rates), 0.0, advance_of(stepper)
    state = stepper.init(f, t, torch.ones(size, 2, dtype=torch.float64))
    for _ in range(5):
        state = tuple(x / x.norm() if moving(x, size) and x.norm() else x for x in advance(f, t, 1.0, state))
        t += 1.0
    places = [(i, j) for i, leaf in enumerate(state) if moving(leaf, size) for j in range(leaf.shape[1])]
    # No basis vector has zeros: where a relative tolerance is asked of each component, as in Newton's method, they have
    # no digits to be right.
    torch.manual_seed(0)
    basis, columns = torch.linalg.qr(torch.randn(len(places), len(places), dtype=torch.float64))[0], []
    for vector in basis:
        start = tuple(leaf.clone() for leaf in state)
        for (i, j), entry in zip(places, vector, strict=True):
            start[i][:, j] = entry
        after = advance(f, t, 1.0, start)
        columns.append(torch.stack([after[i][:, j] for i, j in places], -1))
    matrix = torch.stack(columns, -1) @ basis
    finite = torch.isfinite(matrix).all(-1).all(-1)
    radius = torch.linalg.eigvals(matrix.nan_to_num(0.0, 0.0, 0.0)).abs().amax(-1)
    return torch.where(finite, radius, torch.inf)


def moving(leaf: Tensor, size: int) -> bool:
    """A solution or a slope, one row for each rate."""
    return leaf.ndim == 2 and leaf.shape[0] == size


def interval(stepper: Stepper, direction: complex) -> float:
    """How far from 0 along `direction` the step does not grow; to 1e-10, on a grid of 0.02 up to 16."""

    def beyond(places: Tensor) -> Tensor:
        return growth(stepper, places * direction) - 1

    places = torch.arange(1, 801, dtype=torch.float64) * 0.02
    excess = torch.cat([beyond(part) for part in places.split(100)])
    if not bool((excess > ROUNDING).any()):
        far = torch.logspace(1.2, log(FAR) / log(10), 40, dtype=torch.float64)
        wild = torch.cat([beyond(part) for part in far.split(10)]) > ROUNDING
        return float(far[int(wild.to(torch.int8).argmax())]) if bool(wild.any()) else torch.inf
    first = int((excess > ROUNDING).to(torch.int8).argmax())
    low, high = float(places[first]) - 0.02, float(places[first])
    for _ in range(30):
        middle = (low + high) / 2
        outside = float(beyond(torch.tensor([middle], dtype=torch.float64))) > ROUNDING
        low, high = (low, middle) if outside else (middle, high)
    # Growth that sets in like a power of the step, too slow to be seen at first, has no stable beginning.
    half = float(beyond(torch.tensor([high / 2], dtype=torch.float64)))
    damped = half < -1e-8 or bool((excess[:first] < -1e-8).any())
    abrupt = float(beyond(torch.tensor([1.02 * high], dtype=torch.float64))) > 1e-4
    return high if damped or abrupt else 0.0


def observed(stepper: Stepper, problem: Spec) -> str:
    """Slope of log error over log steps by least squares, over the errors between 1e-3 and 1e-11."""
    bound = bind(problem, batch=1, seed=0, dtype="float64", device="cpu")
    truth = torch.as_tensor(compute_truth(problem, dtype="float64", batch=1, seed=0).y1).reshape(bound.y0.shape)
    field, points = timed(bound.f, bound.y0), []
    for half in range(4, 25):
        steps = round(2 ** (half / 2))
        with torch.no_grad():
            start = stepper.init(field, bound.ts[0], bound.y0.detach())
            y1 = walk(field, stepper, Fixed(steps=steps), bound.ts, start).ys[-1]
        error = float((y1 - truth).norm() / truth.norm())
        if 1e-11 <= error <= 1e-3:
            points.append((log(steps), log(error)))
        if error < 1e-11 or len(points) == 10:
            break
    if len(points) < 4:
        return ""
    return f"{-linear_regression(*zip(*points, strict=True)).slope:.2f}"


def problem_for(stepper: Stepper) -> Spec:
    """One for each kind of scheme."""
    if isinstance(stepper, Selective):
        return ORBIT
    if type(stepper).__name__ == "Adams" or (stepper.order > 3 and stepper.order < 6):
        return CIRCLE
    return FALLING if stepper.order < 6 else TOP


def evaluations(stepper: Stepper) -> str:
    """Calls of f in one step, and in one step whose error is estimated; past the start."""
    calls = 0

    def f(_t: float | Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.stack((y[..., 1], -y[..., 0]), -1)

    state, t, counts = stepper.init(f, 0.0, torch.ones(1, 2, dtype=torch.float64)), 0.0, []
    for take in (advance_of(stepper), lambda *given: stepper.step(*given).state):
        for _ in range(6):
            calls = 0
            state, t = take(f, t, 0.1, state), t + 0.1
        counts.append(calls)
    if stepper.error_order is None or counts[0] == counts[1]:
        return str(counts[0])
    return f"{counts[0]}, judged {counts[1]}"


def shown(stepper: Stepper, direction: complex) -> str:
    """An interval, or why there is none."""
    if isinstance(stepper, Selective) and direction.real:
        return "does not apply"
    reach = interval(stepper, direction)
    return "∞" if reach == torch.inf else f"{reach:.3g}"


def row(name: str, stepper: Stepper) -> list[str]:
    """One line of the table."""
    tableau, error = getattr(stepper, "tableau", None), stepper.error_order
    fsal = getattr(tableau, "fsal", getattr(stepper, "fsal", None))
    taken = [each.name for each in gradients if not each.build({}).refusal(stepper)]
    nearly = getattr(stepper, "reverse_order", None)
    taken = [f"{each} (to order {nearly})" if each == "reversible" and nearly else each for each in taken]
    fixed = steppings.get("fixed").build({"steps": 1}).refusal(stepper)
    adaptive = steppings.get("adaptive").build({}).refusal(stepper)
    problem = problem_for(stepper)
    return [
        f"`{name}`",
        str(stepper.order),
        observed(stepper, problem),
        problem.name,
        evaluations(stepper),
        "" if error is None else str(error - 1),
        "" if fsal is None else "yes" if fsal else "no",
        shown(stepper, -1.0 + 0.0j),
        shown(stepper, 1.0j),
        ", ".join(taken),
        " and ".join(kind for kind, refused in (("fixed", fixed), ("adaptive", adaptive)) if not refused),
    ]


def configurations(entry: Entry) -> Iterable[tuple[str, Stepper]]:
    """The scheme by itself, and with some options."""
    for options in ({}, *MORE.get(entry.name, ())):
        stepper = entry.build(dict(options))
        if isinstance(stepper, Stepper):
            yield str(Spec.of(entry.name, options)), stepper


def main(write: Callable[[str], object] = (ROOT / "docs" / "solvers.md").write_text) -> None:
    """Write docs/solvers.md."""
    load_shipped()
    names = COLUMNS.split(" | ")
    lines = [names, ["---"] * len(names)]
    lines += [row(name, stepper) for entry in solvers for name, stepper in configurations(entry)]
    write(HEAD + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + OUTSIDE.format(leaving()))


def leaving() -> str:
    """The schemes whose nodes leave the span, and how far."""
    built = ((name, outside(stepper)) for entry in solvers for name, stepper in configurations(entry))
    return "\n".join(f"- `{name}`: up to {nodes}" for name, nodes in built if nodes is not None)


HEAD = """# Solvers

Made by `make solvers` from the registry; the solvers of other libraries are not among them. `odebench explain NAME`
says more of each.

- **observed**: slope of log error over log steps by least squares, over the errors between 1e-3 and 1e-11, float64,
  on the problem of the next column. High orders show early steps that are better than their order.
- **evaluations**: of f per step at fixed steps, past the start; where an error estimate costs more, also that.
- **embedded**: the order of the solution that the error estimate compares with.
- **real axis**, **imaginary axis**: how far −x, or ix, may go with λ·dt = −x, or ix, on y' = λy until the spectral
  radius of the step is above 1 by 1e-10. Computed by walking the scheme itself, all of its state included. 0: it grows
  however small the step, if slowly.
- **gradients**: those that can be taken through it. All but `adjoint` and `interpolated` are exact to rounding;
  `reversible` only as far as the scheme is undone, where an order stands beside it.

"""

OUTSIDE = """
f is asked for times within the span, but by schemes with nodes outside of their steps, in the first and the last one:

{}

With `jump_t` at both ends of the span `odeint` keeps f inside; where it depends on t the solution is then of order 2.
"""

if __name__ == "__main__":
    main()
