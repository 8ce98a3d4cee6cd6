"""Order conditions of every tableau, on rational coefficients, and the checks a tableau makes of itself."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

from odebench.solvers import tableaus
from odebench.solvers.tableaus import Tableau

TABLEAUS = {name: value for name, value in vars(tableaus).items() if isinstance(value, Tableau)}

# A rooted tree is the sorted tuple of the trees that hang off its root.
Tree = tuple["Tree", ...]


@cache
def trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with `order` nodes."""
    return tuple(sorted({tuple(sorted(forest)) for forest in forests(order - 1)}))


def forests(nodes: int, largest: int | None = None) -> list[tuple[Tree, ...]]:
    if nodes == 0:
        return [()]
    found = []
    for size in range(1, min(nodes, largest or nodes) + 1):
        for tree in trees(size):
            found += [(tree, *rest) for rest in forests(nodes - size, size)]
    return found


def size(tree: Tree) -> int:
    return 1 + sum(map(size, tree))


def density(tree: Tree) -> int:
    product = size(tree)
    for branch in tree:
        product *= density(branch)
    return product


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


def largest_defect(tableau: Tableau, b: tuple[float, ...], order: int) -> float:
    """The worst violation of b·Φ(τ) = 1/γ(τ) over all trees up to `order`, in exact arithmetic on the floats."""
    stages = len(tableau.b)
    a = [[Fraction(x) for x in row] + [Fraction(0)] * (stages - len(row)) for row in tableau.a]
    worst = Fraction(0)
    for nodes in range(1, order + 1):
        for tree in trees(nodes):
            value = sum((Fraction(w) * phi for w, phi in zip(b, weights(tree, a), strict=True)), Fraction(0))
            worst = max(worst, abs(value - Fraction(1, density(tree))))
    return float(worst)


def test_the_number_of_rooted_trees_is_the_known_one() -> None:
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_tableau_meets_all_order_conditions_of_its_order_and_not_the_next(name: str) -> None:
    tableau = TABLEAUS[name]
    assert largest_defect(tableau, tableau.b, tableau.order) < 5e-15
    if tableau.order < 8:
        assert largest_defect(tableau, tableau.b, tableau.order + 1) > 1e-5


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUS.items() if tableau.b_low])
def test_the_embedded_weights_are_of_one_order_less_than_the_error_order(name: str) -> None:
    tableau = TABLEAUS[name]
    assert tableau.b_low is not None
    assert tableau.error_order is not None
    assert largest_defect(tableau, tableau.b_low, tableau.error_order - 1) < 5e-15
    assert largest_defect(tableau, tableau.b_low, tableau.error_order) > 1e-6


def test_fsal_is_read_off_the_coefficients() -> None:
    assert {name for name, tableau in TABLEAUS.items() if tableau.fsal} == {"BOSH3", "DOPRI5", "TSIT5"}
    assert {name: tableau.stages for name, tableau in TABLEAUS.items()} == {
        "EULER": 1, "MIDPOINT": 2, "HEUN": 2, "RALSTON": 2, "BOSH3": 3, "RK4": 4, "RK38": 4, "DOPRI5": 6, "TSIT5": 6,
        "DOPRI8": 13,
    }  # fmt: skip


def test_a_tableau_with_a_short_row_is_refused() -> None:
    with pytest.raises(ValueError, match="row i of `a` needs i entries"):
        Tableau(a=((), ()), b=(0.5, 0.5), order=2)


def test_weights_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sums to 0\.9"):
        Tableau(a=((), (1.0,)), b=(0.5, 0.4), order=2)
    with pytest.raises(ValueError, match="`b_low` must be"):
        Tableau(a=((), (1.0,)), b=(0.5, 0.5), order=2, b_low=(1.0, 0.1), error_order=2)
