"""What adaptive schemes make of a tolerance, on non-stiff problems whose ends are known to 15 digits and more.

The band is the error of SciPy's DOP853 at the same tolerance, rtol = atol, in the largest component.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from odebench import registry
from odebench.controllers import Adaptive
from odebench.integrate import timed, walk
from odebench.measure.count import CountedField
from odebench.problems import Bound, bind
from odebench.spec import Spec

registry.load_builtins()

# By extrapolation in 28 digits and more, two runs of different order and tolerance that agree to 1e-19.
ENDS: dict[str, tuple[float, tuple[float, ...]]] = {
    "lotka_volterra": (10.0, (1.0263447675750893191, 0.9096910781360416175)),
    "fitzhugh_nagumo": (10.0, (-1.954045952935474444, 0.9943443737838957232)),
    "van_der_pol": (20.0, (2.008149762174948592, -0.042508875273202147)),
    "lorenz": (1.0, (-9.4084505670560362054, -9.0961990711864789683, 28.5816276243923391085)),
    "brusselator": (20.0, (0.4986370712683478486, 4.5967803494520111832)),
    "rigid_body": (20.0, (0.6062038539648122218, 0.6287472104501779704, 0.8073851485756025755)),
}


@pytest.mark.parametrize("tolerance", [1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("problem", ENDS)
@pytest.mark.parametrize("solver", ["dopri8", "vern9"])
def test_high_orders_err_at_most_ten_times_as_much_as_dop853_and_cost_about_the_same(
    solver: str, problem: str, tolerance: float
) -> None:
    band, theirs = scipys("DOP853", problem, tolerance)
    error, nfe = ours(solver, problem, tolerance)
    assert error <= 10 * band
    assert nfe < 1.6 * theirs


@pytest.mark.parametrize("tolerance", [1e-6, 1e-9])
@pytest.mark.parametrize("problem", ENDS)
def test_dopri5_errs_and_costs_what_the_same_pair_does_in_scipy(problem: str, tolerance: float) -> None:
    band, theirs = scipys("RK45", problem, tolerance)
    error, nfe = ours("dopri5", problem, tolerance)
    assert error < 2 * band
    assert nfe == pytest.approx(theirs, rel=0.05)


def ours(solver: str, problem: str, tolerance: float) -> tuple[float, int]:
    """(error, evaluations)."""
    bound, stepper = posed(problem), registry.solvers.build(Spec(solver))
    counted = CountedField(bound.f)
    field, y0 = timed(counted, bound.y0), bound.y0.detach()
    with torch.no_grad():
        start = stepper.init(field, bound.ts[0], y0)
        end = walk(field, stepper, Adaptive(tolerance, tolerance), bound.ts, start).ys[-1]
    return gap(problem, end[0].tolist()), counted.calls


@cache
def scipys(method: str, problem: str, tolerance: float) -> tuple[float, int]:
    """(error, evaluations)."""
    from scipy.integrate import solve_ivp

    bound = posed(problem)

    def f(t: float, y: Any) -> Any:
        with torch.no_grad():
            return bound.f(torch.tensor(t, dtype=torch.float64), torch.from_numpy(y)[None])[0].numpy()

    start = bound.y0.detach()[0].numpy()
    got = solve_ivp(f, (bound.ts[0], bound.ts[-1]), start, method=method, rtol=tolerance, atol=tolerance)
    return gap(problem, got.y[:, -1].tolist()), got.nfev


def posed(problem: str) -> Bound:
    spec = Spec.of(problem, {"span": (0.0, ENDS[problem][0])})
    return bind(spec, batch=1, seed=0, dtype="float64", device="cpu")


def gap(problem: str, end: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(end, ENDS[problem][1], strict=True))
