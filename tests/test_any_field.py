"""Whatever is odd about f: every gradient of every solver is right, or is refused by a sentence, or warns."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from odd_fields import FIXED, D, T, seeded, start, told
from odd_parts import BETWEEN, DRAWS, ODD, REFUSED, Field
from torch import Tensor

import odebench
from odebench import registry
from odebench.errors import OdebenchError
from odebench.spec import Spec
from odebench.types import Selective

registry.load_builtins()
SEED = int(os.environ.get("ODEBENCH_TEST_SEED", "14"))
SOLVERS = [entry.name for entry in registry.solvers if "." not in entry.name]
GRADIENTS: dict[str, Any] = {
    "aca": "aca", "recursive": "recursive", "recursive(2)": {"recursive": {"checkpoints": 2}},
    "reversible": "reversible", "symplectic": "symplectic", "forward": {"forward": {"directions": 200}},
    "adjoint": "adjoint", "interpolated": "interpolated",
}  # fmt: skip
assert {gradient.name for gradient in registry.gradients} - {"direct"} == {name.partition("(")[0] for name in GRADIENTS}
CONTINUOUS = ("adjoint", "interpolated")
# Undone to some order only: `reversible` is no exact gradient of these, as their pages say.
NEARLY = ("ees25", "ees27", "backstep")
UNSOLVABLE = (*DRAWS, "spectral norm", "other precision")
IMPLICIT = ("kvaerno", "implicit")
FIELDS_EACH = 6  # for each solver, gradient and stepping
_ROUNDING, _NEWTON = 1e-8, 1e-5  # of sums of some hundred terms; of stages solved for by iteration


@dataclass(frozen=True)
class Cell:
    solver: str
    gradient: str
    adaptive: bool
    parts: tuple[str, ...]
    between: str


def cells(solver: str, chance: random.Random) -> list[Cell]:
    """Every gradient and stepping of a solver, on random fields."""
    estimates = getattr(registry.solvers.build(Spec(solver)), "error_order", None) is not None
    # The equation of an implicit stage has no solution where f answers otherwise each time, and is long looked for.
    names = [name for name in ODD if not (solver.startswith(IMPLICIT) and name in UNSOLVABLE)]
    found = []
    for gradient in GRADIENTS:
        for adaptive in (False, True)[: 1 + estimates]:
            for _ in range(FIELDS_EACH):
                parts = tuple(chance.sample(names, chance.choice((1, 1, 2))))
                if solver.startswith(("kvaerno", "implicit")) and set(parts) & set(DRAWS):
                    continue  # Newton's method does not converge in noise, and takes minutes to say so
                if {"born parameters", "hooked"} <= set(parts):
                    continue  # `turned_back` counts the parameters that a new field has
                if gradient == "symplectic" and "own counter" in parts:
                    continue  # a memory in plain numbers is noticed where a whole step is taken again
                between = "nothing" if chance.random() < 0.6 else chance.choice(list(BETWEEN))
                found.append(Cell(solver, gradient, adaptive, parts, between))
    return found


@lru_cache(maxsize=4096)
def solved(cell: Cell, gradient: str, clean: bool) -> Tensor:
    """The gradient in y0 and all parameters, in one row."""
    apart = isinstance(registry.solvers.build(Spec(cell.solver)), Selective)
    f, y0 = Field(cell.parts, clean, apart), start(rows=2)
    seeded(3)
    how = GRADIENTS.get(gradient, gradient)
    # Tolerances that noise can keep: what is looked at is the steps that were taken.
    more = (
        {"rtol": 10.0, "atol": 10.0, "options": {"first_step": 0.3, "max_num_steps": 50}}
        if cell.adaptive
        else {"options": FIXED}
    )
    ys = odebench.odeint(f, y0, T, method=cell.solver, gradient=how, **more)
    if not clean:
        BETWEEN[cell.between](f)
    ys.square().sum().backward()
    leaves = [y0, *f.parameters()]
    return torch.cat([(torch.zeros_like(x) if x.grad is None else x.grad).flatten() for x in leaves])


def turned_back(cell: Cell, twin: Tensor) -> Tensor:
    """A twin has no hooks; what they do to the gradient is done here."""
    apart = isinstance(registry.solvers.build(Spec(cell.solver)), Selective)
    twin, at = twin.clone(), 4
    for name, p in Field(cell.parts, False, apart).named_parameters():
        if p._backward_hooks:
            assert name.endswith("scale")
            twin[at : at + p.numel()] *= -0.5
        at += p.numel()
    return twin


def outcome(cell: Cell) -> str:
    """`equal`, `refused`, `warned`, `no reference`, or what is wrong."""
    continuous = cell.gradient in CONTINUOUS
    implicit = cell.solver.startswith(IMPLICIT)
    nearly = cell.gradient == "reversible" and cell.solver in NEARLY
    with torch.enable_grad(), told() as said:
        try:
            got = solved(cell, cell.gradient, False)
        except OdebenchError:
            return "refused"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if said:
        return "warned"
    try:
        # A gradient with an error of its own has the same one on the field with nothing odd about it.
        # Implicit stages are solved for without a graph: there backpropagation itself meets what f kept from then, or
        # another f, and is no reference.
        own = continuous or nearly or (implicit and not {"memo by time", "grad mode"}.isdisjoint(cell.parts))
        exact = cell.gradient if continuous or nearly else "direct"
        true = turned_back(cell, solved(cell, exact, True)) if own else solved(cell, "direct", False)
    except (OdebenchError, RuntimeError):
        return "no reference"
    if got.shape != true.shape:
        return f"shapes {tuple(got.shape)} and {tuple(true.shape)}"
    allowed = _NEWTON if implicit else _ROUNDING
    if "other precision" in cell.parts:
        allowed = 1e-4
    if continuous and cell.adaptive:
        allowed = 1e-3  # the way back takes steps of its own, by a norm in which parameters are others for a twin
    if continuous and cell.adaptive and "derived" in cell.parts:
        allowed = 1e-3  # what is solved backwards has the derived tensor for a parameter, and other steps
    off = float((got - true).norm() / true.norm())
    return "equal" if off <= allowed else f"off by {off:.2g}"


def faults(some: list[Cell]) -> tuple[list[str], dict[str, int]]:
    found, counts = [], dict.fromkeys(("equal", "refused", "warned", "no reference"), 0)
    for cell in some:
        what = outcome(cell)
        if what in counts:
            counts[what] += 1
        else:
            found.append(f"{cell}: {what}")
    return found, counts


def test_a_sample_of_all_fields_solvers_and_gradients_is_right_or_says_so() -> None:
    chance = random.Random(SEED)
    some = chance.sample([cell for solver in SOLVERS for cell in cells(solver, chance)], 60)
    found, counts = faults(some)
    assert not found, f"seed {SEED}:\n" + "\n".join(found)
    assert counts["equal"] > 15, f"seed {SEED}: {counts}"


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_all_fields_and_gradients_of_a_solver_are_right_or_say_so(solver: str) -> None:
    found, counts = faults(cells(solver, random.Random(f"{SEED} {solver}")))
    assert not found, f"seed {SEED}:\n" + "\n".join(found)
    assert counts["equal"] > sum(counts.values()) / 5, f"seed {SEED}: {counts}"


@pytest.mark.parametrize("part", [*DRAWS, *REFUSED])
def test_the_odd_parts_are_odd(part: str) -> None:
    """A part that draws or counts answers otherwise at a second call, so a sweep that forgot it would be caught."""
    f, y = Field((part,), False, False), torch.ones(2, 2, dtype=D)
    t = torch.tensor(0.9, dtype=D)
    if part in DRAWS:
        assert not torch.equal(f(t, y), f(t, y))
    else:
        with pytest.raises(OdebenchError):
            odebench.odeint(f, y, T, method="rk4", gradient="aca", options=FIXED).sum().backward()
