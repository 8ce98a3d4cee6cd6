"""A table in the formats that other programs read: CSV, JSON, Markdown. Base units, nothing left out.

Names in a table come from suite files and plugins. They are data here: Markdown shows them as they are, and a CSV
never gives a spreadsheet a formula.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from odebench.report.looks import shown, title_of
from odebench.report.table import Table
from odebench.report.text import plain

JSON_FORMAT = 1  # of the document that `--format json` writes


def to_csv(table: Table) -> str:
    """Columns of the contract; an empty field is not measured, `inf` and `nan` are what was measured."""
    return csv_text(table.columns, table.rows)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A header and the rows, numbers with all their digits, text without formulas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(quoted, columns))
    writer.writerows([_field(row[column]) for column in columns] for row in rows)
    return out.getvalue()


def to_json(table: Table) -> str:
    """`{"format": 1, "columns": […], "rows": [{column: value}, …]}`.

    null is not measured. JSON has no infinities, so a figure that is not finite is the string "inf", "-inf" or "nan".
    """
    rows = [{column: row[column] for column in table.columns} for row in table.rows]
    return json_text({"format": JSON_FORMAT, "columns": table.columns, "rows": rows})


def json_text(data: Any) -> str:
    """JSON, with figures that are not finite as strings."""
    return json.dumps(_legal(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_markdown(table: Table) -> str:
    """A GitHub table for each group, the constant axes above it, and the reasons of rows that are not ok below."""
    blocks = []
    if table.constant:
        blocks.append(", ".join(f"{axis} {inert(plain(value))}" for axis, value in table.constant))
    columns = table.columns
    if any(row["status"] != "ok" for row in table.rows) and "status" not in columns:
        columns = (*columns, "status")
    for values, rows in table.groups():
        if table.group_by:
            blocks.append(f"**{' · '.join(inert(plain(value)) for value in values)}**")
        figures = [all(not isinstance(row[column], str) for row in table.rows) for column in columns]
        lines = [
            [inert(plain(title_of(column))) for column in columns],
            ["--:" if figure else ":--" for figure in figures],
        ]
        lines += [[inert(shown(column, row[column])) for column in columns] for row in rows]
        blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    blocks += [inert(each) for each in table.notes]
    blocks += _reasons(table)
    return "\n\n".join(blocks) + "\n"


def _reasons(table: Table) -> list[str]:
    if "reason" in table.columns:
        return []
    told: dict[str, list[str]] = {}
    for row in table.rows:
        if row["status"] != "ok":
            told.setdefault(f"{row['status']}: {plain(row['reason'])}", []).append(row["cell"])
    return ["\n".join(f"- {inert(reason)} ({len(cells)})" for reason, cells in told.items())] if told else []


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    return quoted(str(value))


def quoted(text: str) -> str:
    """`text` so that a spreadsheet takes it for text: an apostrophe goes before what would start a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _legal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _legal(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_legal(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def inert(text: str) -> str:
    """Escape what Markdown, HTML or GitHub would act on; `_` only where it could open emphasis.

    GitHub looks for mentions, issues and addresses in the rendered text, where an escape is gone. A space of no width
    behind their first sign stops it.
    """
    escaped = re.sub(r"([\\`*\[\]|<>~$])", r"\\\1", text).replace("&", "&amp;")
    escaped = re.sub(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", r"\\_", escaped)
    return re.sub(r"(?i)([@#](?=\w)|\bgh-(?=\d)|:(?=//)|\bwww(?=\.))", r"\1&#8203;", escaped)
