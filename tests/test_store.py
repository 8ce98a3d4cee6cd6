"""The results folder: what is on the disk is never lost, and what is read is what was measured."""

from __future__ import annotations

import csv
import json
import math

import pytest

from odebench.errors import ResultsError, UsageError
from odebench.record import COLUMNS, METRICS, Cell, Record
from odebench.rows import read_csv, record_to_row, write_csv
from odebench.spec import Spec
from odebench.store import Store, read_results

COUPLED = Spec.of("coupled", {"base": "rk4", "coupling": 0.999})


def cell(seed: int = 0, solver: Spec = COUPLED) -> Cell:
    fixed = Spec.of("fixed", {"steps": 10})
    return Cell("tiny", Spec.of("linear_decay", {"span": (0.0, 2.0)}), solver, Spec("direct"), fixed, seed=seed)


def record(seed: int = 0, **changes: object) -> Record:
    metrics = {"steps": 10, "wall_seconds": 0.1 + 0.2, "gradient_error": math.inf}
    figures = {"metrics": metrics, "samples": {"wall_seconds": [0.1, math.nan]}, "mesh": [0.0, 0.2]}
    about = {"notes": ("a note",), "settings": {"threads": 1}, "machine": "a, b", "version": "1", "commit": "c"}
    return Record(cell(seed), **{"status": "ok", "started": "2026-01-01T00:00:00Z", **figures, **about, **changes})


def test_a_record_comes_back_as_it_was(tmp_path):
    with Store(tmp_path / "out") as store:
        store.append(record())
    (back,) = read_results(tmp_path / "out")
    assert back.cell == cell()
    assert back.samples["wall_seconds"][0] == 0.1
    assert math.isnan(back.samples["wall_seconds"][1])
    assert (back.metrics, back.notes, back.settings) == (record().metrics, ("a note",), {"threads": 1})


def test_a_table_holds_the_columns_of_the_contract_and_full_precision(tmp_path):
    with Store(tmp_path) as store:
        store.append(record(), record(1, status="failed", reason='a "b", c', metrics={}))
    with (tmp_path / "results.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert tuple(header) == COLUMNS
    row = dict(zip(header, first, strict=True))
    assert row["solver"] == "coupled(base=rk4, coupling=0.999)"
    assert row["cell"] == cell().key
    assert (row["steps"], row["wall_seconds"], row["gradient_error"]) == ("10", "0.30000000000000004", "inf")
    assert row["overhead"] == ""
    assert dict(zip(header, second, strict=True))["reason"] == 'a "b", c'


def test_a_csv_gives_the_same_figures_as_the_folder_and_no_samples(tmp_path):
    with Store(tmp_path) as store:
        store.append(record(), record(1, metrics={"overhead": math.nan}))
    first, second = read_results(tmp_path / "results.csv")
    assert first.cell == cell()
    assert first.metrics == record().metrics
    assert type(first.metrics["steps"]) is int
    assert math.isnan(second.metrics["overhead"])
    assert first.samples == {}
    assert (first.machine, first.started) == ("a, b", "2026-01-01T00:00:00Z")


def test_rows_follow_the_plan_and_not_the_clock(tmp_path):
    with Store(tmp_path, [cell(0), cell(1), cell(2)]) as store:
        store.append(record(2))
        store.append(record(0))
        assert [each.cell.seed for each in store.records()] == [0, 2]
    assert [each.cell.seed for each in read_results(tmp_path)] == [0, 2]
    assert [each.cell.seed for each in read_results(tmp_path / "records.jsonl")] == [2, 0]


def test_a_metric_of_a_plugin_is_a_column_at_the_end(tmp_path):
    with Store(tmp_path) as store:
        store.append(record())
        store.append(record(1, metrics={"steps": 1, "smoothness": 0.5}))
    first, second = read_csv(tmp_path / "results.csv")
    assert "smoothness" not in first.metrics
    assert second.metrics["smoothness"] == 0.5
    assert (tmp_path / "results.csv").read_text().splitlines()[0].endswith(",started,smoothness")
    assert list(record_to_row(second))[-1] == "smoothness"


def test_a_line_torn_anywhere_costs_that_record_and_no_other(tmp_path):
    with Store(tmp_path / "whole") as store:
        store.append(record(0), record(1))
    content = (tmp_path / "whole" / "records.jsonl").read_bytes()
    first = content.index(b"\n") + 1
    torn = tmp_path / "torn"
    torn.mkdir()
    for end in range(len(content) + 1):
        (torn / "records.jsonl").write_bytes(content[:end])
        # All of a line but its newline is all of a record.
        expected = [0, 1] if end >= len(content) - 1 else [0] if end >= first - 1 else []
        with Store(torn) as store:
            assert [each.cell.seed for each in store.records()] == expected
            store.append(record(7))
        assert [each.cell.seed for each in read_results(torn)] == [*expected, 7]


def test_reading_a_folder_changes_nothing_there(tmp_path):
    with Store(tmp_path) as store:
        store.append(record())
    torn = (tmp_path / "records.jsonl").read_bytes() + b'{"format": 1, "ce'
    (tmp_path / "records.jsonl").write_bytes(torn)
    assert len(read_results(tmp_path)) == 1
    assert (tmp_path / "records.jsonl").read_bytes() == torn


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rubbish", "records.jsonl:2: not JSON; restore the line or remove it"),
        ("{}", "records.jsonl:2: not a record of odebench"),
        ('{"format": 1}', "records.jsonl:2: not a whole record: KeyError: 'cell'"),
        ('{"format": 99}', "records.jsonl:2: format 99 is newer than this odebench reads (1); update odebench"),
        ("[" * 100_000, "records.jsonl:2: "),
    ],
)
def test_garbage_in_the_middle_is_an_error_with_its_place(tmp_path, line, told):
    with Store(tmp_path) as store:
        store.append(record())
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text() + line + "\n" + path.read_text())
    for read in (read_results, Store):
        with pytest.raises(ResultsError) as error:
            read(tmp_path)
        assert told in str(error.value)


