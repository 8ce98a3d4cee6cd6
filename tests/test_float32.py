"""Every scheme in float32: the same steps as in float64, but for rounding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from matrix import FIXED, SOLVERS, Solved, exact, posed, relative, solve
from torch import Tensor

from odebench import registry
from odebench.problems import Bound, bind
from odebench.spec import Spec
from odebench.types import Selective

IMPLICIT = [Spec("implicit_euler"), Spec("kvaerno3"), Spec("kvaerno4"), Spec("kvaerno5")]
STEPS = 50
EPS = 2.0**-24
# Units of rounding a step. Stages of the pairs of Verner cancel: sums of |a| in a row reach 400.
ROUNDINGS = {"vern6": 200, "vern8": 12}


def single(solver: Spec) -> Bound:
    """The problem of `posed` in float32, from the same numbers."""
    choosy = isinstance(registry.solvers.build(solver), Selective)
    spec = (
        Spec.of("henon_heiles", {"span": (0.0, 10.0)})
        if choosy
        else Spec.of("mlp", {"dim": 5, "hidden": 11, "span": (0.0, 10.0)})
    )
    return bind(spec, batch=2, seed=0, dtype="float32", device="cpu")


def both(solver: Spec, gradient: str) -> tuple[Solved, Solved]:
    wide = posed(solver)
    narrow = single(solver)
    # The start and the parameters of float32, carried over exactly, so that rounding in the solve is all there is.
    wide.y0.data.copy_(narrow.y0)
    for each, own in zip(wide.params, narrow.params, strict=True):
        each.data.copy_(own)
    return solve(narrow, solver, Spec(gradient), FIXED), solve(wide, solver, Spec(gradient), FIXED)


@pytest.mark.parametrize("solver", [*SOLVERS, *IMPLICIT], ids=str)
def test_float32_differs_from_float64_by_rounding_and_stays_float32(solver: Spec) -> None:
    got, wanted = both(solver, "aca")
    assert got.ys.dtype == got.gradient.dtype == torch.float32
    assert (got.nfe_forward, got.nfe_backward) == (wanted.nfe_forward, wanted.nfe_backward) or solver in IMPLICIT
    allowed = ROUNDINGS.get(solver.name, 2) * STEPS * EPS
    assert relative(got.ys.double(), wanted.ys) < allowed
    assert relative(got.gradient.double(), wanted.gradient) < allowed


REVERSIBLE = [
    each for each in SOLVERS if hasattr(registry.solvers.build(each), "unstep") and exact(each, Spec("reversible"))
]


@pytest.mark.parametrize("solver", REVERSIBLE, ids=str)
def test_undoing_steps_in_float32_gives_the_gradient_of_those_steps(solver: Spec) -> None:
    gradients: dict[str, Tensor] = {}
    for gradient in ("direct", "reversible"):
        bound = single(solver)
        gradients[gradient] = solve(replace(bound), solver, Spec(gradient), FIXED).gradient
    coupling = dict(solver.options).get("coupling", 0.999)
    damped = float(coupling) ** -STEPS if solver.name == "coupled" else 1.0
    assert relative(gradients["reversible"], gradients["direct"]) < 2 * STEPS * EPS * damped
