"""The files of the PhysioNet/CinC Challenge 2012: stays in intensive care, a text file each, and their outcomes.

The format is that which the loader of Y. Rubanova's latent_ode repository reads: a folder of files `RecordID.txt` with
a header and lines `HH:MM,Parameter,Value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from odebench.errors import DataError, did_you_mean

HOURS = 48.0  # that a file covers
DESCRIPTORS = ("Age", "Gender", "Height", "ICUType")  # told once, and no features here
FEATURES = (
    "Weight", "Albumin", "ALP", "ALT", "AST", "Bilirubin", "BUN", "Cholesterol", "Creatinine", "DiasABP", "FiO2",
    "GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "Mg", "MAP", "MechVent", "Na", "NIDiasABP", "NIMAP",
    "NISysABP", "PaCO2", "PaO2", "pH", "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI", "TroponinT",
    "Urine", "WBC",
)  # fmt: skip
HEADER = "Time,Parameter,Value"
OUTCOMES = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"

_PLACES = {name: place for place, name in enumerate(FEATURES)}
_TIME = re.compile(r"(\d\d):([0-5]\d)", re.ASCII)
_SOURCE = "physionet.org/content/challenge-2012/1.0.0"

Means = dict[tuple[int, int], float]  # (time in quanta, feature) -> the mean of what was observed then


@dataclass(frozen=True)
class Stays:
    """Stays in the order of their record numbers, each at its own times, padded behind.

    `ids` (count,); `lengths` (count,), how many times each has, at least 1; `times` (count, most), increasing, in
    quanta; `values` (count, most, features), scaled to [0, 1] feature by feature over all that was observed, 0 where
    `holds`, of the same shape, is false; `died` (count,), in hospital: 1, or 0, or −1 where it is not known.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    holds: NDArray[np.bool_]
    died: NDArray[np.int64]


def read_stays(folder: Path, sets: str, quantum: float, most: int, outcomes: bool) -> Stays:
    """The first `most` stays, or all for 0, of `set-a`, `set-b` or both, which `sets` has the letters of.

    Times are rounded to whole quanta of so many hours, and what falls together is averaged. A Weight of −1 says that it
    is not known, and is left out; so are stays without any observation. With `outcomes` those of the sets are read too;
    only the set that has none among several may lack them.

    Raises:
        DataError: a folder or file is missing, truncated or corrupted, or nothing is left.
    """
    paths = sorted((path for letter in sets for path in _files(folder / f"set-{letter}")), key=lambda path: path.stem)
    kept = tuple(paths[:most] if most else paths)
    tables = tuple(_outcome_files(folder, sets)) if outcomes else ()
    return _read(kept, quantum, tables, _stamp(kept + tables))


@lru_cache(maxsize=1)  # a training run builds its workload twice
def _read(paths: tuple[Path, ...], quantum: float, tables: tuple[Path, ...], stamp: Any) -> Stays:
    deaths = [read_outcomes(path) for path in tables]
    every = {int(path.stem): read_stay(path, quantum) for path in paths}
    known = {number: died for table in deaths for number, died in table.items()}
    letters = {path.stem.removeprefix("Outcomes-") for path in tables}
    for path in paths if tables else ():
        letter = path.parent.name.removeprefix("set-")
        if letter in letters and int(path.stem) not in known:
            table = path.parent.parent / f"Outcomes-{letter}.txt"
            raise DataError(f"{table}: no line for record {path.stem}, which is in {path.parent}; {_anew(table)}")
    seen = {number: means for number, means in every.items() if means}
    if not seen:
        raise DataError(f"{paths[0].parent}: none of {len(paths)} stays has an observation; {_anew(paths[0])}")
    return _padded(seen, known)


def read_stay(path: Path, quantum: float) -> Means:
    """What one file says.

    Raises:
        DataError: it cannot be read, or is truncated or corrupted; with the line.
    """
    sums: dict[tuple[int, int], tuple[float, int]] = {}
    lines = _lines(path, HEADER)
    if not lines or lines[0] != f"00:00,RecordID,{path.stem}":
        _refuse(path, 2, f"expected '00:00,RecordID,{path.stem}', got {_shown(lines[0] if lines else '')}")
    for number, line in enumerate(lines[1:], 3):
        fields = line.split(",")
        if len(fields) != 3:
            _refuse(path, number, f"expected HH:MM,Parameter,Value, got {_shown(line)}")
        time, name, text = fields
        clock, value = _TIME.fullmatch(time), _number(text)
        if clock is None:
            _refuse(path, number, f"expected a time HH:MM, got {_shown(time)}")
        if value is None:
            _refuse(path, number, f"expected a finite number for {name}, got {_shown(text)}")
        if name in DESCRIPTORS or (name == "Weight" and value == -1):
            continue
        if name not in _PLACES:
            _refuse(path, number, f"no parameter is called {_shown(name)}{did_you_mean(name, FEATURES)}")
        key = round((int(clock[1]) + int(clock[2]) / 60) / quantum), _PLACES[name]
        total, count = sums.get(key, (0.0, 0))
        sums[key] = (total + value, count + 1)
    return {key: total / count for key, (total, count) in sums.items()}


