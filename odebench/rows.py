"""Records as rows of results.csv, and back."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from odebench.errors import OdebenchError, ResultsError
from odebench.record import ABOUT, AXES, COLUMNS, METRICS, STATUSES, Cell, Record
from odebench.spec import Spec
from odebench.suite.spelling import DIGITS, parse


def record_to_row(record: Record) -> dict[str, Any]:
    """Column -> value of one record: every column of `COLUMNS`, then metrics of plugins; None where not measured."""
    cell = record.cell
    row: dict[str, Any] = {"suite": cell.suite, "cell": cell.key}
    for axis in AXES:
        value = getattr(cell, axis)
        row[axis] = str(value) if isinstance(value, Spec) else value
    row |= {"status": record.status, "reason": record.reason}
    row |= {name: record.metrics.get(name) for name in METRICS}
    row |= {name: getattr(record, name) for name in ABOUT}
    return row | {name: value for name, value in record.metrics.items() if name not in row}


def columns_of(records: Iterable[Record]) -> list[str]:
    """`COLUMNS`, then the metrics that plugins added, in the order they first appear."""
    extra: dict[str, None] = {}
    for record in records:
        extra.update(dict.fromkeys(name for name in record.metrics if name not in COLUMNS))
    return [*COLUMNS, *extra]


def csv_line(values: Iterable[Any]) -> str:
    """One line of CSV, with its line end. Integers as such, floats by `repr`, None as an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_field(value) for value in values])
    return text.getvalue()


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write `records` to `path`, all or nothing.

    Raises:
        OSError: it cannot be written.
    """
    columns = columns_of(records)
    lines = [csv_line(columns)]
    for record in records:
        row = record_to_row(record)
        lines.append(csv_line(row.get(column) for column in columns))
    replace_text(path, "".join(lines))


def replace_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Give the file `path` a new content at once: a reader, or a crash, sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def read_csv(path: Path) -> list[Record]:
    """The records of a CSV; without samples, which only records.jsonl holds.

    Raises:
        ResultsError: it is no such file, or holds no row; the message names line and column.
    """
    return [record_of(at, row) for at, row in read_rows(path)[1]]


def read_rows(path: Path, whole: bool = False) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """(the header, (place, column -> text) of every row) of a CSV, as it stands there; a place is `file:line`.

    `whole` takes a last line without its end for the sign of a file that was cut off, which it need not be.

    Raises:
        ResultsError: it is no file of results, or holds no row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise ResultsError(f"{path}: cannot be read: {told}; name a results folder or its CSV") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, dict[str, str]]] = []
    try:
        header = next(reader, [])
        _check_header(path, header)
        for fields in reader:
            if fields:
                rows.append((f"{path}:{reader.line_num}", _row(f"{path}:{reader.line_num}", header, fields)))
    except csv.Error as error:
        raise ResultsError(f"{path}:{reader.line_num}: not CSV: {error}") from error
    if not rows:
        raise ResultsError(f"{path}: holds no row; a run writes one per cell")
    if whole and not text.endswith(("\n", "\r")):
        raise ResultsError(f"{rows[-1][0]}: the line has no end; is the file cut off? If it is whole, end the line")
    return header, rows


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in ("suite", *AXES, "status") if name not in header]
    if missing:
        raise ResultsError(f"{path}:1: not a results file of odebench: it has no column {', '.join(missing)}")
    for name in header:
        if header.count(name) > 1:
            raise ResultsError(f"{path}:1: column {name} is there twice; remove one")


def _row(at: str, header: list[str], fields: list[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise ResultsError(f"{at}: has {len(fields)} fields, and the header has {len(header)}; is the file cut off?")
    return dict(zip(header, fields, strict=True))


def record_of(at: str, row: Mapping[str, str]) -> Record:
    """The record of one row of a CSV.

    Raises:
        ResultsError: it is none; the message begins with `at`.
    """
    if row["status"] not in STATUSES:
        raise ResultsError(f"{at}: status: {row['status'][:60]!r} is none of {', '.join(STATUSES)}")
    metrics = {}
    for name, text in row.items():
        if text and name not in ("suite", "cell", "reason", "status", *AXES, *ABOUT):
            metrics[name] = _number(at, name, text)
    about: dict[str, Any] = {name: row.get(name, "") for name in ABOUT}
    return Record(_cell(at, row), row["status"], row.get("reason", ""), metrics, **about)


def _cell(at: str, row: Mapping[str, str]) -> Cell:
    values: dict[str, Any] = {axis: row[axis] for axis in ("suite", "device", "dtype")}
    for axis in AXES[:4]:
        try:
            values[axis] = Spec.from_data(parse(row[axis], axis))
        except OdebenchError as error:
            raise ResultsError(f"{at}: {axis}: {error}") from error
    for axis in ("batch", "seed"):
        if not row[axis].isdecimal() or len(row[axis]) > DIGITS:
            raise ResultsError(f"{at}: {axis}: expected a whole number, got {row[axis][:60]!r}")
        values[axis] = int(row[axis])
    return Cell(**values)


def _number(at: str, name: str, text: str) -> float | int:
    for kind in (int, float):
        with suppress(ValueError):
            if len(text) <= DIGITS:  # no float holds a longer count
                return kind(text)
    raise ResultsError(f"{at}: {name}: expected a number or nothing, got {text[:60]!r}")


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(float(value))
    return "" if value is None else value
