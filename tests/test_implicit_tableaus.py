"""The implicit tableaus: order conditions, stiff accuracy, A-stability and R(∞) = 0, from the coefficients alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from test_tableaus import Tree, density, trees

from odebench.solvers import implicit_tableaus
from odebench.solvers.implicit_tableaus import KVAERNO3, ImplicitTableau

TABLEAUS = {name: each for name, each in vars(implicit_tableaus).items() if isinstance(each, ImplicitTableau)}


def matrix(tableau: ImplicitTableau) -> list[list[Fraction]]:
    stages = len(tableau.a)
    full = [[*row, tableau.gamma if row else 0.0] for row in tableau.a]
    return [[Fraction(x) for x in row] + [Fraction(0)] * (stages - len(row)) for row in full]


def weights(tree: Tree, a: list[list[Fraction]]) -> list[Fraction]:
    """Elementary weight of the tree, stage by stage."""
    out = [Fraction(1)] * len(a)
    for branch in tree:
        inner = weights(branch, a)
        out = [
            w * sum((x * y for x, y in zip(row, inner, strict=True)), Fraction(0))
            for w, row in zip(out, a, strict=True)
        ]
    return out


def defect(tableau: ImplicitTableau, b: tuple[float, ...], order: int) -> float:
    """The worst violation of b·Φ(τ) = 1/γ(τ) over all trees of `order` nodes, in exact arithmetic on the floats."""
    a = matrix(tableau)
    values = [
        sum((Fraction(w) * phi for w, phi in zip(b, weights(tree, a), strict=True)), Fraction(0))
        for tree in trees(order)
    ]
    return float(max(abs(v - Fraction(1, density(tree))) for v, tree in zip(values, trees(order), strict=True)))


def growth(tableau: ImplicitTableau, z: complex) -> complex:
    a = np.array(matrix(tableau), dtype=float)
    return complex(np.linalg.solve(np.eye(len(a)) - z * a, np.ones(len(a)))[-1])


@pytest.mark.parametrize("name", TABLEAUS)
def test_it_meets_all_order_conditions_of_its_order_and_not_the_next(name: str) -> None:
    tableau = TABLEAUS[name]
    assert all(defect(tableau, tableau.b, order) < 1e-14 for order in range(1, tableau.order + 1))
    assert defect(tableau, tableau.b, tableau.order + 1) > 1e-3


@pytest.mark.parametrize("name", TABLEAUS)
def test_the_estimate_is_of_the_claimed_order(name: str) -> None:
    tableau = TABLEAUS[name]
    apart = [abs(defect(tableau, tableau.b_low, n)) for n in range(1, tableau.error_order)]
    assert max(apart) < 1e-14
    worst = max(defect(tableau, tableau.b, tableau.error_order), defect(tableau, tableau.b_low, tableau.error_order))
    assert worst > 1e-3


@pytest.mark.parametrize("name", TABLEAUS)
def test_it_is_stiffly_accurate(name: str) -> None:
    tableau = TABLEAUS[name]
    assert tableau.c[-1] == 1.0
    assert tableau.c[0] == 0.0
    assert tableau.b == (*tableau.a[-1], tableau.gamma)


@pytest.mark.parametrize("name", TABLEAUS)
def test_it_is_l_stable(name: str) -> None:
    tableau = TABLEAUS[name]
    a = np.array(matrix(tableau), dtype=float)
    at_infinity = -np.linalg.solve(a[1:, 1:], a[1:, 0])[-1]
    assert abs(at_infinity) < 2e-14
    # The only pole is 1/γ, to the right: by the maximum principle the imaginary axis bounds the left half-plane.
    assert max(abs(growth(tableau, 1j * y)) for y in np.logspace(-3, 6, 800)) < 1 + 1e-12
    assert abs(growth(tableau, -1e9)) < 1e-7


def test_eleven_digits_of_gamma_are_not_enough_for_l_stability() -> None:
    short = 0.43586652150
    last = (
        (6 * short - 1) / (12 * short),
        -1 / ((24 * short - 12) * short),
        (-6 * short**2 + 6 * short - 1) / (6 * short - 3),
    )
    rows = (
        KVAERNO3.a[0],
        (short,),
        ((-4 * short**2 + 6 * short - 1) / (4 * short), (1 - 2 * short) / (4 * short)),
        last,
    )
    a = np.zeros((4, 4))
    for i, row in enumerate(rows[1:], 1):
        a[i, : i + 1] = [*row, short]
    assert abs(np.linalg.solve(a[1:, 1:], a[1:, 0])[-1]) > 1e-11


def test_a_tableau_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="row i of `a` needs i entries"):
        ImplicitTableau(a=((), ()), gamma=1.0, order=1, b_low=(0.5, 0.5), error_order=2)
    with pytest.raises(ValueError, match="gamma must be positive"):
        ImplicitTableau(a=((), (1.0,)), gamma=0.0, order=1, b_low=(0.5, 0.5), error_order=2)
    with pytest.raises(ValueError, match="the last row must be 2 weights that sum to 1"):
        ImplicitTableau(a=((), (0.5,)), gamma=1.0, order=1, b_low=(0.5, 0.5), error_order=2)
