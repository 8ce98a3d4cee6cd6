"""Observed order of every solver at fixed steps in float64.

The least-squares slope of log error over log steps, over the errors between 1e-3 and 1e-11, at least four step sizes,
on a problem chosen per solver: one on which the leading error term does not happen to vanish. `pytest -s` prints the
table.
"""

from __future__ import annotations

from functools import cache
from math import log
from statistics import linear_regression

import pytest
import torch
from torch import Tensor

from odebench import registry
from odebench.controllers import Fixed
from odebench.integrate import timed, walk
from odebench.problems import Bound, bind
from odebench.spec import Spec
from odebench.truth import compute_truth

registry.load_builtins()

PREY = Spec.of("lotka_volterra", {"span": (0.0, 1.0)})
SWING = Spec.of("harmonic_oscillator", {"span": (0.0, 20.0)})
SPIRAL = Spec.of("cubic_spiral", {"span": (0.0, 1.0)})
TOP = Spec("rigid_body")
CIRCLE = Spec.of("harmonic_oscillator", {"span": (0.0, 5.0)})
ORBIT = Spec.of("henon_heiles", {"span": (0.0, 3.0)})
DECAY = Spec.of("linear_decay", {"span": (0.0, 1.0)})


def coupled(base: str, coupling: float = 0.999) -> Spec:
    return Spec.of("coupled", {"base": base, "coupling": coupling})


CASES = [
    (Spec("euler"), PREY),
    (Spec("midpoint"), PREY),
    (Spec("heun"), PREY),
    (Spec("ralston"), PREY),
    (Spec("bosh3"), PREY),
    (Spec("rk4"), SWING),
    (Spec("rk38"), SWING),
    (Spec("dopri5"), SWING),
    (Spec("tsit5"), SPIRAL),
    (Spec("dopri8"), TOP),
    (Spec("fehlberg2"), PREY),
    (Spec("heun3"), PREY),
    (Spec("ralston3"), PREY),
    (Spec("vern6"), TOP),
    (Spec("vern7"), TOP),
    (Spec("vern8"), TOP),
    (Spec("vern9"), TOP),
    *((Spec.of("adams_bashforth", {"order": order}), CIRCLE) for order in (2, 3, 4, 5)),
    *((Spec.of("abm", {"order": order}), CIRCLE) for order in (2, 3, 4, 5)),
    (Spec("symplectic_euler"), Spec.of("pendulum", {"span": (0.0, 1.0)})),
    (Spec("stormer_verlet"), ORBIT),
    (Spec("leapfrog"), ORBIT),
    (Spec("yoshida4"), ORBIT),
    (Spec("ees25"), PREY),
    (Spec("ees27"), PREY),
    (Spec("backstep"), SWING),
    (Spec("alf"), PREY),
    (Spec.of("alf", {"eta": 0.9}), PREY),
    (Spec("reversible_heun"), PREY),
    (coupled("midpoint"), PREY),
    (coupled("heun"), Spec.of("pendulum", {"span": (0.0, 3.0)})),
    (coupled("bosh3"), Spec.of("brusselator", {"span": (0.0, 1.0)})),
    (coupled("rk4"), SWING),
    (coupled("dopri5"), DECAY),
    (coupled("dopri8"), TOP),
]


@cache
def posed(problem: Spec) -> tuple[Bound, Tensor]:
    """(the problem, its solution at the end by the independent reference)."""
    bound = bind(problem, batch=1, seed=0, dtype="float64", device="cpu")
    truth = compute_truth(problem, dtype="float64", batch=1, seed=0)
    return bound, torch.as_tensor(truth.y1).reshape(bound.y0.shape)


def errors(solver: Spec, problem: Spec) -> list[tuple[int, float]]:
    """(steps, relative error), errors between 1e-3 and 1e-11 only."""
    bound, truth = posed(problem)
    stepper, field, found = registry.solvers.build(solver), timed(bound.f, bound.y0), []
    for half in range(2, 26):
        steps = round(2 ** (half / 2))
        with torch.no_grad():
            start = stepper.init(field, bound.ts[0], bound.y0.detach())
            y1 = walk(field, stepper, Fixed(steps=steps), bound.ts, start).ys[-1]
        error = float((y1 - truth).norm() / truth.norm())
        if 1e-11 <= error <= 1e-3:
            found.append((steps, error))
        if error < 1e-11 or len(found) == 10:
            break
    return found


def slope(found: list[tuple[int, float]]) -> float:
    return -linear_regression([log(n) for n, _ in found], [log(e) for _, e in found]).slope


@pytest.mark.parametrize(("solver", "problem"), CASES, ids=str)
def test_the_observed_order_is_the_claimed_one(solver: Spec, problem: Spec) -> None:
    claimed = registry.solvers.build(solver).order
    found = errors(solver, problem)
    observed = slope(found)
    print(f"\n| {solver} | {problem} | {found[0][0]}…{found[-1][0]} | {claimed} | {observed:.3f} |", end="")
    assert len(found) >= 4
    assert observed >= claimed - 0.15
    if claimed <= 5:
        assert observed <= claimed + 0.15


def test_damped_alf_claims_first_order_and_plain_alf_second() -> None:
    assert registry.solvers.build(Spec("alf")).order == 2
    assert registry.solvers.build(Spec.of("alf", {"eta": 0.99})).order == 1


def test_coupled_over_euler_mixes_two_error_terms_and_is_only_reported() -> None:
    observed = slope(errors(coupled("euler"), PREY))
    print(f"\n| {coupled('euler')} | {PREY} | reported | 1 | {observed:.3f} |", end="")
    assert 0.5 < observed < 1.5
