"""The reference solver against certified end values, closed forms and finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.special import ellipj

from odebench.errors import SolveError
from odebench.problems import bind
from odebench.reference import Extrapolation, pull_back, solve, weights
from odebench.spec import Spec

FINE = Extrapolation(6, 1e-13)

# (problem, options, end of the span, end state, relative error allowed). Computed in 28 to 34 digits and certified by a
# second run of another order; what is allowed is what the problem does to float64's rounding, not to the tolerance.
CERTIFIED: list[tuple[str, dict[str, Any], float, list[float], float]] = [
    ("cubic_spiral", {}, 1.0, [0.7092617432531032400, -1.5041084578403842596], 1e-12),
    ("cubic_spiral", {}, 25.0, [-0.4436234866986349454, 0.2794406416189389983], 1e-11),
    ("lotka_volterra", {}, 1.0, [2.7728509018411121191, 0.2587108781425639539], 1e-12),
    ("lotka_volterra", {}, 10.0, [1.0263447675750893191, 0.9096910781360416175], 1e-11),
    ("fitzhugh_nagumo", {}, 10.0, [-1.9540459529354744440, 0.9943443737838957232], 1e-11),
    ("van_der_pol", {}, 20.0, [2.0081497621749485920, -0.0425088752732021470], 1e-11),
    ("van_der_pol", {"mu": 5.0}, 1.0, [1.8694388533931283508, -0.1482358753771368897], 1e-12),
    ("van_der_pol", {"mu": 5.0}, 20.0, [-1.6012968795428539088, 0.1983266763386620845], 1e-11),
    ("van_der_pol", {"mu": 10.0}, 20.0, [1.9393585327826517344, -0.0700815057358074034], 1e-11),
    ("lorenz", {}, 1.0, [-9.4084505670560362054, -9.0961990711864789683, 28.5816276243923391085], 1e-11),
    ("lorenz", {}, 5.0, [-6.9745704726848179543, -7.0210608908225304412, 25.1196164921275937361], 1e-11),
    ("lorenz", {}, 10.0, [-5.8576853824240900202, -5.8310824864261004429, 23.9321329870275626474], 1e-11),
    ("lorenz", {}, 20.0, [-8.0211436133174370677, -11.9054647491717503752, 19.8563748583984131205], 1e-8),
    ("brusselator", {}, 1.0, [1.9687324368631135014, 1.3872242658075480341], 1e-12),
    ("brusselator", {}, 20.0, [0.4986370712683478486, 4.5967803494520111832], 1e-11),
    ("rigid_body", {}, 20.0, [0.6062038539648122218, 0.6287472104501779704, 0.8073851485756025755], 1e-11),
    ("arenstorf", {}, 17.0652165601579625588917206249, [0.994, 0.0, 0.0, -2.00158510637908252240537862224], 1e-8),
    ("pendulum", {}, 10.0, [0.114252255017604299, -0.993458914955227827], 1e-12),
]


def end_state(name: str, options: dict[str, Any], end: float, how: Extrapolation = FINE) -> torch.Tensor:
    case = bind(Spec.of(name, {**options, "span": [0.0, end]}), batch=1, seed=0, dtype="float64", device="cpu")
    return solve(case.f, case.y0, case.ts, how).ys[-1, 0]


@pytest.mark.parametrize(("name", "options", "end", "certified", "allowed"), CERTIFIED)
def test_the_reference_reaches_the_certified_end_values(
    name: str, options: dict[str, Any], end: float, certified: list[float], allowed: float
) -> None:
    truth = torch.tensor(certified, dtype=torch.float64)
    assert torch.linalg.vector_norm(end_state(name, options, end) - truth) <= allowed * torch.linalg.vector_norm(truth)


def test_the_reference_agrees_with_the_elliptic_functions_of_pendulum_and_rigid_body() -> None:
    sn, cn, _, _ = ellipj(7.0, 0.25)
    q, p = end_state("pendulum", {}, 7.0).tolist()
    assert p == pytest.approx(cn, abs=1e-12)
    assert math.sin(q / 2) == pytest.approx(0.5 * sn, abs=1e-12)
    sn, cn, dn, _ = ellipj(1.8 * 0.625**0.5 * 5.0, 0.5 / 1.62)
    assert end_state("rigid_body", {}, 5.0).tolist() == pytest.approx([cn, 0.625**0.5 * sn, 0.9 * dn], abs=1e-11)


@pytest.mark.parametrize("columns", [2, 3, 6, 7])
def test_the_weights_cancel_even_powers_of_the_substep(columns: int) -> None:
    rule = weights(columns)
    assert sum(rule.best) == pytest.approx(1.0, abs=1e-12)
    assert sum(rule.low) == pytest.approx(1.0, abs=1e-12)
    for power in range(1, columns):
        left = sum(w * n ** (-2.0 * power) for w, n in zip(rule.best, rule.counts, strict=True))
        assert left == pytest.approx(0.0, abs=1e-13)


def loss_and_gradient(name: str, options: dict[str, Any], how: Extrapolation = FINE) -> tuple[Any, torch.Tensor]:
    case = bind(Spec.of(name, options), batch=2, seed=0, dtype="float64", device="cpu")
    solution = solve(case.f, case.y0, case.ts, how)
    ys = solution.ys.requires_grad_()
    (ys_bar,) = torch.autograd.grad(case.loss(ys), ys)
    y0_bar, params_bar = pull_back(case.f, case.params, solution, ys_bar, how)
    return case, torch.cat([y0_bar.flatten(), *(bar.flatten() for bar in params_bar)])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lotka_volterra", {"span": [0, 3]}),
        ("mlp", {"dim": 2, "hidden": 3, "span": [0, 2]}),
        ("van_der_pol", {"span": [2, 0], "saves": 3}),
    ],
)
def test_the_gradient_is_that_of_finite_differences(name: str, options: dict[str, Any]) -> None:
    case, gradient = loss_and_gradient(name, options)
    differences = []
    for leaf in (case.y0, *case.params):
        flat = leaf.detach().view(-1)
        for index in range(flat.numel()):
            held, losses = flat[index].item(), []
            for shift in (2e-4, 1e-4, -1e-4, -2e-4):
                flat[index] = held + shift
                losses.append(case.loss(solve(case.f, case.y0, case.ts, FINE).ys).item())
            flat[index] = held
            outer_up, up, down, outer_down = losses
            differences.append((8 * (up - down) - (outer_up - outer_down)) / 12e-4)
    expected = torch.tensor(differences, dtype=torch.float64)
    assert torch.linalg.vector_norm(gradient - expected) <= 1e-9 * torch.linalg.vector_norm(expected)


def test_orders_and_tolerances_agree_on_the_gradient() -> None:
    _, one = loss_and_gradient("brusselator", {"span": [0, 5]})
    _, two = loss_and_gradient("brusselator", {"span": [0, 5]}, Extrapolation(4, 1e-12))
    assert torch.linalg.vector_norm(one - two) <= 1e-9 * torch.linalg.vector_norm(one)


def test_a_small_sample_is_as_accurate_beside_a_large_one() -> None:
    y0 = torch.tensor([[1e6], [1e-6]], dtype=torch.float64)
    y1 = solve(lambda t, y: -y * torch.cos(t), y0, (0.0, 3.0), FINE).ys[-1]
    assert (y1 / y0 - torch.exp(-torch.sin(torch.tensor(3.0, dtype=torch.float64)))).abs().max() < 1e-12


def test_a_start_at_zero_is_left() -> None:
    y1 = solve(lambda t, y: torch.cos(t) + 0 * y, torch.zeros(1, 1, dtype=torch.float64), (0.0, 2.0), FINE).ys[-1]
    assert y1.item() == pytest.approx(0.90929742682568169540, abs=1e-12)


def test_a_solution_that_blows_up_is_an_error_and_no_answer() -> None:
    with pytest.raises(SolveError, match="blow up"):
        solve(lambda t, y: y * y, torch.ones(1, 1, dtype=torch.float64), (0.0, 2.0), FINE)


def test_a_solve_that_takes_too_long_says_how_far_it_got() -> None:
    with pytest.raises(SolveError, match=r"took 5 steps and got to t=.* of 10"):
        end_state("lorenz", {}, 10.0, Extrapolation(6, 1e-13, max_steps=5))
