"""The solver × gradient matrix that several tests walk through, and a small field to walk it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from odebench import registry
from odebench.gradients import misfit
from odebench.integrate import timed
from odebench.measure.count import CountedField, StepLog
from odebench.problems import Bound, bind
from odebench.solvers import RungeKutta
from odebench.spec import Spec
from odebench.types import Controller, Gradient, Selective, Stepper

registry.load_builtins()


def _default(entry: registry.Entry) -> object:
    return None if any(option.required for option in entry.options.values()) else entry.build({})


SEPARABLE = [Spec("symplectic_euler"), Spec("stormer_verlet"), Spec("leapfrog"), Spec("yoshida4")]
# Undone up to some order only: `reversible` is no exact gradient of these.
BACKSTEPPING = [Spec("ees25"), Spec("ees27"), Spec("backstep"), Spec.of("backstep", {"base": "dopri5"})]
SOLVERS = [
    *(Spec(entry.name) for entry in registry.solvers if isinstance(_default(entry), RungeKutta)),
    Spec("alf"),
    Spec("reversible_heun"),
    *(Spec.of("coupled", {"base": base}) for base in ("euler", "midpoint", "bosh3", "rk4", "dopri5")),
    Spec.of("coupled", {"base": "rk4", "coupling": 0.9, "reset": 7}),
    *SEPARABLE,
    *(Spec.of("adams_bashforth", {"order": order}) for order in (1, 2, 5)),
    *(Spec.of("abm", {"order": order}) for order in (1, 3, 4)),
    *BACKSTEPPING,
]
EXACT = [
    Spec("direct"), Spec("aca"), Spec.of("recursive", {"checkpoints": 1}), Spec.of("recursive", {"checkpoints": 3}),
    Spec("recursive"), Spec("reversible"), Spec("symplectic"),
]  # fmt: skip
FIXED = Spec.of("fixed", {"steps": 50})
ADAPTIVE = Spec.of("adaptive", {"rtol": 1e-5, "atol": 1e-7})


@dataclass
class Solved:
    """One solve with its gradient and its counts."""

    ys: Tensor
    gradient: Tensor
    nfe_forward: int
    nfe_backward: int
    vjp_backward: int
    log: StepLog


def mlp(batch: int = 2, span: tuple[float, float] = (0.0, 10.0), saves: int = 1) -> Bound:
    spec = Spec.of("mlp", {"dim": 5, "hidden": 11, "span": span, "saves": saves})
    return bind(spec, batch=batch, seed=0, dtype="float64", device="cpu")


def lotka(saves: int = 1, batch: int = 1, span: tuple[float, float] = (0.0, 3.0)) -> Bound:
    """Of few parameters: four, and two components of the state."""
    return bind(
        Spec.of("lotka_volterra", {"span": span, "saves": saves}), batch=batch, seed=0, dtype="float64", device="cpu"
    )


def posed(solver: Spec, saves: int = 1) -> Bound:
    """The neural field, or for a scheme that is choosy a problem of the structure it asks for."""
    if not isinstance(registry.solvers.build(solver), Selective):
        return mlp(saves=saves)
    spec = Spec.of("henon_heiles", {"span": (0.0, 10.0), "saves": saves})
    return bind(spec, batch=2, seed=0, dtype="float64", device="cpu")


def exact(solver: Spec, gradient: Spec) -> bool:
    """Whether the pair claims the gradient of the very steps that were taken."""
    return gradient.name != "reversible" or not hasattr(registry.solvers.build(solver), "reverse_order")


def refusal(solver: Spec, gradient: Spec, stepping: Spec) -> str | None:
    stepper = registry.solvers.build(solver)
    control, how = registry.steppings.build(stepping), registry.gradients.build(gradient)
    said: str | None = control.refusal(stepper)
    return said or how.refusal(stepper) or misfit(how, control)


def solve(bound: Bound, solver: Spec | Stepper, gradient: Spec | Gradient, stepping: Spec | Controller) -> Solved:
    """Solve `bound` and take the gradient of its loss, everything counted."""
    stepper = registry.solvers.build(solver) if isinstance(solver, Spec) else solver
    how = registry.gradients.build(gradient) if isinstance(gradient, Spec) else gradient
    control = registry.steppings.build(stepping) if isinstance(stepping, Spec) else stepping
    f, log = CountedField(bound.f), StepLog()
    ys = how.solve(timed(f, bound.y0), bound.params, bound.y0, bound.ts, stepper, control, log)
    forward = f.calls
    parts = torch.autograd.grad(bound.loss(ys), (bound.y0, *bound.params))
    flat = torch.cat([part.reshape(-1) for part in parts])
    return Solved(ys.detach(), flat, forward, f.calls - forward, f.cotangents, log)


def relative(got: Tensor, reference: Tensor) -> float:
    return float((got - reference).norm() / reference.norm())
