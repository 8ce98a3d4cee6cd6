"""Order conditions of every tableau and of its continuous extension, and the checks a tableau makes of itself.

In decimals of 60 digits: the shipped coefficients are exact fractions, and sums of products of these would grow to
thousands of digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache

import pytest

from odebench.solvers import tableaus, verner
from odebench.solvers.tableau import Dense, Number, Tableau, hermite, quadratic

TABLEAUS = {
    name: value
    for room in (tableaus, verner)
    for name, value in vars(room).items()
    if isinstance(value, Tableau) and not name.startswith("_")
}
SIXTY = Context(prec=60)

VERNER = ("VERN6", "VERN7", "VERN8", "VERN9")  # rounded to 30 digits, their extensions to 28
# How far published coefficients are from the conditions; all others are exact, but for the 60th digit.
PUBLISHED = {"TSIT5": 1e-26, "DOPRI8": 1e-16} | dict.fromkeys(VERNER, 1e-24)
PUBLISHED_DENSE = {"TSIT5": 1e-15, "DOPRI8": 1e-13} | dict.fromkeys(VERNER, 1e-20)

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


class Weights:
    """Elementary weights of rooted trees, stage by stage."""

    def __init__(self, a: Sequence[Sequence[Number]]) -> None:
        self.a = [[decimal(x) for x in row] for row in a]
        self.pushed: dict[Tree, list[Decimal]] = {}

    def of(self, tree: Tree) -> list[Decimal]:
        found = [Decimal(1)] * len(self.a)
        for branch in tree:
            if branch not in self.pushed:
                inner = self.of(branch)
                self.pushed[branch] = [
                    sum((a * x for a, x in zip(row, inner, strict=False) if a), Decimal(0)) for row in self.a
                ]
            found = [x * y for x, y in zip(found, self.pushed[branch], strict=True)]
        return found


def decimal(x: Number) -> Decimal:
    exact = Fraction(x)
    return SIXTY.divide(Decimal(exact.numerator), Decimal(exact.denominator))


def largest_defect(a: Sequence[Sequence[Number]], b: Sequence[Number], orders: range) -> float:
    """The worst violation of b·Φ(τ) = 1/γ(τ) over all trees of these orders."""
    phi, ws, worst = Weights(a), [decimal(w) for w in b], Decimal(0)
    with localcontext(SIXTY):
        for tree in (tree for nodes in orders for tree in trees(nodes)):
            value = sum((w * x for w, x in zip(ws, phi.of(tree), strict=True)), Decimal(0))
            worst = max(worst, abs(value - 1 / Decimal(density(tree))))
    return float(worst)


def largest_dense_defect(tableau: Tableau, dense: Dense, orders: range) -> float:
    """The worst violation of b(θ)·Φ(τ) = θ^|τ|/γ(τ), power by power of θ."""
    phi, powers, worst = Weights([*tableau.a, *dense.extra]), list(zip(*dense.b, strict=True)), Decimal(0)
    with localcontext(SIXTY):
        for tree in (tree for nodes in orders for tree in trees(nodes)):
            weights = phi.of(tree)
            for power, ws in enumerate(powers, start=1):
                value = sum((decimal(w) * x for w, x in zip(ws, weights, strict=True)), Decimal(0))
                worst = max(worst, abs(value - (1 / Decimal(density(tree)) if size(tree) == power else 0)))
    return float(worst)


def test_the_number_of_rooted_trees_is_the_known_one() -> None:
    assert [len(trees(n)) for n in range(1, 10)] == [1, 1, 2, 4, 9, 20, 48, 115, 286]


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_tableau_meets_all_order_conditions_of_its_order_and_not_the_next(name: str) -> None:
    tableau = TABLEAUS[name]
    defect = largest_defect(tableau.a, tableau.b, range(1, tableau.order + 1))
    assert defect < PUBLISHED.get(name, 1e-45)
    if tableau.order < 9:
        next_order = range(tableau.order + 1, tableau.order + 2)
        assert largest_defect(tableau.a, tableau.b, next_order) > 1e-7


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUS.items() if tableau.b_low])
def test_the_embedded_weights_are_of_one_order_less_than_the_error_order(name: str) -> None:
    tableau = TABLEAUS[name]
    assert tableau.b_low is not None
    assert tableau.error_order is not None
    error_order = tableau.error_order
    assert largest_defect(tableau.a, tableau.b_low, range(1, error_order)) < PUBLISHED.get(name, 1e-45)
    assert largest_defect(tableau.a, tableau.b_low, range(error_order, error_order + 1)) > 1e-6


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUS.items() if tableau.b_low])
def test_the_weights_of_the_error_are_the_difference_and_sum_to_zero(name: str) -> None:
    assert abs(sum(w for _, w in TABLEAUS[name].error_weights)) < 1e-13


def extensions(tableau: Tableau) -> list[Dense]:
    """The method's own, if it has one, and what stands in for one."""
    generic = quadratic(tableau) if tableau.order < 3 else hermite(tableau)
    return [generic] if tableau.dense is None else [tableau.dense, generic]


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_continuous_extension_has_its_order_at_every_point_of_the_step(name: str) -> None:
    tableau = TABLEAUS[name]
    for dense in extensions(tableau):
        allowed = PUBLISHED_DENSE.get(name, 1e-45)
        assert largest_dense_defect(tableau, dense, range(1, dense.order + 1)) < allowed
        if dense.order < 9:
            assert largest_dense_defect(tableau, dense, range(dense.order + 1, dense.order + 2)) > 1e-5


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_continuous_extension_meets_both_ends_of_the_step(name: str) -> None:
    tableau = TABLEAUS[name]
    for dense in extensions(tableau):
        allowed = max(1e-12, PUBLISHED_DENSE.get(name, 0.0))
        ends = [float(sum(row)) for row in dense.b]
        weights = [*map(float, tableau.b)] + [0.0] * len(dense.extra)
        assert ends == pytest.approx(weights, abs=allowed)
        starts = [float(row[0]) for row in dense.b]
        assert starts == pytest.approx([1.0] + [0.0] * (len(starts) - 1), abs=allowed)
        assert sum(w for _, w in dense.weights(0.3)) == pytest.approx(0.3, abs=1e-11)


