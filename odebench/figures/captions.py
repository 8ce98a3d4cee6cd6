"""What is told beside a figure: of which cells it is, on what they were measured, and what is not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import isfinite

from odebench.figures.names import Names
from odebench.record import STATUSES, Record
from odebench.report.text import plain

Reason = Callable[[Record], str | None]  # why a record is not drawn, or None
SEVERAL = "Of several seeds or runs of one configuration that with the median {} is drawn."
_NAMED = 8  # pairs that a note names; more are counted


def lacking(*metrics: str, positive: Iterable[str] = ()) -> Reason:
    """Why a record cannot be drawn by these metrics, those in `positive` on axes that are logarithmic."""
    above = set(positive)

    def reason(record: Record) -> str | None:
        if record.status != "ok":
            return record.status.replace("_", " ")
        for name in metrics:
            value = record.metrics.get(name)
            if value is None:
                return f"without {name}"
            if not isfinite(value):
                return f"with {name} {value}"
            if name in above and value <= 0:
                return f"with {name} {value:g}, which has no place on a logarithmic axis"
        return None

    return reason


def sifted(records: Sequence[Record], reason: Reason) -> tuple[list[Record], tuple[str, ...]]:
    """(the records that are drawn, a note on each reason why others are not)."""
    kept: list[Record] = []
    others: dict[str, list[Record]] = {}
    for record in records:
        why = reason(record)
        if why is None:
            kept.append(record)
        else:
            others.setdefault(why, []).append(record)
    # What failed comes first, in the order of the statuses; then what has no such figure.
    statuses = [status.replace("_", " ") for status in STATUSES]
    order = sorted(others, key=lambda why: statuses.index(why) if why in statuses else len(statuses))
    return kept, tuple(f"Not drawn: {cells(len(others[why]))} {why} ({pairs(others[why])})." for why in order)


def pairs(records: Iterable[Record]) -> str:
    """`rk4 reversible ×12, alf adjoint ×12 and 40 more`."""
    counted = Counter(f"{each.cell.solver} {each.cell.gradient}" for each in records)
    told = [f"{name} ×{number}" if number > 1 else name for name, number in list(counted.items())[:_NAMED]]
    rest = sum(list(counted.values())[_NAMED:])
    return plain(", ".join(told) + (f" and {rest} more" if rest else ""))


def cells(number: int) -> str:
    """`1 cell`, `12 cells`."""
    return f"{number} cell{'' if number == 1 else 's'}"


def conditions(names: Names, drawn: Sequence[Record], given: Sequence[Record], timed: bool = False) -> str:
    """How many cells, under what conditions, measured where and by what; `timed` where times are drawn."""
    held = f"; {', '.join(names.constant)}" if names.constant else ""
    told = [f"{len(drawn)} of {cells(len(given))}{held}."]
    told += [f"{', '.join(names.shortened)}."] if names.shortened else []
    if timed:
        repeats = sorted({int(each.metrics["repeats"]) for each in drawn if "repeats" in each.metrics})
        if repeats:
            span = f"{repeats[0]}" if len(repeats) == 1 else f"{repeats[0]} to {repeats[-1]}"
            told.append(f"Times are medians of {span} repeat{'' if repeats == [1] else 's'}.")
    return " ".join([*told, *provenance(drawn)])


def provenance(records: Iterable[Record]) -> list[str]:
    """Machines and versions, as far as the records tell them."""
    records = list(records)
    machines = list(dict.fromkeys(each.machine for each in records if each.machine))
    pairs_told = {(each.version, each.commit): None for each in records if each.version}
    versions = [f"odebench {version}" + (f" at commit {commit}" if commit else "") for version, commit in pairs_told]
    told = [f"Measured on {' and '.join(machines)}" if machines else "Measured"]
    told += [f"with {' and '.join(versions)}"] if versions else []
    return [plain(" ".join(told)) + "."] if machines or versions else []


def joined(*parts: str) -> str:
    """Sentences as one paragraph; empty ones are left out."""
    return " ".join(part for part in parts if part)
