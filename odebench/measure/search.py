"""The search for the coarsest setting of a stepping that meets an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10
from typing import Any, Protocol

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, Refusal, SolveError

MOST_SOLVES = 12  # of one search; where each setting is compiled anew, a solve costs a second or more
_TIGHTEST, _LOOSEST = 1e-14, 1.0  # tolerances
_PARTS = 8  # of a factor of 10: tolerances are told apart down to a factor of 1.33
_MOST_STEPS = 100_000  # as many as an adaptive solve tries unless told otherwise
_ROUNDING = 1e-9


class Scale(Protocol):
    """The settings of a stepping in order, as whole numbers: the more, the finer."""

    @property
    def slope(self) -> float:
        """Decades that the error falls by over one decade of fineness, as theory has it."""

    @property
    def apart(self) -> float:
        """Decades of fineness: what is nearer than this is not told apart."""

    @property
    def hop(self) -> float:
        """Decades of fineness to go where nothing is known of the error."""

    @property
    def reach(self) -> float:
        """The most to go where the error says how far."""

    @property
    def start(self) -> int:
        """The stepping that was given, or what is nearest to it."""

    @property
    def ends(self) -> tuple[int, int]:
        """The coarsest and the finest that is tried."""

    def fineness(self, at: int) -> float:
        """In decades."""

    def at(self, fineness: float) -> int:
        """The nearest setting."""

    def options(self, at: int) -> dict[str, Any]:
        """The options of the stepping that are searched."""


@dataclass(frozen=True)
class Tolerances:
    """Both tolerances of `control` over 10^(at/8), so that their ratio stays."""

    control: Adaptive

    start = 0
    slope = 1.0  # the control of step sizes is to make the error proportional to the tolerance
    apart = 1 / _PARTS
    hop, reach = 1.0, 4.0

    @property
    def ends(self) -> tuple[int, int]:
        """The larger tolerance stays within 1; rtol (atol where that is 0) is no less than 1e-14."""
        largest = max(self.control.rtol, self.control.atol)
        leading = self.control.rtol or self.control.atol
        coarsest = ceil(_PARTS * log10(largest / _LOOSEST) - _ROUNDING)
        return min(coarsest, 0), max(floor(_PARTS * log10(leading / _TIGHTEST) + _ROUNDING), 0)

    def fineness(self, at: int) -> float:
        """Above the tolerance that was given."""
        return at / _PARTS

    def at(self, fineness: float) -> int:
        """On the grid of eighths."""
        return round(fineness * _PARTS)

    def options(self, at: int) -> dict[str, Any]:
        """To six digits, for the reader's sake."""
        return {name: float(f"{getattr(self.control, name) * 10.0 ** (-at / _PARTS):.6g}") for name in ("rtol", "atol")}


