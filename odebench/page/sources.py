"""What a page is made of: results folders as they were named, and the suites in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odebench.errors import OdebenchError, UsageError
from odebench.record import Record
from odebench.report.text import plain
from odebench.store import MACHINE, SUITE, read_results
from odebench.suite.loading import Suite
from odebench.suite.yaml_source import read_documents


@dataclass(frozen=True)
class Source:
    """One results folder, or one file of records. All but the records may be missing."""

    label: str  # what it is called on the page, and no other source is
    records: tuple[Record, ...]
    machine: Mapping[str, Any]  # what machine.json holds
    suites: tuple[Suite, ...]  # what suite.yaml holds
    suite_file: Path | None = None

    def suite(self, name: str) -> Suite | None:
        """The suite of that name, as it was resolved."""
        return next((each for each in self.suites if each.name == name), None)


@dataclass(frozen=True)
class Study:
    """One suite as it was measured in one results folder. Only within it is a cell's key the only one of its kind."""

    label: str
    records: tuple[Record, ...]
    first: int  # row of the first record in the table of the page


def read_sources(paths: Sequence[str], wanted: Callable[[Record], bool]) -> list[Source]:
    """The sources that `paths` name, with those of their records that are `wanted`; without sources that have none.

    Raises:
        ResultsError: one of them cannot be read.
        UsageError: one of them is named twice.
    """
    whole = [Path(os.path.abspath(path)) for path in paths]
    for path, named in zip(whole, paths, strict=True):
        if whole.count(path) > 1:
            raise UsageError(f"{named}: is named twice; name each of the results once")
    sources = []
    for named, label in zip(paths, _labels(whole), strict=True):
        folder = Path(named) if os.path.isdir(named) else Path(named).parent
        # Records of one suite stand together, so that a study is a stretch of the table.
        records = [record for record in read_results(named) if wanted(record)]
        order = {name: index for index, name in enumerate(dict.fromkeys(each.cell.suite for each in records))}
        records.sort(key=lambda each: order[each.cell.suite])
        suites = _suites(folder / SUITE)
        file = folder / SUITE if suites else None
        if records:
            sources.append(Source(label, tuple(records), _machine(folder / MACHINE), suites, file))
    return sources


def studies_of(sources: Iterable[Source]) -> list[Study]:
    """Every suite of every source, in the order of the rows of the table."""
    sources = list(sources)
    found: dict[tuple[str, str], list[Record]] = {}
    for source in sources:
        for record in source.records:
            found.setdefault((source.label, record.cell.suite), []).append(record)
    studies, first = [], 0
    for (label, suite), records in found.items():
        name = plain(suite)
        if len(sources) > 1:
            name = label if name in label else f"{label}: {name}"
        studies.append(Study(name, tuple(records), first))
        first += len(records)
    return studies


def _labels(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as tell them apart."""
    for parts in range(1, max(len(path.parts) for path in paths)):
        labels = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(labels)) == len(labels):
            return list(map(plain, labels))
    return [plain(path) for path in paths]


def _machine(path: Path) -> Mapping[str, Any]:
    # It is told as far as it can be read: the figures do not hang on it.
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _suites(path: Path) -> tuple[Suite, ...]:
    # As data: a suite may name plugins, and to read results runs no code of anybody's.
    try:
        return tuple(Suite.from_data(document.data, path) for document in read_documents(path))
    except (OdebenchError, LookupError, TypeError, ValueError, AttributeError):
        return ()