def test_an_older_line_without_the_newer_fields_is_read(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"format": 1, "cell": cell().to_data(), "status": "ok"}) + "\n")
    assert read_results(path) == [Record(cell(), "ok")]


def test_one_run_at_a_time_writes_to_a_folder(tmp_path):
    with Store(tmp_path) as store:
        with pytest.raises(UsageError, match="another run is writing there"):
            Store(tmp_path)
        store.append(record())
    with Store(tmp_path) as store:
        assert len(store.records()) == 1


def test_a_table_that_a_crash_left_behind_is_made_whole(tmp_path):
    with Store(tmp_path) as store:
        store.append(record(0), record(1))
    (tmp_path / "results.csv").unlink()
    with Store(tmp_path):
        pass
    assert len(read_csv(tmp_path / "results.csv")) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows[:1], "holds no row"),
        (lambda rows: [], "it has no column suite"),
        (lambda rows: [rows[0].replace("status", "state"), *rows[1:]], "it has no column status"),
        (lambda rows: [rows[0], rows[1].replace(",ok,", ",fine,")], ":2: status: 'fine' is none of ok, refused"),
        (lambda rows: [*rows, "tiny,cut"], ":3: has 2 fields"),
        (lambda rows: [rows[0], rows[1].replace(",10,", ",ten,")], ":2: steps: expected a number or nothing, got"),
        (lambda rows: [rows[0], rows[1].replace("float64,1,0", "float64,1,x")], ":2: seed: expected a whole number"),
        (lambda rows: [rows[0], rows[1].replace(",direct,", ",dir(ect,")], ":2: gradient: "),
        (lambda rows: [f"{rows[0]},steps", rows[1]], ":1: column steps is there twice"),
    ],
)
def test_a_csv_that_is_none_is_an_error_with_its_place(tmp_path, change, told):
    path = tmp_path / "x.csv"
    write_csv(path, [record()])
    path.write_text("".join(f"{row}\n" for row in change(path.read_text().splitlines())))
    with pytest.raises(ResultsError) as error:
        read_results(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0\0", b'suite,"cell\n'])
def test_a_file_of_another_kind_is_an_error(tmp_path, content):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(ResultsError):
        read_results(path)


def test_nothing_to_read_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ResultsError):
            read_results(path)
    (tmp_path / "records.jsonl").touch()
    with pytest.raises(ResultsError, match="holds no record yet"):
        read_results(tmp_path)


def test_every_figure_of_the_contract_survives_the_csv(tmp_path):
    figures = {name: index + 0.5 for index, name in enumerate(METRICS)}
    write_csv(tmp_path / "x.csv", [record(metrics=figures)])
    assert read_csv(tmp_path / "x.csv")[0].metrics == figures
