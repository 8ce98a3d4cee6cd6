"""Records and CSVs of two sides of a comparison, written out."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from odebench.record import Cell, Record
from odebench.rows import write_csv
from odebench.spec import Spec
from odebench.store import Store

METRICS: dict[str, float | int] = {
    "steps": 100, "rejected": 0, "nfe_forward": 400, "nfe_backward": 400, "vjp_backward": 400, "work": 1600,
    "forward_seconds": 0.010, "backward_seconds": 0.020, "wall_seconds": 0.030, "repeats": 10,
    "overhead_forward": 1.2, "overhead": 1.5, "first_call_seconds": 0.5,
    "peak_memory_bytes": 100_000, "graph_bytes": 50_000, "process_peak_bytes": 300_000_000,
    "solution_error": 1.2e-7, "reverse_error": 0.0, "gradient_error": 1.3e-7, "gradient_error_discrete": 3e-16,
}  # fmt: skip
ABOUT = {"machine": "a box x2 #123456", "commit": "0123456789ab", "version": "0.1.0", "started": "2026-01-01T00:00:00Z"}


def cell(solver: str = "rk4", gradient: str = "direct", suite: str = "small", **axes: Any) -> Cell:
    fixed = Spec.of("fixed", {"steps": 100})
    return Cell(suite, Spec("linear_decay"), Spec(solver), Spec(gradient), fixed, **axes)


def record(
    of: Cell | None = None, status: str = "ok", reason: str = "", about: dict[str, str] | None = None, **metrics: Any
) -> Record:
    """A record with figures; one that is None is left out."""
    figures = {name: value for name, value in {**METRICS, **metrics}.items() if value is not None}
    return Record(of or cell(), status, reason, figures, **{**ABOUT, **(about or {})})


def refused(of: Cell | None = None, reason: str = "it cannot") -> Record:
    return Record(of or cell(), "refused", reason, **ABOUT)


def table(path: Path, *records: Record) -> str:
    """A CSV of the records; its path."""
    write_csv(path, records)
    return str(path)


def folder(path: Path, *records: Record) -> str:
    """A results folder of the records; its path."""
    with Store(path) as store:
        store.append(*records)
    return str(path)


def edited(path: str, column: str, value: str, row: int = 0) -> str:
    """The same CSV with another value in one place, written as it stands."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[row][column] = value
    return write(Path(path), rows[0].keys(), rows)


def write(path: Path, columns: Iterable[str], rows: Iterable[dict[str, str]]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return str(path)