@dataclass(frozen=True)
class Steps:
    """`at` equal steps between saved times, `saves` times over; `length` is that between saved times.

    A dt becomes a whole part of that length: a shorter last step would make the error jump from one dt to the next.
    """

    control: Fixed
    saves: int
    length: float
    slope: float  # the order of the scheme

    apart = log10(1.1)
    hop, reach = 0.5, 1.0

    @property
    def start(self) -> int:
        """As given."""
        if self.control.dt is None:
            assert self.control.steps is not None
            return max(1, self.control.steps // self.saves)
        return max(1, ceil(self.length / self.control.dt - _ROUNDING))

    @property
    def ends(self) -> tuple[int, int]:
        """One step, and what nobody waits for."""
        return 1, max(self.start, _MOST_STEPS // self.saves)

    def fineness(self, at: int) -> float:
        """Of the step."""
        return log10(at)

    def at(self, fineness: float) -> int:
        """A whole number of steps."""
        steps: float = 10.0**fineness
        return round(steps)

    def options(self, at: int) -> dict[str, Any]:
        """In the form that was given."""
        return {"steps": at * self.saves} if self.control.dt is None else {"dt": self.length / at}


class Search:
    """The coarsest setting of `scale`, or nearly that, at which `error_at` meets `target`.

    Secants in the logarithms of error and fineness, at first with the slope of the theory; once the target lies between
    two settings regula falsi, as in the Illinois method. Halving alone was rejected: it takes twice the solves. The
    search is over where an error lies so closely below the target that a setting which can be told apart would miss it.
    Errors are not quite monotone: what is found has met the target itself.
    """

    def __init__(self, scale: Scale, error_at: Callable[[int], float], target: float, most: int = MOST_SOLVES) -> None:
        self.scale, self.error_at, self.target, self.most = scale, error_at, target, most
        self.errors: dict[int, float] = {}  # in the order tried; inf where there was none
        self.coarse: int | None = None  # the finest that is known to miss
        self.fine: int | None = None  # the coarsest that meets
        self.end: int | None = None  # the coarsest that is too fine to be solved
        self.wall = ""  # why nothing finer can be had

    def find(self) -> int | None:
        """The setting, or None."""
        while (at := self._following()) is not None:
            if len(self.errors) == self.most:
                self.wall = f"{self.most} solves were tried"
                break
            self._solve(at)
        return self.fine

    @property
    def best(self) -> int | None:
        """The setting of the least error; None if there was none to speak of."""
        finite = [at for at, error in self.errors.items() if error < inf]
        return min(finite, key=lambda at: (self.errors[at], at), default=None)

    def _following(self) -> int | None:
        """What to try next; None where the search is over."""
        if not self.errors:
            return self.scale.start
        if self.fine is not None and self._log(self.fine) > -self.scale.slope * self.scale.apart:
            return None
        coarsest, finest = self.scale.ends
        over = self.end if self.fine is None else self.fine
        low = coarsest if self.coarse is None else self.coarse + 1
        high = finest if over is None else over - 1
        if low > high:
            self.wall = self.wall or "nothing finer is tried"
            return None
        if self.coarse is not None and over is not None:
            fineness = self.scale.fineness
            if fineness(over) - fineness(self.coarse) <= self.scale.apart:
                return None
        return min(max(self.scale.at(self._guess()), low), high)

    def _guess(self) -> float:
        """The fineness at which the error should lie half a step that can be told apart below the target."""
        aim, fineness = -0.5 * self.scale.slope * self.scale.apart, self.scale.fineness
        if self.coarse is not None and self.fine is not None:
            under, over = self._log(self.coarse) - aim, aim - self._log(self.fine)
            if not isfinite(under + over):
                return (fineness(self.coarse) + fineness(self.fine)) / 2
            sides = [error <= self.target for error in reversed(self.errors.values())]
            stale = 0.5 ** (next((i for i, side in enumerate(sides) if side != sides[0]), 1) - 1)
            under, over = (under * stale, over) if sides[0] else (under, over * stale)
            share = under / (under + over)
            return fineness(self.coarse) * (1 - share) + fineness(self.fine) * share
        at = self.fine if self.coarse is None else self.coarse
        assert at is not None
        ahead = self.scale.hop if self._log(at) == inf else (self._log(at) - aim) / self._slope()
        guess = fineness(at) + min(max(ahead, -self.scale.reach), self.scale.reach)
        if self.end is not None and self.scale.at(guess) >= self.end:
            return (fineness(at) + fineness(self.end)) / 2
        return guess

    def _slope(self) -> float:
        """Between the last two errors, as far as it can be believed."""
        known = [at for at in self.errors if isfinite(self._log(at))][-2:]
        slope = self.scale.slope
        if len(known) < 2:
            return slope
        one, two = known
        found = (self._log(one) - self._log(two)) / (self.scale.fineness(two) - self.scale.fineness(one))
        return min(max(found, slope / 2), 2 * slope)

    def _log(self, at: int) -> float:
        """Decades above the target."""
        error = self.errors[at]
        return log10(error / self.target) if 0 < error < inf else inf if error else -inf

    def _solve(self, at: int) -> None:
        solved = self.best is not None
        self.errors[at] = inf
        try:
            error = self.error_at(at)
        except Refusal as refused:
            if len(self.errors) == 1:
                raise  # the stepping as it was asked for
            self._stuck(at, refused, True)
        except (Divergence, FloatingPointError):
            self.coarse = at  # too coarse, as a rule
        except SolveError as unsolved:
            # What could not be solved yet may be by finer steps; what could be, and no longer can, is at its end.
            self._stuck(at, unsolved, solved)
        else:
            self.errors[at] = error if error == error else inf
            self.coarse, self.fine = (self.coarse, at) if error <= self.target else (at, self.fine)

    def _stuck(self, at: int, error: Exception, maybe_end: bool) -> None:
        if maybe_end and self.fine is None:
            self.end, self.wall = at, str(error)
        else:
            self.coarse = at
