"""The results folder: records.jsonl, results.csv, suite.yaml, machine.json. Append-only, and safe against any crash.

A record is on the disk before the next cell starts. One run at a time may write: it holds a lock on records.jsonl,
which the kernel takes back when the run ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from odebench.errors import OdebenchError, ResultsError, UsageError
from odebench.record import ABOUT, FORMAT, STATUSES, Cell, Record
from odebench.rows import columns_of, csv_line, read_csv, record_to_row, write_csv
from odebench.suite.spelling import DIGITS
from odebench.writing import replace

__all__ = ["Store", "read_results", "record_from_data", "record_to_data", "record_to_row", "write_csv"]

RECORDS, TABLE, SUITE, MACHINE = "records.jsonl", "results.csv", "suite.yaml", "machine.json"
JSON_LINES = (".jsonl", ".json")
Key = tuple[str, str]  # suite, cell
_CELL = {"suite": str, "device": str, "dtype": str, "batch": int, "seed": int}
_RECORD = {
    **dict.fromkeys(("reason", *ABOUT), str),
    **dict.fromkeys(("metrics", "samples", "settings", "curves"), dict),
    "mesh": list,
    "plugins": list,
}
_FIELDS = [each.name for each in fields(Record) if each.name != "cell"]


def key_of(cell: Cell) -> Key:
    """What makes a cell one of a kind in a results folder."""
    return cell.suite, cell.key


class Store:
    """A results folder opened for writing, and locked. A context manager.

    Args:
        folder: created if it is not there.
        order: the cells of the plan; the rows of results.csv follow it, whatever order they are measured in.

    Raises:
        UsageError: another run is writing to the folder, or it cannot be written.
        ResultsError: what is in records.jsonl cannot be read.
    """

    def __init__(self, folder: Path, order: Iterable[Cell] = ()) -> None:
        self.folder = folder
        self._order = {key_of(cell): index for index, cell in enumerate(order)}
        self._lines: dict[Key, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(folder / RECORDS, "a+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written: {error.strerror or error}; name another folder") from error
        try:
            _lock(self._file.fileno(), folder)
            self._found = self._recover()
        except BaseException:
            self._file.close()
            raise
        for draft in folder.glob(".*.part"):
            draft.unlink(missing_ok=True)  # of a run that was killed; nobody else writes here
        self._columns = columns_of(self._found.values())
        for record in self._found.values():
            self._add_line(record)
        self._stale = bool(self._found)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stale:
                self._write_table()
        finally:
            self._file.close()

    @property
    def found(self) -> Mapping[Key, Record]:
        """Every record so far, those of earlier runs included."""
        return self._found

    def records(self) -> list[Record]:
        """Every record, in the order of the plan; those of no planned cell last."""
        return [self._found[key] for key in self._sorted()]

    def describe(self, suites: Sequence[Mapping[str, Any]]) -> None:
        """Write suite.yaml; before the first record."""
        from odebench.suite.yaml_source import dump_documents

        replace(self.folder / SUITE, dump_documents(suites), durable=True)
        _sync_folder(self.folder)

    def describe_machine(self, facts: Mapping[str, Any]) -> None:
        """Write machine.json; before the first record."""
        replace(self.folder / MACHINE, json.dumps(facts, indent=2) + "\n", durable=True)

    def append(self, *records: Record) -> None:
        """Add records, of cells that have none yet; when this returns they are on the disk."""
        data = b"".join(json.dumps(record_to_data(record)).encode() + b"\n" for record in records)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) or 0 :]
        os.fsync(self._file.fileno())
        for record in records:
            self._found[key_of(record.cell)] = record
        self._stale = True
        fresh = [name for name in columns_of(records) if name not in self._columns]
        if fresh:
            self._columns += fresh
            records = tuple(self._found.values())
        for record in records:
            self._add_line(record)
        self._write_table()

    def _add_line(self, record: Record) -> None:
        row = record_to_row(record)
        self._lines[key_of(record.cell)] = csv_line(row.get(column) for column in self._columns)

    def _write_table(self) -> None:
        # Rewritten after every cell, of thousands: the lines are kept, so that this is one join and one write.
        replace(self.folder / TABLE, csv_line(self._columns) + "".join(self._lines[key] for key in self._sorted()))
        self._stale = False

    def _sorted(self) -> list[Key]:
        return sorted(self._found, key=lambda key: self._order.get(key, len(self._order)))

    def _recover(self) -> dict[Key, Record]:
        """Read what is there; cut off a line that a crash left unfinished, and finish one that lacks its newline."""
        self._file.seek(0)
        content = self._file.read()
        assert content is not None
        records = [record for _, record in _parse(self.folder / RECORDS, content)]
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            if _is_whole(content[complete:]):
                self._file.write(b"\n")
            else:
                self._file.truncate(complete)
            os.fsync(self._file.fileno())
        return {key_of(record.cell): record for record in records}


def read_results(path: str | Path) -> list[Record]:
    """The records of a results folder, of a records.jsonl, or of a CSV (which has no samples). Changes nothing there.

    Raises:
        ResultsError: there is nothing to read, or it cannot be read; located by file and line.
    """
    file = results_file(path)
    if file.suffix not in JSON_LINES:
        return read_csv(file)
    records = list({key_of(record.cell): record for _, record in read_lines(file)}.values())
    return _as_in_table(file.with_name(TABLE), records) if os.path.isdir(path) else records


def results_file(path: str | Path) -> Path:
    """The file that holds the results which `path` names: of a folder its records.jsonl, or its CSV without one.

    Raises:
        ResultsError: there is none.
    """
    where = Path(path)
    try:
        if os.path.isdir(where):
            found = next((where / name for name in (RECORDS, TABLE) if (where / name).is_file()), None)
            if found is None:
                raise ResultsError(f"{where}: not a results folder: it has neither {RECORDS} nor {TABLE}")
            return found
        if not os.path.exists(where):  # not Path.exists, which raises for a name that no file can have
            raise ResultsError(f"{where}: there is no such file or folder; name a results folder or its CSV")
        if not where.is_file() and not where.is_fifo():
            raise ResultsError(f"{where}: is a device, which has no end; name a results folder or its CSV")
    except OSError as error:
        raise ResultsError(f"{where}: cannot be read: {error.strerror or error}") from error
    return where


def read_lines(path: Path, whole: bool = False) -> list[tuple[str, Record]]:
    """(place, record) of every line of a records.jsonl; a place is `file:line`.

    A last line that a crash left unfinished does not count; if the file is to be `whole` it is an error.

    Raises:
        ResultsError: there is no record, or a line is none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror or error}") from error
    records = list(_parse(path, content))
    if whole and not content.endswith(b"\n") and content:
        number = content.count(b"\n") + 1
        raise ResultsError(
            f"{path}:{number}: the record is cut off; `odebench run --resume {path.parent}` finishes the run"
        )
    if not records:
        raise ResultsError(f"{path}: holds no record yet; `odebench run --resume {path.parent}` goes on with the run")
    return records


