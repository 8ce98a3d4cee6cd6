"""Writes the tables in docs/gradients.md from the registry and from what is counted here.

`python docs/gradients.py`, seconds on one core; the words on memory and exactness are those of
`odebench explain`, and what stands beside them is measured: nothing in it depends on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import pi

import torch
from marked import table, update
from torch import Tensor, nn

from odebench.cli.explain_entry import LAWS
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.errors import Refusal
from odebench.gradients import Direct, Forward, misfit
from odebench.measure.count import count
from odebench.measure.trial import NativePair, TorchTrial
from odebench.measure.weigh import allocations
from odebench.problems import Bound
from odebench.registry import Entry, gradients, load_shipped, solvers
from odebench.spec import Spec
from odebench.suite.options import default_of
from odebench.types import Controller, Gradient, Stepper

COUNTED = ("rk4", "dopri5", "alf", "reversible_heun", "coupled", "backstep", "stormer_verlet")
MESHES = (4, 7, 12)  # numbers of steps
STEPS = 12
ROUNDING = 1e-13
BOUNDED = {"recursive": {"checkpoints": 4}}  # where what is kept is a matter of an option
WIDE = 64  # components, so that states are more than what else is held


class Swing(nn.Module):
    """q' = p, p' = −ω·sin q: one parameter, and halves that split, so that every scheme solves it."""

    def __init__(self) -> None:
        super().__init__()
        self.pull = nn.Parameter(torch.tensor(1.3, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, p = y.chunk(2, -1)
        return torch.cat((p, -self.pull * q.sin()), -1)


def swing(size: int = 2) -> Bound:
    """Half a swing of the pendulum, of `size` components; the loss is Σ y(t1)²."""
    f = Swing()
    y0 = torch.linspace(0.6, -0.4, size, dtype=torch.float64).reshape(1, size).requires_grad_()
    return Bound(f, (f.pull,), y0, (0.0, pi / 2), lambda ys: ys[-1].square().sum())


def taken(how: Gradient, stepper: Stepper, control: Controller) -> Tensor:
    """dL/dy0 and dL/dθ, end to end."""
    trial = TorchTrial.of(NativePair(swing(), stepper, how, control))
    trial.both()
    return torch.cat([bar.reshape(-1) for bar in trial.gradients()])


def counted(how: Gradient, stepper: Stepper) -> str:
    """Evaluations of f in the backward pass at N fixed steps, as a formula in N where they are one."""
    found = [
        count(TorchTrial.of(NativePair(swing(), stepper, how, Fixed(steps=steps)))).nfe_backward for steps in MESHES
    ]
    points = list(zip(MESHES, found, strict=True))
    rates = {(b - a) / (n - m) for (m, a), (n, b) in pairwise(points)}
    if len(rates) > 1:
        return f"{found[-1]} at N = {MESHES[-1]}"
    rate = int(rates.pop())
    start = found[0] - rate * MESHES[0]
    grows = {0: "", 1: "N"}.get(rate, f"{rate}·N")
    return " + ".join(filter(None, (grows, str(start or "")))) or "none"


def held(how: Gradient, stepper: Stepper) -> float:
    """States a step that are held between the passes, counted from one mesh to another twice as fine."""
    sizes = []
    size = 2 if isinstance(how, Forward) else WIDE  # each component is a direction
    for steps in MESHES[1:]:
        bound = swing(size)
        trial = TorchTrial.of(NativePair(bound, stepper, how, Fixed(steps=steps)))
        trial.forward()
        trial.clear()
        sizes.append(sum(allocations(trial.forward)))
    return (sizes[1] - sizes[0]) / (MESHES[2] - MESHES[1]) / (8 * size)


def apart(how: Gradient, stepper: Stepper, control: Controller) -> str:
    """The distance to backpropagation through the very same steps, relative to that."""
    trial = TorchTrial.of(NativePair(swing(), stepper, how, control))
    mesh = count(trial).log.mesh
    wanted = taken(Direct(), stepper, Replay(mesh))
    gap = float((taken(how, stepper, control) - wanted).norm() / wanted.norm())
    return "rounding" if gap < ROUNDING else f"{gap:.0e}"


def twice(how: Gradient) -> str:
    """Whether a second derivative can be taken."""
    bound = swing()
    ys = NativePair(bound, usual(how), how, Fixed(steps=3)).solve(bound.f, None)
    (bar,) = torch.autograd.grad(ys[-1].sin().sum(), bound.y0, create_graph=True)
    try:
        torch.autograd.grad(bar.square().sum(), bound.y0)
    except Refusal:
        return "refused"
    return "yes"


def usual(how: Gradient) -> Stepper:
    """rk4, or alf where the steps have to be undone."""
    first = solvers.build(Spec("rk4"))
    chosen: Stepper = solvers.build(Spec("alf")) if how.refusal(first) else first
    return chosen


def takers(how: Gradient) -> str:
    """The schemes that it can be taken through."""
    built = [(entry.name, entry.build({})) for entry in solvers]
    own = [(name, stepper) for name, stepper in built if isinstance(stepper, Stepper)]
    refused = [f"`{name}`" for name, stepper in own if how.refusal(stepper)]
    fitting = [f"`{name}`" for name, stepper in own if not how.refusal(stepper)]
    if not refused:
        return "all"
    return ", ".join(fitting) if len(fitting) < len(refused) else f"all but {', '.join(refused)}"


def option(name: str, default: object) -> str:
    """As it is written in a suite, with its default."""
    spelt = str(default).lower() if isinstance(default, bool) else "none" if default is None else str(default)
    return f"`{name}`: {spelt}"


def methods() -> Iterator[list[str]]:
    """What there is, and what it goes with."""
    yield ["gradient", "also called", "options", "solvers", "`per_sample`", "second derivatives", "reference"]
    for entry in gradients:
        how = entry.build({})
        yield [
            f"`{entry.name}`",
            ", ".join(f"`{alias}`" for alias in entry.aliases),
            ", ".join(option(name, default_of(each)) for name, each in entry.options.items()),
            takers(how),
            "refused" if misfit(how, Adaptive(per_sample=True)) else "yes",
            twice(how),
            entry.reference,
        ]


def costs() -> Iterator[list[str]]:
    """What each keeps, what it evaluates and how near it comes: in words, and counted."""
    yield ["gradient", "kept until the backward pass", "states a step", "evaluations of f going back", "exact"]
    for entry in gradients:
        memory, back, exact = map(plain, LAWS[entry.name])
        how = entry.build(BOUNDED.get(entry.name, {}))
        yield [f"`{entry.name}`", memory, f"{held(how, usual(how)):.2g}", back, exact]


def plain(words: str) -> str:
    """Formulas as they are written on a page."""
    return words.replace(" * ", "·").replace(" - ", " − ").replace(">=", "≥")


def evaluations() -> Iterator[list[str]]:
    """Counted, by solver."""
    steppers = [solvers.build(Spec(name)) for name in COUNTED]
    yield ["gradient", *(f"`{name}`" for name in COUNTED)]
    for entry in gradients:
        how = entry.build({})
        yield [f"`{entry.name}`", *("" if how.refusal(each) else counted(how, each) for each in steppers)]


def distances() -> Iterator[list[str]]:
    """Measured, by solver and stepping."""
    cases: list[tuple[str, Entry, Controller]] = [
        (f"`{name}`, {STEPS} steps", solvers.get(name), Fixed(steps=STEPS)) for name in COUNTED
    ]
    cases.insert(2, ("`dopri5`, rtol 1e-3", solvers.get("dopri5"), Adaptive(1e-3, 1e-4)))
    yield ["gradient", *(title for title, _, _ in cases)]
    ways = [Spec(entry.name) for entry in gradients]
    ways.insert(1, Spec.of("direct", {"control": True}))
    for spec in ways:
        how, row = gradients.build(spec), [f"`{spec}`"]
        for _, entry, control in cases:
            stepper = entry.build({})
            row.append("" if how.refusal(stepper) else apart(how, stepper, control))
        yield row


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    each.__name__: each for each in (methods, costs, evaluations, distances)
}


def part(name: str) -> str:
    """One of them, in Markdown."""
    head, *body = TABLES[name]()
    return table(" | ".join(head), body)


def main() -> None:
    """Put the tables into docs/gradients.md."""
    load_shipped()
    update("gradients.md", {name: part(name) for name in TABLES})


if __name__ == "__main__":
    main()
