"""CSV, JSON and Markdown: base units, everything there, and names that stay data."""

from __future__ import annotations

import csv
import io
import json
import math

from odebench.record import COLUMNS, Record
from odebench.report import formats, table
from odebench.rows import read_csv
from tests.test_report import MANY, record


def full(records: list[Record]) -> table.Table:
    return table.chosen_table(records, COLUMNS)


def test_csv_has_the_columns_of_the_contract_in_base_units() -> None:
    header, first, *_ = csv.reader(io.StringIO(formats.to_csv(full(MANY))))
    assert tuple(header) == COLUMNS
    row = dict(zip(header, first, strict=True))
    assert row["wall_seconds"] == "0.01234"
    assert row["peak_memory_bytes"] == "12345678"
    assert row["wall_ratio"] == ""


def test_csv_reads_back_to_the_same_records(tmp_path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(formats.to_csv(full(MANY)))
    assert [(each.cell, each.status, each.metrics) for each in read_csv(path)] == [
        (each.cell, each.status, each.metrics) for each in MANY
    ]


def test_a_csv_field_never_starts_a_formula() -> None:
    text = formats.to_csv(full([record(status="failed", reason="=HYPERLINK(1)"), record(solution_error=-1.0)]))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["reason"] == "'=HYPERLINK(1)"
    assert rows[1]["solution_error"] == "-1.0"


def test_json_is_versioned_and_legal_and_tells_infinite_from_unmeasured() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = formats.to_json(full([record(gradient_error=math.nan, reverse_error=math.inf, solution_error=-math.inf)]))
    document = json.loads(text, parse_constant=refuse)
    assert document["format"] == formats.JSON_FORMAT
    assert document["columns"] == list(COLUMNS)
    (row,) = document["rows"]
    assert (row["gradient_error"], row["reverse_error"], row["solution_error"]) == ("nan", "inf", "-inf")
    assert row["wall_ratio"] is None
    assert row["nfe_forward"] == 400


def test_markdown_has_as_many_pipes_in_every_line_of_a_table_whatever_the_names() -> None:
    records = [record("a|b", reason="x\n| y", status="failed"), record("[c](d) <img> `e` *f* ~g~"), record("two_words")]
    text = formats.to_markdown(table.reading_table(records))
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in body}) == 1
    assert "\\[c\\](d) \\<img\\> \\`e\\` \\*f\\* \\~g\\~" in text
    assert "two_words" in text
    assert "- failed: x \\| y (1)" in text


def test_markdown_aligns_figures_right_and_heads_groups() -> None:
    text = formats.to_markdown(table.reading_table(MANY))
    assert "**logistic**" in text
    assert "| :-- | :-- | --: |" in text
    assert "12.3 ms" in text


def test_markdown_shows_the_status_only_where_some_cell_is_not_ok() -> None:
    assert "status" not in formats.to_markdown(table.reading_table([record(), record("rk38")]))
    assert "| status |" in formats.to_markdown(table.reading_table(MANY))
