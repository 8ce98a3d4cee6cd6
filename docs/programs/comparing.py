"""A case on both sides, and how far apart they are."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from programs.worker import Answer


class Pair(NamedTuple):
    """Seconds of one alternating round."""

    torchdiffeq: float
    odebench: float


@dataclass(frozen=True)
class Compared:
    """One case of one program. Distances are relative to the largest entry of each tensor, the worst tensor's.

    `off` is from the truth. `conditions` is a sentence on when, by what and on what it was measured.
    """

    program: str
    case: str
    rtol: float | None
    failed_there: str = ""
    failed_here: str = ""
    failed_truth: str = ""
    pairs: list[Pair] = field(default_factory=list)
    apart: float | None = None
    off_there: float | None = None
    off_here: float | None = None
    calls: tuple[int, int] = (0, 0)
    seconds: tuple[float, float] = (0.0, 0.0)
    counts: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    warned: tuple[str, ...] = ()
    each: dict[str, tuple[float, float | None, float | None]] = field(default_factory=dict)
    double: bool = False
    conditions: str = ""

    @classmethod
    def of(
        cls,
        program: str,
        case: str,
        rtol: float | None,
        there: Answer,
        here: Answer,
        truth: Answer | None,
        pairs: list[Pair],
    ) -> Compared:
        """From what both sides and the truth, if any, answered."""
        calls, seconds = (there.calls, here.calls), (there.seconds, here.seconds)
        sentences = there.failure, here.failure, truth.failure if truth else ""
        warned = tuple(each for each in here.warned if each not in there.warned)
        where = here.where or there.where or (truth.where if truth else "")
        common = {"calls": calls, "seconds": seconds, "where": where, "warned": warned}
        if there.failure or here.failure:
            return cls(program, case, rtol, *sentences, pairs, **common)
        if set(there.values) == {"passed", "failed"}:
            counts = {name: (int(there.values[name]), int(here.values[name])) for name in there.values}
            return cls(program, case, rtol, *sentences, pairs, counts=counts, **common)
        true = truth.values if truth is not None and not truth.failure else None
        each = {
            name: (
                distance(there.values[name], here.values[name]),
                None if true is None else distance(true[name], there.values[name]),
                None if true is None else distance(true[name], here.values[name]),
            )
            for name in there.values
        }
        worst = [
            None if any(d[index] is None for d in each.values()) else max(d[index] for d in each.values())
            for index in range(3)
        ]
        double = any(np.asarray(value).dtype in (np.float64, np.complex128) for value in there.values.values())
        return cls(program, case, rtol, *sentences, pairs, *worst, each=each, double=double, **common)

    def ratio(self) -> tuple[float, float, float] | None:
        """torchdiffeq's time over odebench's: median, lower and upper quartile."""
        if not self.pairs:
            return None
        ratios = sorted(pair.torchdiffeq / pair.odebench for pair in self.pairs)
        if len(ratios) < 3:
            return statistics.median(ratios), ratios[0], ratios[-1]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return middle, low, high

    def line(self) -> str:
        """All of it in one line, to look at while it runs."""
        failed = " | ".join(
            f"{side}: {what.splitlines()[0][:150]}"
            for side, what in (
                ("torchdiffeq", self.failed_there),
                ("odebench", self.failed_here),
                ("truth", self.failed_truth),
            )
            if what
        )
        numbers = " ".join(
            f"{name} {value:.1e}"
            for name, value in (("apart", self.apart), ("off", self.off_there), ("here off", self.off_here))
            if value is not None
        )
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*self.ratio()) if self.pairs else ""
        counts = str(self.counts) if self.counts else ""
        seconds = "{:.2f} {:.2f} s".format(*self.seconds)
        return f"{self.program}: {self.case}: {numbers}{counts} calls {self.calls} {seconds} ratio {ratio} {failed}"

    def record(self) -> dict[str, Any]:
        """As plain data, without where in the files of this machine it failed."""
        return {name: value for name, value in self.__dict__.items() if name != "where"}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Compared:
        """What `record` made, once it has been through JSON."""
        tuples = {name: tuple(record[name]) for name in ("calls", "seconds", "warned")}
        pairs = [Pair(*pair) for pair in record["pairs"]]
        counts, each = ({key: tuple(value) for key, value in record[name].items()} for name in ("counts", "each"))
        return cls(**{**record, **tuples, "pairs": pairs, "counts": counts, "each": each})


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two entries over the largest entry of `a`; infinite where shapes differ."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    if not a.size:
        return 0.0
    # Both are NaN, or neither.
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    return float(np.abs(a - b).max() / (np.abs(a).max() or 1.0))
