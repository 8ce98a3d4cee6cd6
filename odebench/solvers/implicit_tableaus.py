"""Diagonally implicit Runge–Kutta methods as data: an explicit first stage, then stages with one diagonal entry γ.

All are stiffly accurate: the last stage is the solution, so that its slope is the next step's first stage. L-stability
is a matter of γ, which stands here to the precision of a float; 11 digits, as some codes have, leave R(∞) at 1e-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isclose

from odebench.solvers.tableaus import Row

_ROUNDING = 1e-13


@dataclass(frozen=True)
class ImplicitTableau:
    """Coefficients of an ESDIRK scheme of `order`.

    `a` is the strictly lower triangle (row i has i entries); the diagonal is 0, γ, …, γ. The weights of the solution
    are the last row. `b_low` are the weights that estimate the local error as O(dt^error_order) by their difference.

    Raises:
        ValueError: a row has the wrong length, the last row or `b_low` does not sum to 1, or γ is not positive.
    """

    a: tuple[tuple[float, ...], ...]
    gamma: float
    order: int
    b_low: tuple[float, ...]
    error_order: int

    def __post_init__(self) -> None:
        if [len(row) for row in self.a] != list(range(len(self.a))) or len(self.a) < 2:
            raise ValueError(f"row i of `a` needs i entries; got rows of {[len(row) for row in self.a]}")
        if not self.gamma > 0:
            raise ValueError(f"gamma must be positive; got {self.gamma!r}")
        for name, weights in (("the last row", self.b), ("b_low", self.b_low)):
            if len(weights) != len(self.a) or not isclose(sum(weights), 1.0, abs_tol=_ROUNDING):
                raise ValueError(f"{name} must be {len(self.a)} weights that sum to 1; it sums to {sum(weights)}")

    @cached_property
    def b(self) -> tuple[float, ...]:
        """The last row with its diagonal."""
        return (*self.a[-1], self.gamma)

    @cached_property
    def c(self) -> tuple[float, ...]:
        """Abscissae, with sums that are 1 but for rounding put right."""
        sums = (sum(row) + (self.gamma if row else 0.0) for row in self.a)
        return tuple(1.0 if isclose(c, 1.0, abs_tol=_ROUNDING) else float(c) for c in sums)

    @property
    def stages(self) -> int:
        """Implicit stages: the systems to be solved in a step."""
        return len(self.a) - 1

    @property
    def fsal(self) -> bool:
        """First same as last: always, by stiff accuracy."""
        return True

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The nonzero entries of `a` left of the diagonal, row by row."""
        return tuple(_nonzero(row) for row in self.a)

    @cached_property
    def error_weights(self) -> Row:
        """Of the slopes, in the error estimate."""
        return _nonzero(tuple(b - low for b, low in zip(self.b, self.b_low, strict=True)))

    @cached_property
    def guesses(self) -> tuple[Row, ...]:
        """What the slopes before stage i say of its own: the line through the last two at different times, prolonged.

        A stage at the time of the one before it starts from that one's slope.
        """
        found: list[Row] = [()]
        for i in range(1, len(self.a)):
            last = i - 1
            other = next((j for j in reversed(range(last)) if self.c[j] != self.c[last]), None)
            if other is None or self.c[i] == self.c[last]:
                found.append(((last, 1.0),))
            else:
                theta = (self.c[i] - self.c[last]) / (self.c[last] - self.c[other])
                found.append(((last, 1.0 + theta), (other, -theta)))
        return tuple(found)


def _nonzero(row: tuple[float, ...]) -> Row:
    return tuple((j, float(w)) for j, w in enumerate(row) if w)


def _stiffly_accurate(a: tuple[tuple[float, ...], ...], gamma: float, order: int) -> ImplicitTableau:
    """Kværnø's pairs: the stage before the last is the embedded solution, one order lower."""
    return ImplicitTableau(a, gamma, order, (*a[-2], gamma, 0.0), order)


# The error is the difference to the trapezoidal rule.
IMPLICIT_EULER = ImplicitTableau(a=((), (0.0,)), gamma=1.0, order=1, b_low=(0.5, 0.5), error_order=2)


def _kvaerno3() -> ImplicitTableau:
    g = 0.43586652150845900  # the root of 6γ³ − 18γ² + 9γ − 1 in (1/6, 1/2)
    return _stiffly_accurate(
        (
            (),
            (g,),
            ((-4 * g**2 + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g)),
            ((6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g**2 + 6 * g - 1) / (6 * g - 3)),
        ),
        gamma=g,
        order=3,
    )


def _kvaerno4() -> ImplicitTableau:
    g = 0.57281606248213486  # the root of γ⁴ − 4γ³ + 3γ² − 2γ/3 + 1/24 near 0.57
    p, q, r = 12 * g**2 - 6 * g + 1, 12 * g**2 - 9 * g + 2, 3 * g - 1
    return _stiffly_accurate(
        (
            (),
            (g,),
            (
                (144 * g**4 - 180 * g**3 + 81 * g**2 - 15 * g + 1) * g / p**2,
                (-36 * g**3 + 39 * g**2 - 15 * g + 2) * g / p**2,
            ),
            (
                (-144 * g**5 + 396 * g**4 - 330 * g**3 + 117 * g**2 - 18 * g + 1) / (12 * g**2 * q),
                (72 * g**4 - 126 * g**3 + 69 * g**2 - 15 * g + 1) / (12 * g**2 * r),
                (-6 * g**2 + 6 * g - 1) * p**2 / (12 * g**2 * q * r),
            ),
            (
                (288 * g**4 - 312 * g**3 + 120 * g**2 - 18 * g + 1) / (48 * g**2 * q),
                (24 * g**2 - 12 * g + 1) / (48 * g**2 * r),
                -(p**3) / (48 * g**2 * r * q * (6 * g**2 - 6 * g + 1)),
                (-24 * g**3 + 36 * g**2 - 12 * g + 1) / (24 * g**2 - 24 * g + 4),
            ),
        ),
        gamma=g,
        order=4,
    )


KVAERNO3, KVAERNO4 = _kvaerno3(), _kvaerno4()

KVAERNO5 = _stiffly_accurate(
    (
        (),
        (0.26,),
        (0.13, 0.84033320996790809),
        (0.22371961478320505, 0.47675532319799699, -0.06470895363112615),
        (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998),
        (0.13855640231268224, 0.0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676),
        (
            0.13659751177640291, 0.0, -0.05496908796538376, -0.04118626728321046, 0.62993304899016403,
            0.06962479448202728,
        ),
    ),
    gamma=0.26,
    order=5,
)  # fmt: skip
