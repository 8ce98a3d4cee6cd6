"""Explicit Runge–Kutta methods as data. A tableau checks its own shape and sums when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isclose

Row = tuple[tuple[int, float], ...]  # (stage, weight), zero weights left out


@dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit scheme of `order`.

    `a` is the strictly lower triangle (row i has i entries), `b` the weights, and `b_low` the weights of the embedded
    solution whose difference to `b` estimates the local error as O(dt^error_order).

    Raises:
        ValueError: a row has the wrong length, or weights do not sum to 1.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    b_low: tuple[float, ...] | None = None
    error_order: int | None = None  # one more than the order of the embedded solution

    def __post_init__(self) -> None:
        lengths = [len(row) for row in self.a]
        if lengths != list(range(len(self.b))):
            raise ValueError(f"row i of `a` needs i entries and `b` one for each row; got rows of {lengths}")
        for name, weights in (("b", self.b), ("b_low", self.b_low or self.b)):
            if len(weights) != len(self.b) or not isclose(sum(weights), 1.0, abs_tol=1e-13):
                raise ValueError(f"`{name}` must be {len(self.b)} weights that sum to 1; it sums to {sum(weights)}")
        if (self.b_low is None) != (self.error_order is None):
            raise ValueError("`b_low` and `error_order` come together")

    @cached_property
    def c(self) -> tuple[float, ...]:
        """Abscissae: the row sums of `a`, with sums that are 1 but for rounding put right."""
        sums = (sum(row) for row in self.a)
        return tuple(1.0 if isclose(c, 1.0, abs_tol=1e-13) else float(c) for c in sums)

    @cached_property
    def fsal(self) -> bool:
        """First same as last: the last stage is the slope at the new solution, and the next step's first stage."""
        return len(self.b) > 1 and self.b[-1] == 0 and self.a[-1] == self.b[:-1]

    @property
    def stages(self) -> int:
        """Evaluations of f per step: an FSAL scheme gets its first one from the step before."""
        return len(self.b) - 1 if self.fsal else len(self.b)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The nonzero entries of `a`, row by row."""
        return tuple(_nonzero(row) for row in self.a)

    @cached_property
    def weights(self) -> Row:
        """The nonzero entries of `b`."""
        return _nonzero(self.b)

    @cached_property
    def error_weights(self) -> Row:
        """The nonzero entries of `b - b_low`."""
        return _nonzero(tuple(high - low for high, low in zip(self.b, self.b_low or self.b, strict=True)))

    @cached_property
    def columns(self) -> tuple[Row, ...]:
        """For stage i the later stages that read it: (j, a[j][i]), nonzero only."""
        size = len(self.b)
        return tuple(tuple((j, self.a[j][i]) for j in range(i + 1, size) if self.a[j][i]) for i in range(size))


def _nonzero(weights: tuple[float, ...]) -> Row:
    return tuple((j, float(w)) for j, w in enumerate(weights) if w)


EULER = Tableau(a=((),), b=(1.0,), order=1)

# The second-order pairs carry Euler as their embedded solution: it costs no evaluation.
MIDPOINT = Tableau(a=((), (1 / 2,)), b=(0.0, 1.0), order=2, b_low=(1.0, 0.0), error_order=2)
HEUN = Tableau(a=((), (1.0,)), b=(1 / 2, 1 / 2), order=2, b_low=(1.0, 0.0), error_order=2)
RALSTON = Tableau(a=((), (2 / 3,)), b=(1 / 4, 3 / 4), order=2, b_low=(1.0, 0.0), error_order=2)

BOSH3 = Tableau(
    a=((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    order=3,
    b_low=(7 / 24, 1 / 4, 1 / 3, 1 / 8),
    error_order=3,
)

RK4 = Tableau(a=((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6), order=4)
RK38 = Tableau(a=((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)), b=(1 / 8, 3 / 8, 3 / 8, 1 / 8), order=4)

_DOPRI5_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
DOPRI5 = Tableau(
    a=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        _DOPRI5_B,
    ),
    b=(*_DOPRI5_B, 0.0),
    order=5,
    b_low=(5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
    error_order=5,
)

_TSIT5_B = (
    0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774,
)  # fmt: skip
TSIT5 = Tableau(
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.362295432869581),
        (5.325864828439257, -11.748883564062828, 7.495539342889836, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        _TSIT5_B,
    ),
    b=(*_TSIT5_B, 0.0),
    order=5,
    b_low=(
        0.09468075576583945, 0.009183565540343254, 0.4877705284247616, 1.234297566930479,
        -2.7077123499835255, 1.866628418170587, 1 / 66,
    ),
    error_order=5,
)  # fmt: skip

DOPRI8 = Tableau(
    a=(
        (),
        (1 / 18,),
        (1 / 48, 1 / 16),
        (1 / 32, 0.0, 3 / 32),
        (5 / 16, 0.0, -75 / 64, 75 / 64),
        (3 / 80, 0.0, 0.0, 3 / 16, 3 / 20),
        (29443841 / 614563906, 0.0, 0.0, 77736538 / 692538347, -28693883 / 1125000000, 23124283 / 1800000000),
        (
            16016141 / 946692911, 0.0, 0.0, 61564180 / 158732637, 22789713 / 633445777, 545815736 / 2771057229,
            -180193667 / 1043307555,
        ),
        (
            39632708 / 573591083, 0.0, 0.0, -433636366 / 683701615, -421739975 / 2616292301, 100302831 / 723423059,
            790204164 / 839813087, 800635310 / 3783071287,
        ),
        (
            246121993 / 1340847787, 0.0, 0.0, -37695042795 / 15268766246, -309121744 / 1061227803,
            -12992083 / 490766935, 6005943493 / 2108947869, 393006217 / 1396673457, 123872331 / 1001029789,
        ),
        (
            -1028468189 / 846180014, 0.0, 0.0, 8478235783 / 508512852, 1311729495 / 1432422823,
            -10304129995 / 1701304382, -48777925059 / 3047939560, 15336726248 / 1032824649,
            -45442868181 / 3398467696, 3065993473 / 597172653,
        ),
        (
            185892177 / 718116043, 0.0, 0.0, -3185094517 / 667107341, -477755414 / 1098053517,
            -703635378 / 230739211, 5731566787 / 1027545527, 5232866602 / 850066563, -4093664535 / 808688257,
            3962137247 / 1805957418, 65686358 / 487910083,
        ),
        (
            403863854 / 491063109, 0.0, 0.0, -5068492393 / 434740067, -411421997 / 543043805, 652783627 / 914296604,
            11173962825 / 925320556, -13158990841 / 6184727034, 3936647629 / 1978049680, -160528059 / 685178525,
            248638103 / 1413531060, 0.0,
        ),
    ),
    b=(
        14005451 / 335480064, 0.0, 0.0, 0.0, 0.0, -59238493 / 1068277825, 181606767 / 758867731,
        561292985 / 797845732, -1041891430 / 1371343529, 760417239 / 1151165299, 118820643 / 751138087,
        -528747749 / 2220607170, 1 / 4,
    ),
    order=8,
    b_low=(
        13451932 / 455176623, 0.0, 0.0, 0.0, 0.0, -808719846 / 976000145, 1757004468 / 5645159321,
        656045339 / 265891186, -3867574721 / 1518517206, 465885868 / 322736535, 53011238 / 667516719, 2 / 45, 0.0,
    ),
    error_order=8,
)  # fmt: skip
