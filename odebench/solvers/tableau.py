"""What an explicit Runge–Kutta method is, as data. A tableau checks its own shape and sums when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import comb, isclose
from operator import mul
from typing import NamedTuple

# Of a shipped method an exact fraction: as published, or to 30 digits where it is irrational. Floats serve as well.
Number = Fraction | float
Numbers = tuple[Number, ...]
Row = tuple[tuple[int, float], ...]  # (stage, weight), zero weights left out


@dataclass(frozen=True)
class Dense:
    """A continuous extension: y(t + θ·dt) ≈ y + dt·Σ b_i(θ)·k_i, of `order` for every θ in [0, 1].

    Row i of `b` has the coefficients of θ, θ², … of b_i. `extra` are the rows of the stages it needs beside the
    tableau's own, as more rows of `a`: evaluations for steps that are looked into, and for no others.

    Raises:
        ValueError: the polynomials differ in length, or do not sum to θ.
    """

    b: tuple[Numbers, ...]
    order: int
    extra: tuple[Numbers, ...] = ()

    def __post_init__(self) -> None:
        if len({len(row) for row in self.b}) != 1:
            raise ValueError(f"every polynomial needs as many coefficients; got {[len(row) for row in self.b]}")
        sums = [float(sum(power)) for power in zip(*self.b, strict=True)]
        if not all(isclose(got, wanted, abs_tol=1e-12) for got, wanted in zip(sums, [1.0] + [0.0] * 99, strict=False)):
            raise ValueError(f"the polynomials must sum to θ; their sum has the coefficients {sums}")

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The nonzero entries of `extra`, row by row."""
        return tuple(nonzero(row) for row in self.extra)

    @cached_property
    def c(self) -> tuple[float, ...]:
        """Abscissae of the extra stages."""
        return tuple(_abscissa(row) for row in self.extra)

    @cached_property
    def heights(self) -> tuple[tuple[int, tuple[float, ...]], ...]:
        """(stage, coefficients of θ^k·(1 − θ)^(n − k), k from 1 to n), stages of no weight left out; n is the degree.

        In powers of θ terms up to 1e6 cancel, and seven digits of what is interpolated with them.
        """
        degree = len(self.b[0])
        return tuple(
            (i, _bernstein(tuple(Fraction(x) for x in row), degree)) for i, row in enumerate(self.b) if any(row)
        )

    def weights(self, theta: float) -> Row:
        """b_i(θ), nonzero stages only."""
        degree = len(self.b[0])
        terms = [theta**k * (1 - theta) ** (degree - k) for k in range(1, degree + 1)]
        return tuple((i, sum(map(mul, row, terms))) for i, row in self.heights)


