"""Writes the table in docs/saves.md: what saved times cost `odeint`, in calls of f, bytes and error.

`python docs/saves.py`, five minutes on one core. Calls and errors are those of any machine, bytes those of torch's
version. torchdiffeq stands beside where it has the scheme and the gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from marked import table, update
from torch import Tensor, nn

import odebench
from odebench.errors import OdebenchError
from odebench.measure.weigh import peak_bytes
from odebench.registry import load_builtins, solvers
from odebench.solve.methods import one_step_per_interval
from odebench.spec import Spec
from odebench.types import Selective, Stepper

SAVES = (2, 10, 100)
TOLERANCES = {"rtol": 1e-4, "atol": 1e-4}
GRADIENTS: dict[str, Any] = {
    "direct": "direct",
    "aca": "aca",
    "recursive, 3 checkpoints": {"recursive": {"checkpoints": 3}},
    "symplectic": "symplectic",
    "forward": "forward",
    "adjoint": "adjoint",
    "interpolated": "interpolated",
    "reversible": "reversible",
}
# Of order 1: it takes ten thousand steps here.
LEFT_OUT = ("implicit_euler",)
# Bases that estimate an error, for schemes that are made of another.
OPTIONS = {"coupled": {"base": "bosh3"}, "backstep": {"base": "bosh3"}}


class Pendulum(nn.Module):
    """q' = p, p' = −ω·sin q − γ·p: two parameters, few enough for forward sensitivities."""

    def __init__(self) -> None:
        super().__init__()
        self.pull = nn.Parameter(torch.tensor(4.0, dtype=torch.float64))
        self.drag = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.calls = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        q, p = y.chunk(2, -1)
        return torch.cat((p, -self.pull * q.sin() - self.drag * p), -1)


class Cost(NamedTuple):
    """Of one solve and its gradient."""

    forward: int
    backward: int
    bytes: int
    error: float


def start() -> Tensor:
    """Fifty pendulums, shape (50, 2)."""
    q = torch.linspace(-2.5, 2.5, 50, dtype=torch.float64)
    return torch.stack((q, torch.zeros_like(q)), -1)


def times(saves: int) -> Tensor:
    """Equidistant, both ends among them."""
    return torch.linspace(0.0, 3.0, saves, dtype=torch.float64)


@cache
def truth(saves: int) -> Tensor:
    """At tolerances of 1e-13, each time landed on."""
    options = {"dense": False}
    with torch.no_grad():
        found: Tensor = odebench.odeint(Pendulum(), start(), times(saves), rtol=1e-13, atol=1e-13, options=options)
    return found


def cost(solve: Callable[[Pendulum, Tensor, Tensor], Tensor], saves: int) -> Cost:
    """Of `solve(f, y0, t)` and the gradient of Σ y(t1)²."""
    f, y0, ts = Pendulum(), start(), times(saves)
    ys = solve(f, y0, ts)
    forward = f.calls
    ys[-1].square().sum().backward()
    error = float((ys.detach() - truth(saves)).abs().max())
    backward = f.calls - forward
    del ys

    def both() -> None:
        solve(f, y0, ts)[-1].square().sum().backward()

    return Cost(forward, backward, peak_bytes(both, y0.device), error)


def native(method: Any, gradient: Any) -> Callable[[Pendulum, Tensor, Tensor], Tensor]:
    """By odebench."""
    return lambda f, y0, t: odebench.odeint(f, y0, t, method=method, gradient=gradient, **TOLERANCES)


def theirs(method: str, adjoint: bool) -> Callable[[Pendulum, Tensor, Tensor], Tensor]:
    """By torchdiffeq."""
    import torchdiffeq

    solve = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
    return lambda f, y0, t: solve(f, y0, t, method=method, **TOLERANCES)


def methods() -> Iterator[tuple[str, Any]]:
    """(name, method) of every scheme that a tolerance can drive and that takes any f."""
    load_builtins()
    for entry in solvers:
        options = OPTIONS.get(entry.name, {})
        method, stepper = Spec.of(entry.name, options), entry.build(options)
        if not isinstance(stepper, Stepper) or isinstance(stepper, Selective) or entry.name in LEFT_OUT:
            continue
        if not one_step_per_interval(method, stepper):
            yield entry.name, method


def costs() -> Iterator[tuple[str, str, list[Cost]]]:
    """(scheme, gradient, a cost for each number of saves) of all that go together; then torchdiffeq's."""
    for name, method in methods():
        for gradient, how in GRADIENTS.items():
            try:
                yield name, gradient, [cost(native(method, how), saves) for saves in SAVES]
            except OdebenchError:
                continue
        if name in THEIRS:
            for gradient in ("direct", "adjoint"):
                found = [cost(theirs(THEIRS[name], gradient == "adjoint"), saves) for saves in SAVES]
                yield f"torchdiffeq.{THEIRS[name]}", gradient, found


THEIRS = {"heun": "adaptive_heun", **{name: name for name in ("fehlberg2", "bosh3", "dopri5", "dopri8")}}


def parts() -> dict[str, str]:
    """The table by the name of its place."""
    rows = []
    for name, gradient, found in costs():
        row = [f"`{name}`", gradient]
        row += [" / ".join(str(getattr(each, what)) for each in found) for what in ("forward", "backward")]
        row += [" / ".join(f"{each.bytes / 1000:.0f}" for each in found)]
        row += [" / ".join(f"{each.error:.0e}" for each in found)]
        rows.append(row)
    return {"saves": table("scheme | gradient | calls forward | calls back | peak, kB | largest error", rows)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    update("saves.md", parts())
