"""The table of all cells, as data for the script of the page: columns, figures as measured and as people read them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from odebench.measure.metrics import MEANINGS
from odebench.page.repeat import commands
from odebench.page.sources import Source
from odebench.record import ABOUT, ALIASES, AXES
from odebench.report.looks import look_of, shown
from odebench.report.table import reading_table
from odebench.report.text import plain
from odebench.rows import columns_of, record_to_row

NAMES = ("suite", *AXES, "status")
TEXTS = ("reason", *ABOUT)
_CHOICES = 300  # values of one column that a list to choose from may have


def cells_data(sources: Sequence[Source]) -> dict[str, Any]:
    """All that the table shows and searches; lists of values are in the order of the rows.

    Names come as an index into those there are. Figures come twice, in base units and as text, and so that text is
    made in one place: `report`. `shown` tells the columns of a table of which nobody asked anything.
    """
    records = [record for source in sources for record in source.records]
    labels = [source.label for source in sources for _ in source.records]
    rows = [record_to_row(record) for record in records]
    figures = [name for name in columns_of(records) if name not in ("cell", *NAMES, *TEXTS)]
    names = {"results": labels} if len(sources) > 1 else {}
    names |= {name: [plain(row[name]) for row in rows] for name in NAMES}
    columns: list[dict[str, Any] | None] = [_name(name, values) for name, values in names.items()]
    columns += [_figure(name, [row.get(name) for row in rows]) for name in figures]
    columns += [_text(name, [plain(row[name]) for row in rows]) for name in TEXTS]
    columns += [
        _text("notes", [plain("; ".join(record.notes)) for record in records]),
        _text("command", [command for source in sources for command in commands(source)]),
    ]
    told = [column for column in columns if column is not None]
    wanted = _wanted(sources)
    return {
        "rows": len(rows),
        "columns": told,
        "shown": [column["name"] for column in told if column["name"] in wanted],
        "aliases": {alias: meant[0] for alias, meant in ALIASES.items() if len(meant) == 1},
    }


def _wanted(sources: Sequence[Source]) -> set[str]:
    """The columns that `show` has, the status where not all is ok, and the results where there are several."""
    records = [record for source in sources for record in source.records]
    table = reading_table(records)
    wanted = {*table.group_by, *table.columns}
    if any(record.status != "ok" for record in records):
        wanted.add("status")
    if len(sources) > 1:
        wanted.add("results")
        if all(len({record.cell.suite for record in source.records}) == 1 for source in sources):
            wanted.discard("suite")  # the results tell it
    return wanted


def _name(name: str, values: list[str]) -> dict[str, Any]:
    known = {value: index for index, value in enumerate(dict.fromkeys(values))}
    return {
        "name": name,
        "title": name,
        "kind": "name",
        "known": list(known),
        "choice": 1 < len(known) <= _CHOICES,
        "short": _short(known),
        "at": [known[value] for value in values],
    }


def _short(names: Iterable[str]) -> list[tuple[str, str]]:
    """(what stands for it, name) of those that are clear without their options: no other one is called so."""
    bare = Counter(name.partition("(")[0] for name in names)
    return [(name.partition("(")[0], name) for name in names if "(" in name and bare[name.partition("(")[0]] == 1]


def _figure(name: str, values: list[Any]) -> dict[str, Any] | None:
    """None where no cell has the figure."""
    if all(value is None for value in values):
        return None
    return {
        "name": name,
        "title": plain(" ".join(look_of(name).title)),
        "kind": "figure",
        "about": MEANINGS.get(name, ("", ""))[1],
        "raw": list(map(_raw, values)),
        "shown": [shown(name, value) for value in values],
    }


def _text(name: str, values: Iterable[str]) -> dict[str, Any] | None:
    texts = list(values)
    return {"name": name, "title": name, "kind": "text", "texts": texts} if any(texts) else None


def _raw(value: float | int | None) -> float | int | str | None:
    """JSON has no infinities."""
    return value if value is None or math.isfinite(value) else str(float(value))
