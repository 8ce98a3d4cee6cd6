"""A baseline for git: a small CSV of what repeats, sorted, in which an update changes no more than has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odebench.compare.policy import ERRORS, EXACT, Policy
from odebench.compare.sides import Results, load
from odebench.compare.stored import compare_cell
from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError
from odebench.record import AXES, METRICS, Cell, Record
from odebench.rows import csv_line, read_rows, record_to_row
from odebench.store import JSON_LINES, Key, key_of
from odebench.writing import deliver

# What repeats. Times and their ratios, machine, commit and dates would differ in every row of every update.
COLUMNS = ("suite", *AXES, "status", "reason", *(name for name in METRICS if name in (*EXACT, *ERRORS)))

Fields = Mapping[str, Any]  # column -> text as it stands in the file, or a value to be written


@dataclass(frozen=True)
class Change:
    """One cell whose row an update touches: `added`, `changed` or `dropped`, and what of it changed."""

    kind: str
    suite: str
    cell: str
    what: tuple[str, ...] = ()


@dataclass(frozen=True)
class Update:
    """What an update of `path` comes to; `text` is its new content, None if there is nothing to write."""

    path: Path
    text: str | None
    changes: tuple[Change, ...]
    cells: int  # in the baseline afterwards
    created: bool = False

    def write(self) -> None:
        """All or nothing.

        Raises:
            UsageError: the file cannot be written.
        """
        if self.text is None:
            return
        deliver(self.path, self.text, durable=True)


def plan_update(path: Path, new: Results, prune: bool = False) -> Update:
    """What has to be written to bring the baseline `path` up to `new`; nothing is written.

    A row stays as it is, digit for digit, unless the cell changed in the sense of the default policy: errors within
    their band did not. Where it did, figures that did not change keep their digits all the same. Columns are those of
    the file; cells that `new` lacks stay unless `prune`.

    Raises:
        UsageError: `path` is no file that a baseline can be written to.
        ResultsError: what is in it cannot be read.
    """
    created = not os.path.lexists(path)
    header, rows, old = (list(COLUMNS), {}, {}) if created else _read(path)
    changes: list[Change] = []
    kept: dict[Key, tuple[Cell, Fields]] = {}
    for key, record in new.cells.items():
        if key not in old:
            changes.append(Change("added", *key))
            kept[key] = (record.cell, record_to_row(record))
            continue
        fields, what = _updated(rows[key], old[key], record, header)
        kept[key] = (old[key].cell, fields)
        if what:
            changes.append(Change("changed", *key, what))
    for key in old.keys() - new.cells.keys():
        if prune:
            changes.append(Change("dropped", *key))
        else:
            kept[key] = (old[key].cell, rows[key])
    lines = [csv_line(fields.get(name) for name in header) for _, fields in sorted(kept.values(), key=_place)]
    text = "".join([csv_line(header), *lines]) if changes else None
    ordered = sorted(changes, key=lambda each: (each.suite, each.cell))
    return Update(path, text, tuple(ordered), len(kept), created)


def _read(path: Path) -> tuple[list[str], dict[Key, Fields], dict[Key, Record]]:
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a folder; a baseline is a CSV file, such as {path / 'baseline.csv'}")
    if path.suffix in JSON_LINES:
        raise UsageError(f"{path}: holds records of a run; a baseline is a CSV file")
    if not os.path.exists(path):
        raise UsageError(f"{path}: is a link that leads nowhere; remove it, or name a file")
    records = load(path).records
    header, located = read_rows(path)
    keys = [key_of(record.cell) for record in records]
    rows: dict[Key, Fields] = {key: fields for key, (_, fields) in zip(keys, located, strict=True)}
    return header, rows, dict(zip(keys, records, strict=True))


def _place(row: tuple[Cell, Fields]) -> tuple[Any, ...]:
    """Where a row stands: batches and seeds by size, all else by name."""
    cell = row[0]
    names = (cell.suite, *(str(getattr(cell, axis)) for axis in AXES[:-2]))
    return (*names, cell.batch, cell.seed)


def _updated(fields: Fields, old: Record, new: Record, header: list[str]) -> tuple[Fields, tuple[str, ...]]:
    """(the row as it should be, what changed in it)."""
    if old.status != new.status:
        return record_to_row(new), (f"status {old.status} -> {new.status}",)
    changed = _changed(old, new, header)
    if not changed:
        return fields, ()
    stays = [name for name in (*EXACT, *ERRORS) if name not in changed]
    return {**record_to_row(new), **{name: fields.get(name) for name in stays}}, tuple(changed.values())


def _changed(old: Record, new: Record, header: list[str]) -> dict[str, str]:
    """Metric -> how it changed, of those that repeat and that the file holds."""
    policy = Policy.parse()
    verdicts = {each.metric: each.verdict for each in compare_cell(old, new, policy, "")}
    changed = {}
    for name in (*EXACT, *ERRORS):
        before, after = old.metrics.get(name), new.metrics.get(name)
        appeared = (before is None) is not (after is None)
        if name in header and (appeared or verdicts.get(name) in (Verdict.WORSE, Verdict.BETTER)):
            changed[name] = f"{name} {_shown(before)} -> {_shown(after)}"
    return changed


def _shown(value: float | None) -> str:
    return "nothing" if value is None else str(value)
