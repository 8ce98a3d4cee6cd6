"""Results read for a comparison: strictly, because what is silently left out or made up here becomes a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite
from pathlib import Path

from odebench.compare.policy import CONTEXT, ERRORS, EXACT, NOISY
from odebench.errors import NothingSelected, ResultsError
from odebench.record import COLUMNS, Record
from odebench.rows import columns_of, read_rows, record_of
from odebench.store import JSON_LINES, SUITE, Key, key_of, read_lines, results_file
from odebench.suite.select import Filter

# What a compiled call of both passes takes beyond the forward pass alone may come out below nothing.
_SIGNED = ("backward_seconds",)
_LARGEST = 2**63
_TOLD = 20  # findings; whoever has more has another trouble


@dataclass(frozen=True)
class Results:
    """One side of a comparison. `suite` is the suite file that lies beside the records."""

    name: str
    records: tuple[Record, ...]
    suite: Path | None = None

    @property
    def cells(self) -> Mapping[Key, Record]:
        """Records by suite and cell."""
        return {key_of(record.cell): record for record in self.records}

    @property
    def others(self) -> tuple[str, ...]:
        """Metrics of plugins."""
        return tuple(name for name in columns_of(self.records) if name not in COLUMNS)

    def among(self, suites: Iterable[str], devices: Iterable[str] = ()) -> Results:
        """With the cells of some suites, and of some devices if any are named."""
        names, places = set(suites), set(devices)
        kept = [
            each for each in self.records if each.cell.suite in names and (not places or each.cell.device in places)
        ]
        return replace(self, records=tuple(kept))

    def only(self, where: Filter | None) -> Results:
        """With the cells that the filter takes, if any."""
        if where is None:
            return self
        return replace(self, records=tuple(each for each in self.records if where.matches(each.cell)))


def load(path: str | Path) -> Results:
    """Read a results folder, a records.jsonl or a CSV, and check all of it.

    Raises:
        ResultsError: there is no row, the file is cut off or of a newer format, a cell is there twice or does not fit
            its axes, or a figure cannot be; every message begins with `file:line`.
    """
    file = results_file(path)
    located = read_lines(file, whole=True) if file.suffix in JSON_LINES else list(_rows(file))
    found = list(islice(_faults(located), _TOLD))
    if found:
        raise ResultsError("\n".join(found))
    beside = file.with_name(SUITE)
    return Results(str(path), tuple(record for _, record in located), beside if beside.is_file() else None)


def require_selection(base: Results, new: Results, where: Filter | None) -> tuple[Results, Results]:
    """Both sides with the cells that the filter takes.

    Raises:
        NothingSelected: there is none on either side.
    """
    few = base.only(where), new.only(where)
    if where is not None and not any(side.records for side in few):
        raise NothingSelected(f"-k {where.text!r} selects none of the cells in {base.name} and {new.name}")
    return few


def require_meeting(base: Results, new: Results) -> None:
    """Make sure that there is something to compare.

    Raises:
        ResultsError: no cell is on both sides.
    """
    if not base.cells.keys() & new.cells.keys():
        suites = [sorted({record.cell.suite for record in side.records}) for side in (base, new)]
        raise ResultsError(
            f"no cell is on both sides: {base.name} holds {_named(suites[0])}, {new.name} {_named(suites[1])}; "
            "compare results of the same suite, cells and dtypes"
        )


def _named(suites: Sequence[str]) -> str:
    shown = ", ".join(repr(each[:60]) for each in suites[:5])
    more = f" and {len(suites) - 5} more" if len(suites) > 5 else ""
    return f"suite{'s' * (len(suites) != 1)} {shown}{more}" if suites else "no suite"


def _rows(file: Path) -> Iterator[tuple[str, Record]]:
    for at, row in read_rows(file, whole=True)[1]:
        record = record_of(at, row)
        told = row.get("cell")
        if told and told != record.cell.key:
            raise ResultsError(f"{at}: cell: {told[:200]!r}, but the row's own axes make it {record.cell.key!r}")
        yield at, record


def _faults(located: Iterable[tuple[str, Record]]) -> Iterator[str]:
    seen: dict[Key, str] = {}
    for at, record in located:
        key = key_of(record.cell)
        if key in seen:
            yield f"{at}: cell: {record.cell.key[:200]!r} of suite {key[0][:60]!r} stands at {seen[key]} already"
        seen.setdefault(key, at)
        if any(not _is_text(each) for each in (*key, record.reason, *record.metrics)):
            yield f"{at}: holds half of a surrogate pair, which is no text"
        for name, value in record.metrics.items():
            wrong = _wrong(record.status, name, value)
            if wrong:
                yield f"{at}: {name}: {wrong}, got {str(value)[:40]}"


def _wrong(status: str, name: str, value: float) -> str:
    """Why a figure of a row with this status cannot be, or nothing. Plugins may measure what they like."""
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return "expected a smaller number"  # one that a float can hold, for ratios
    if name in EXACT or name == "repeats":
        if not isfinite(value) or value != int(value):
            return "expected a whole number"
    elif name not in (*ERRORS, *NOISY, *CONTEXT):
        return ""
    elif status == "ok" and not _may_be(name, value):
        return "expected a finite figure of a row that is ok"
    return "expected a figure that is not negative" if value < 0 and name not in _SIGNED else ""


def _may_be(name: str, value: float) -> bool:
    # An error is infinite where the truth is zero and the answer is not.
    return isfinite(value) or (name in ERRORS and value > 0)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
