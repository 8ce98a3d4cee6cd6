"""What counts as worse: kinds of metric, margins, and the rules of `--fail-on`. Lower is better for every metric.

    rules = rule {"," rule}
    rule  = name [">" number ["%"]]

A name is a metric, a short name of one, or a group: `status`, `exact`, `errors`, `times`. With `%` the number is an
increase relative to the base, without it one above the base. A later rule overrides an earlier one for its metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, isnan
from typing import Self

from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError, did_you_mean
from odebench.record import ALIASES, METRICS
from odebench.suite.spelling import DIGITS, Cursor, scalar

STATUS = "status"  # a cell that newly fails or is newly refused, and one that is missing

# They repeat to the last digit, so that any change is one.
EXACT = (
    "steps", "rejected", "steps_backward", "rejected_backward",
    "nfe_forward", "nfe_backward", "vjp_forward", "vjp_backward", "work",
    "peak_memory_bytes", "peak_requested_bytes", "graph_bytes",
)  # fmt: skip
# They repeat on one machine; on another the last digits of every product differ.
ERRORS = tuple(name for name in METRICS if "error" in name.split("_"))
# They never repeat.
NOISY = (
    "forward_seconds", "backward_seconds", "wall_seconds", "first_call_seconds",
    "overhead_forward", "overhead", "wall_ratio",
)  # fmt: skip
# How a figure was come by; none is better or worse.
CONTEXT = ("repeats", "wall_seconds_low", "wall_seconds_high", "process_peak_bytes")

GROUPS = {"exact": EXACT, "errors": ERRORS, "times": NOISY}

# Errors that differ by less differ in rounding, whatever their ratio: 7e-16 and 2e-15 are both none. Measured: the same
# cells with the kernels of AVX-512, of AVX2 and of plain code differ by up to 8e-16 in float64 and 2e-7 in float32.
# Longer walks round more; hence the reserve, which in float32 must not hide an error that matters.
ROUNDING = {"float64": 1e-12, "float32": 1e-5}

DEFAULT = "status, exact, errors > 1%, wall_seconds > 3%"


@dataclass(frozen=True)
class Margin:
    """The increase that is let pass: a fraction of the base if `relative`, else an amount."""

    amount: float
    relative: bool = True

    def of(self, base: float) -> float:
        """The increase over `base`."""
        return abs(base) * self.amount if self.relative else self.amount

    @property
    def fraction(self) -> float | None:
        """As findings have it: None where any change counts, or an amount does."""
        return self.amount or None if self.relative else None

    def __str__(self) -> str:
        return f"{self.amount * 100:.12g}%" if self.relative else repr(self.amount).removesuffix(".0")


NONE = Margin(0.0)
BAND = Margin(0.01)  # of errors
PAIRED = Margin(0.03)  # of what is noisy


@dataclass(frozen=True)
class Policy:
    """Which metrics close the gate, and from what increase on; the others are compared and told."""

    rules: Mapping[str, Margin]  # by metric, and STATUS
    noisy: Margin = PAIRED  # of noisy metrics that no rule names

    @classmethod
    def parse(cls, text: str = DEFAULT, others: Iterable[str] = (), noisy: Margin = PAIRED) -> Self:
        """Read rules.

        Args:
            text: as `--fail-on` has it.
            others: metrics of plugins, which may be named too.
            noisy: the margin of noisy metrics whose rule has none.

        Raises:
            UsageError: they cannot be read; the message names the column, what was expected and what is near.
        """
        cursor = Cursor(text, "--fail-on")
        rules: dict[str, Margin] = {}
        while True:
            cursor.blanks()
            start = cursor.position
            names = _metrics(cursor, tuple(others))
            margin = _margin(cursor)
            if margin is not None and names == (STATUS,):
                cursor.fail("status alone: it has no size", start)
            rules |= {name: margin or _default(name, noisy) for name in names}
            if not cursor.accept(","):
                break
        if cursor.peek():
            cursor.fail("'>', ',' or the end")
        return cls(rules, noisy)

    def gates(self, metric: str) -> bool:
        """Whether the exit code hangs on it."""
        return metric in self.rules

    def margin(self, metric: str) -> Margin:
        """What is let pass."""
        return self.rules.get(metric) or _default(metric, self.noisy)

    def times(self) -> dict[str, float]:
        """Noisy metric -> the relative increase that is let pass, of those that rules name.

        Raises:
            UsageError: a rule gives an amount; pairs of processes tell ratios.
        """
        named = {name: self.rules[name] for name in NOISY if name in self.rules}
        for name, margin in named.items():
            if not margin.relative:
                raise UsageError(f"--fail-on: {name} > {margin}: times are compared as ratios; write {name} > 5%, say")
        return {name: margin.amount for name, margin in named.items()}

    def without_times(self) -> Self:
        """The same rules for what needs no pairs."""
        return replace(self, rules={name: margin for name, margin in self.rules.items() if name not in NOISY})

    def judge(self, metric: str, base: float, new: float, dtype: str) -> Verdict:
        """Of a metric that is exact or an error. What is not a number is worse than any, and as bad as itself."""
        margin = self.margin(metric)
        floor = ROUNDING.get(dtype, 0.0) if metric in ERRORS and margin.relative else 0.0
        before, after = (inf if isnan(each) else each for each in (base, new))
        if before == after:
            return Verdict.SAME
        if isfinite(before) and isfinite(after) and abs(after - before) <= max(margin.of(before), floor):
            return Verdict.SAME
        return Verdict.WORSE if after > before else Verdict.BETTER

    @property
    def singles(self) -> tuple[str, ...]:
        """Metrics that no group has brought in whole."""
        grouped = {name for names in GROUPS.values() if all(each in self.rules for each in names) for name in names}
        return tuple(name for name in self.rules if name not in grouped and name != STATUS)

    def __str__(self) -> str:
        """Canonical: groups that are named whole before single metrics, margins in figures."""
        told = [STATUS] if STATUS in self.rules else []
        left = {name: margin for name, margin in self.rules.items() if name != STATUS}
        for group, names in GROUPS.items():
            if all(name in left for name in names):
                # The margin most of them have stands for the group, and the rest follow as exceptions.
                ((common, _),) = Counter(left[name] for name in names).most_common(1)
                told.append(_rule(group, common))
                left = {name: margin for name, margin in left.items() if name not in names or margin != common}
        known = [name for name in METRICS if name in left]
        return ", ".join([*told, *(_rule(name, left[name]) for name in [*known, *sorted(set(left) - set(known))])])


def _rule(name: str, margin: Margin) -> str:
    bare = margin == NONE and not {*ERRORS, *NOISY} & {name, *GROUPS.get(name, ())}
    return name if bare else f"{name} > {margin}"


def _default(metric: str, noisy: Margin) -> Margin:
    return BAND if metric in ERRORS else noisy if metric in NOISY else NONE


def _metrics(cursor: Cursor, others: Sequence[str]) -> tuple[str, ...]:
    start = cursor.position
    name = cursor.word() or cursor.fail("a metric")
    if name == STATUS:
        return (STATUS,)
    found = GROUPS.get(name) or ((name,) if name in (*METRICS, *others) else ALIASES.get(name))
    if found is None:
        known = (STATUS, *GROUPS, *ALIASES, *METRICS, *others)
        groups = f"; besides {', '.join((STATUS, *GROUPS))} there are those of `odebench list metrics`"
        cursor.fail("a metric", start, did_you_mean(name, known) or groups)
    if set(found) & set(CONTEXT):
        cursor.fail("a metric that can be better or worse", start)
    return found


def _margin(cursor: Cursor) -> Margin | None:
    cursor.blanks()
    if not cursor.accept(">"):
        return None
    cursor.blanks()
    margin = read_margin(cursor)
    cursor.blanks()
    return margin


def read_margin(cursor: Cursor) -> Margin:
    """`3%`, `3 %`, or an amount such as `1e-12`.

    Raises:
        UsageError: it is none.
    """
    start = cursor.position
    word = cursor.word()
    relative = word.endswith("%")
    number = scalar(word.removesuffix("%")) if len(word) <= DIGITS else None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not isfinite(number) or number < 0:
        cursor.fail("a number that is not negative, such as 2% or 1e-12", start)
    before = cursor.position
    cursor.blanks()
    if not relative and cursor.accept("%"):
        relative = True
    else:
        cursor.position = before
    # Rounded, so that a margin and its own text are the same.
    return Margin(float(f"{number / 100:.12g}") if relative else float(number), relative)