def read_outcomes(path: Path) -> dict[int, int]:
    """Record number -> 1 for a death in hospital, else 0.

    Raises:
        DataError: the file cannot be read, or is truncated or corrupted; with the line.
    """
    died: dict[int, int] = {}
    for number, line in enumerate(_lines(path, OUTCOMES), 2):
        fields = [int(field) if re.fullmatch(r"-?\d+", field, re.ASCII) else None for field in line.split(",")]
        if len(fields) != 6 or None in fields or fields[-1] not in (0, 1):
            _refuse(path, number, f"expected six whole numbers, the last one 0 or 1, got {_shown(line)}")
        record, last = fields[0], fields[-1]
        assert record is not None
        assert last is not None
        if record in died:
            _refuse(path, number, f"record {record} has a line already")
        died[record] = last
    return died


def _files(folder: Path) -> list[Path]:
    """Every file of a set.

    Raises:
        DataError: there is none, or one that is not called by a record number.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; unpack {folder.name}.tar.gz of {_SOURCE} there")
    found = sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: no .txt file is in it; unpack {folder.name}.tar.gz of {_SOURCE} there")
    for path in found:
        if not re.fullmatch(r"\d+", path.stem, re.ASCII):
            raise DataError(f"{path}: expected files called by a record number, such as 132539.txt; move it elsewhere")
    return found


def _outcome_files(folder: Path, sets: str) -> Iterable[Path]:
    paths = [folder / f"Outcomes-{letter}.txt" for letter in sets]
    there = [path for path in paths if path.is_file()]
    if not there:
        raise DataError(f"{paths[0]}: there is no such file; get it from {_SOURCE}, or set mortality to 0")
    return there


def _lines(path: Path, header: str) -> list[str]:
    """All lines after the header, without their ends."""
    try:
        text = path.read_bytes().decode("ascii")
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror}); {_anew(path)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is no ASCII character; {_anew(path)}") from error
    lines = text.splitlines()
    if not lines or lines[0] != header:
        _refuse(path, 1, f"expected the header '{header}', got {_shown(lines[0] if lines else '')}")
    if not text.endswith(("\n", "\r")):
        _refuse(path, len(lines), f"the file breaks off in the midst of a line, {_shown(lines[-1])}")
    return lines[1:]


def _refuse(path: Path, line: int, what: str) -> NoReturn:
    raise DataError(f"{path}:{line}: {what}; {_anew(path)}")


def _anew(path: Path) -> str:
    outcomes = path.name.startswith("Outcomes")
    return f"get it anew from {_SOURCE}" if outcomes else f"unpack it anew from {path.parent.name}.tar.gz of {_SOURCE}"


def _shown(text: str) -> str:
    if not text:
        return "nothing"
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _stamp(paths: Iterable[Path]) -> tuple[tuple[int, int], ...]:
    """What changes when a file does."""
    return tuple((state.st_size, state.st_mtime_ns) for state in (path.stat() for path in paths))


def _padded(seen: dict[int, Means], known: dict[int, int]) -> Stays:
    """Arrays of them, scaled."""
    numbers = sorted(seen)
    own = [sorted({time for time, _ in seen[number]}) for number in numbers]
    lengths = np.array([len(times) for times in own], np.int64)
    shape = (len(numbers), int(lengths.max()), len(FEATURES))
    times, values = np.zeros(shape[:2], np.int64), np.zeros(shape)
    holds = np.zeros(shape, np.bool_)
    for row, number in enumerate(numbers):
        times[row, : len(own[row])] = own[row]
        place = {time: at for at, time in enumerate(own[row])}
        for (time, feature), value in seen[number].items():
            values[row, place[time], feature], holds[row, place[time], feature] = value, True
    died = np.array([known.get(number, -1) for number in numbers], np.int64)
    return Stays(np.array(numbers, np.int64), lengths, times, _scaled(values, holds), holds, died)


def _scaled(values: NDArray[np.float64], holds: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each feature by its least and largest observed value; 0 where they are the same, or nothing was observed."""
    least = np.where(holds, values, np.inf).min((0, 1))
    width = np.where(holds, values, -np.inf).max((0, 1)) - least
    there = np.isfinite(least) & (width > 0)
    scaled = (values - np.where(there, least, 0.0)) / np.where(there, width, 1.0)
    return np.where(holds & there, scaled, 0.0).astype(np.float32)