class Stages(NamedTuple):
    """What a transpose goes over: abscissae, rows of `a`, columns of `a`, weights in the solution; stage by stage."""

    c: tuple[float, ...]
    rows: tuple[Row, ...]
    columns: tuple[Row, ...]  # for each stage the later ones that read it
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit scheme of `order`.

    `a` is the strictly lower triangle (row i has i entries), `b` the weights, and `b_low` the weights of the embedded
    solution whose difference to `b` estimates the local error as O(dt^error_order). `dense` is the continuous extension
    that belongs to the method, if there is one.

    Raises:
        ValueError: a row has the wrong length, or weights do not sum to 1.
    """

    a: tuple[Numbers, ...]
    b: Numbers
    order: int
    b_low: Numbers | None = None
    error_order: int | None = None  # one more than the order of the embedded solution
    dense: Dense | None = None

    def __post_init__(self) -> None:
        lengths = [len(row) for row in self.a]
        if lengths != list(range(len(self.b))):
            raise ValueError(f"row i of `a` needs i entries and `b` one for each row; got rows of {lengths}")
        for name, weights in (("b", self.b), ("b_low", self.b_low or self.b)):
            total = float(sum(weights))
            if len(weights) != len(self.b) or not isclose(total, 1.0, abs_tol=1e-13):
                raise ValueError(f"`{name}` must be {len(self.b)} weights that sum to 1; it sums to {total}")
        if (self.b_low is None) != (self.error_order is None):
            raise ValueError("`b_low` and `error_order` come together")

    @cached_property
    def c(self) -> tuple[float, ...]:
        """Abscissae: the row sums of `a`."""
        return tuple(_abscissa(row) for row in self.a)

    @cached_property
    def fsal(self) -> bool:
        """First same as last: the last stage is the slope at the new solution, and the next step's first stage."""
        return len(self.b) > 1 and self.b[-1] == 0 and self.a[-1] == self.b[:-1]

    @property
    def stages(self) -> int:
        """Evaluations of f per judged step: an FSAL scheme gets its first one from the step before."""
        return len(self.b) - 1 if self.fsal else len(self.b)

    @cached_property
    def size(self) -> int:
        """The stages that make the solution; those after them serve the estimate, or the next step if FSAL."""
        return max(i for i, w in enumerate(self.b) if w) + 1

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The nonzero entries of `a`, row by row."""
        return tuple(nonzero(row) for row in self.a)

    @cached_property
    def weights(self) -> Row:
        """The nonzero entries of `b`."""
        return nonzero(self.b)

    @cached_property
    def error_weights(self) -> Row:
        """The nonzero entries of `b - b_low`."""
        return nonzero(tuple(high - low for high, low in zip(self.b, self.b_low or self.b, strict=True)))

    @cached_property
    def looked_into(self) -> Stages:
        """All stages of a step whose inside is wanted: those of its extension after its own."""
        dense, own = self.interpolant, len(self.b)
        triangle = (*self.a, *dense.extra)
        return Stages(
            c=(*self.c, *dense.c),
            rows=(*self.rows, *dense.rows),
            columns=_columns(triangle),
            weights=(*map(float, self.b), *[0.0] * (len(triangle) - own)),
        )

    @cached_property
    def unjudged(self) -> Stages:
        """The stages of a step that nobody judges."""
        count = len(self.b) if self.fsal else self.size
        return Stages(self.c[:count], self.rows[:count], _columns(self.a[:count]), tuple(map(float, self.b[:count])))

    @cached_property
    def plain(self) -> Tableau:
        """The same steps without what only their error estimate, or the step after them, needs."""
        return Tableau(self.a[: self.size], self.b[: self.size], self.order)

    @cached_property
    def interpolant(self) -> Dense:
        """`dense`, or else the polynomial that the order of the scheme asks for: `quadratic`, or `hermite`."""
        return self.dense or (quadratic(self) if self.order < 3 else hermite(self))


def tableau(
    a: str,
    b: str,
    order: int,
    b_low: str | None = None,
    error_order: int | None = None,
    dense: Dense | None = None,
) -> Tableau:
    """A tableau from text: fractions or decimals, read exactly; rows of `a` from its second on, `;` between them."""
    low = numbers(b_low) if b_low is not None else None
    return Tableau(((), *rows(a)), numbers(b), order, low, error_order, dense)


def rows(text: str) -> tuple[tuple[Fraction, ...], ...]:
    """Rows of numbers, `;` between them; no rows of no text."""
    return tuple(numbers(row) for row in text.split(";")) if text.strip() else ()


def numbers(text: str) -> tuple[Fraction, ...]:
    """Numbers as Python writes them, or p/q."""
    return tuple(map(Fraction, text.split()))


def quadratic(tableau: Tableau) -> Dense:
    """The parabola through both ends with the slope at the start: order 2, or that of the scheme where it is less.

    It costs no evaluation. The cubic, which has the slope at the end too, is of no higher order here.
    """
    b = [(w - w, w) for w in tableau.b]
    b[0] = (1, tableau.b[0] - 1)
    return Dense(tuple(b), min(2, tableau.order))


def hermite(tableau: Tableau) -> Dense:
    """The cubic that has y and y' of both ends, for at most one evaluation: order 3."""
    ends = [tuple(3 * w if k == 1 else -2 * w if k == 2 else 0 * w for k in range(3)) for w in tableau.b]
    last = len(tableau.b) - 1 if tableau.fsal else len(tableau.b)
    b: list[Numbers] = [*ends] if tableau.fsal else [*ends, (0, 0, 0)]
    for i, slope in ((0, (1, -2, 1)), (last, (0, -1, 1))):
        b[i] = tuple(x + y for x, y in zip(b[i], slope, strict=True))
    return Dense(tuple(b), 3, () if tableau.fsal else (tableau.b,))


def _columns(triangle: tuple[Numbers, ...]) -> tuple[Row, ...]:
    size = len(triangle)
    return tuple(tuple((j, float(triangle[j][i])) for j in range(i + 1, size) if triangle[j][i]) for i in range(size))


def nonzero(weights: Numbers) -> Row:
    """(index, weight) of those that are not 0."""
    return tuple((j, float(w)) for j, w in enumerate(weights) if w)


def _bernstein(powers: tuple[Fraction, ...], degree: int) -> tuple[float, ...]:
    """Coefficients of θ^k·(1 − θ)^(degree − k) from those of θ^k, k from 1 on in both; worked out exactly."""
    found = []
    for k in range(1, degree + 1):
        height = sum((a * Fraction(comb(k, j), comb(degree, j)) for j, a in enumerate(powers[:k], start=1)), Fraction())
        found.append(float(height * comb(degree, k)))
    return tuple(found)


def _abscissa(row: Numbers) -> float:
    """The sum of a row; one that is 1 but for rounding put right."""
    c = float(sum(row))
    return 1.0 if isclose(c, 1.0, abs_tol=1e-13) else c