def record_to_data(record: Record) -> dict[str, Any]:
    """One line of records.jsonl, as plain data."""
    data = {name: getattr(record, name) for name in _FIELDS} | {"notes": list(record.notes)}
    for name in ("curves", "plugin_digest", "plugins"):
        if not data[name]:
            del data[name]  # most cells have none
    return {"format": FORMAT, "cell": record.cell.to_data(), "key": record.cell.key, **data}


def record_from_data(data: Any) -> Record:
    """The inverse of `record_to_data`.

    Raises:
        ValueError: it is no record; the message says why.
    """
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise ValueError("not a record of odebench")
    if data["format"] > FORMAT:
        raise ValueError(f"format {data['format']} is newer than this odebench reads ({FORMAT}); update odebench")
    try:
        cell = Cell.from_data(data["cell"])
        known = {name: data[name] for name in _FIELDS if name in data}
        record = Record(cell, **known | {"notes": tuple(data.get("notes", ()))})
    except (KeyError, TypeError, ValueError, AttributeError, OdebenchError) as error:
        raise ValueError(f"not a whole record: {type(error).__name__}: {error}") from error
    if record.status not in STATUSES:
        raise ValueError(f"not a whole record: status {record.status!r}")
    for owner, kinds in ((cell, _CELL), (record, _RECORD)):
        for name, kind in kinds.items():
            if not isinstance(getattr(owner, name), kind):
                raise ValueError(f"not a whole record: {name} {getattr(owner, name)!r:.60}")
    for name, curve in record.curves.items():
        if not isinstance(curve, list) or not all(type(value) in (int, float) for value in curve):
            raise ValueError(f"not a whole record: curve {name} is no list of numbers")
    for name, value in record.metrics.items():
        if type(value) not in (int, float) or (type(value) is int and abs(value) >= 10**DIGITS):
            raise ValueError(f"not a whole record: {name} {value!r:.60} is no number")
    return record


def _as_in_table(table: Path, records: list[Record]) -> list[Record]:
    """In the order of the rows of results.csv, which is the plan's; in that of measuring if there is no such file."""
    try:
        order = {key_of(record.cell): index for index, record in enumerate(read_csv(table))}
    except ResultsError:
        return records
    return sorted(records, key=lambda record: order.get(key_of(record.cell), len(order)))


def _parse(path: Path, content: bytes) -> Iterator[tuple[str, Record]]:
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not _is_whole(line):
            return  # torn by a crash, or nothing after the last newline
        try:
            yield f"{path}:{number}", record_from_data(json.loads(line))
        except (ValueError, RecursionError) as error:
            what = error if not isinstance(error, json.JSONDecodeError) else "not JSON; restore the line or remove it"
            raise ResultsError(f"{path}:{number}: {what}") from error


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(f"{folder}: another run is writing there; wait for it, or name another folder") from error
    except OSError:
        pass  # a file system without locks


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