def test_the_extensions_are_those_of_the_literature() -> None:
    known = {name: (t.dense.order, len(t.dense.extra)) for name, t in TABLEAUS.items() if t.dense}
    assert known == {
        "DOPRI5": (4, 0), "TSIT5": (4, 0), "DOPRI8": (5, 1), "VERN6": (6, 3), "VERN7": (6, 6), "VERN8": (8, 8),
        "VERN9": (9, 10),
    }  # fmt: skip
    assert TABLEAUS["BOSH3"].interpolant == hermite(TABLEAUS["BOSH3"])
    assert len(TABLEAUS["BOSH3"].interpolant.extra) == 0
    assert len(TABLEAUS["RK4"].interpolant.extra) == 1


def test_fsal_is_read_off_the_coefficients() -> None:
    assert {name for name, tableau in TABLEAUS.items() if tableau.fsal} == {"BOSH3", "DOPRI5", "TSIT5", "VERN6"}
    assert {name: tableau.stages for name, tableau in TABLEAUS.items()} == {
        "EULER": 1, "MIDPOINT": 2, "HEUN": 2, "RALSTON": 2, "FEHLBERG2": 3, "HEUN3": 3, "RALSTON3": 3, "BOSH3": 3,
        "RK4": 4, "RK38": 4, "DOPRI5": 6, "TSIT5": 6, "DOPRI8": 13, "VERN6": 8, "VERN7": 10, "VERN8": 13, "VERN9": 16,
        "EES25": 3, "EES27": 4,
    }  # fmt: skip


def test_a_stage_that_serves_the_estimate_alone_is_known() -> None:
    assert {name: t.stages - t.size for name, t in TABLEAUS.items() if t.stages > t.size} == dict.fromkeys(
        ("VERN7", "VERN8", "VERN9"), 1
    )


def test_the_plain_form_takes_the_same_steps_with_no_stage_that_only_estimates() -> None:
    plain = TABLEAUS["DOPRI5"].plain
    assert (plain.b, plain.b_low, plain.fsal, plain.stages) == (TABLEAUS["DOPRI5"].b[:-1], None, False, 6)
    assert largest_defect(plain.a, plain.b, range(1, 6)) < 1e-45


def test_polynomials_that_do_not_sum_to_the_place_in_the_step_are_refused() -> None:
    with pytest.raises(ValueError, match="must sum to θ"):
        Dense(b=((1.0, 0.5),), order=1)
    with pytest.raises(ValueError, match="as many coefficients"):
        Dense(b=((1.0,), (0.0, 0.0)), order=1)


def test_a_tableau_with_a_short_row_is_refused() -> None:
    with pytest.raises(ValueError, match="row i of `a` needs i entries"):
        Tableau(a=((), ()), b=(0.5, 0.5), order=2)


def test_weights_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sums to 0\.9"):
        Tableau(a=((), (1.0,)), b=(0.5, 0.4), order=2)
    with pytest.raises(ValueError, match="`b_low` must be"):
        Tableau(a=((), (1.0,)), b=(0.5, 0.5), order=2, b_low=(1.0, 0.1), error_order=2)
