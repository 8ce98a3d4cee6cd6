"""Records in the formats of github-action-benchmark and of Bencher."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.record import Record
from odebench.report.bencher import BENCHMARK, MEASURE, to_bencher
from odebench.report.github_action_benchmark import to_github_action_benchmark
from odebench.rows import write_csv
from tests.test_report import COUPLED, FIGURES, MANY, record
from tests.verdict_examples import HOSTILE

TIMED = record(wall_seconds=0.01, wall_seconds_low=0.009, wall_seconds_high=0.012, repeats=10)
# What the two tools themselves accept.
ENTRIES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string"},
            "value": {"type": "number"},
            "range": {"type": "string", "pattern": r"^± \d[\d.e+-]*$"},
            "extra": {"type": "string"},
        },
    },
}
METRIC = {
    "type": "object",
    "required": ["value"],
    "additionalProperties": False,
    "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
}
BENCHMARKS = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": METRIC}}


def entries(*records: Record, metrics: list[str] | None = None) -> list[dict[str, Any]]:
    found = json.loads(to_github_action_benchmark(records, metrics), parse_constant=pytest.fail)
    jsonschema.validate(found, ENTRIES)
    return found


def benchmarks(*records: Record, metrics: list[str] | None = None) -> dict[str, dict[str, dict[str, float]]]:
    found = json.loads(to_bencher(records, metrics), parse_constant=pytest.fail)
    jsonschema.validate(found, BENCHMARKS)
    return found


def test_every_figure_of_a_cell_that_is_ok_is_there_under_a_name_of_its_own() -> None:
    found = entries(*MANY)
    good = [each for each in MANY if each.status == "ok"]
    assert len(found) == len(FIGURES) * len(good)
    assert len({each["name"] for each in found}) == len(found)
    assert found[0]["name"] == "s: logistic/rk4/direct/fixed(steps=100)/cpu/float64/1/0: nfe_forward"
    assert benchmarks(*MANY).keys() == {f"s: {each.cell.key}" for each in good}
    assert benchmarks(record())[f"s: {record().cell.key}"]["nfe_forward"] == {"value": 400}


def test_units_are_base_units_that_the_tool_can_convert() -> None:
    units = {each["name"].rpartition(": ")[2]: each["unit"] for each in entries(record(graph_bytes=8, own=1.5))}
    assert (units["wall_seconds"], units["peak_memory_bytes"], units["graph_bytes"]) == ("s", "bytes", "bytes")
    assert (units["nfe_forward"], units["overhead"], units["own"]) == ("evaluations of f", "ratio", "")


def test_the_interval_of_a_time_is_its_range_and_no_figure_of_its_own() -> None:
    timed = replace(TIMED, machine="a1", version="0.1.0")
    (entry,) = entries(timed, metrics=["wall_seconds"])
    assert entry["range"] == "± 0.002"
    assert entry["extra"].splitlines() == [
        "odebench 0.1.0", "machine a1", "95 % interval of the median 0.009 to 0.012 s",
    ]  # fmt: skip
    measures = benchmarks(timed)[f"s: {timed.cell.key}"]
    assert measures["wall_seconds"] == {"value": 0.01, "lower_value": 0.009, "upper_value": 0.012}
    assert not {"repeats", "wall_seconds_low", "wall_seconds_high", "process_peak_bytes"}.intersection(measures)


def test_figures_that_json_cannot_hold_are_left_out() -> None:
    odd = record(solution_error=math.nan, reverse_error=math.inf, nfe_forward=10**400, wall_seconds_low=math.nan)
    assert {"solution_error", "reverse_error", "nfe_forward"}.isdisjoint(benchmarks(odd)[f"s: {odd.cell.key}"])
    assert "wall_seconds" in benchmarks(odd)[f"s: {odd.cell.key}"]
    assert len(entries(odd)) == len(FIGURES) - 3


def test_names_that_are_too_long_for_bencher_end_in_a_digest_of_their_own() -> None:
    long = [record(f"é{'x' * 2000}{n}", **{f"{'m' * 100}{n}": 1}) for n in range(3)]
    found = benchmarks(*long)
    assert len(found) == 3
    assert all(len(name.encode()) <= BENCHMARK for name in found)
    assert all(len(measure.encode()) <= MEASURE for measures in found.values() for measure in measures)
    assert list(found) == list(benchmarks(*long))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_does_nothing_in_the_comment_that_the_action_writes(name: str) -> None:
    hostile = replace(record(name, **{name: 1}), machine=name, version=name)
    for entry in entries(hostile):
        for text in (entry["name"], entry["unit"]):
            assert not re.search(r"[`|<>\n]", text)
            assert text.isprintable()
        assert all(line.isprintable() for line in entry["extra"].split("\n"))
    assert all(each.isprintable() for each in benchmarks(hostile))


@pytest.fixture
def results(tmp_path: Path) -> str:
    path = tmp_path / "results.csv"
    write_csv(path, [*MANY, record(COUPLED, "aca", own=3)])
    return str(path)


def show(*words: str):
    return CliRunner().invoke(app, ["show", *words], prog_name="odebench")


def test_show_has_both_formats_and_columns_choose_the_metrics(results: str) -> None:
    shown = show(results, "--format", "github-action-benchmark", "--columns", "wall,own", "-k", "gradient=aca")
    assert shown.exit_code == 0
    names = [each["name"].rpartition(": ")[2] for each in json.loads(shown.stdout)]
    assert names == ["wall_seconds", "wall_seconds", "own"]
    shown = show(results, "--format", "bencher", "--columns", "nfe")
    assert all(set(each) == {"nfe_forward", "nfe_backward"} for each in json.loads(shown.stdout).values())


def test_junit_is_refused_where_there_is_nothing_to_compare(results: str) -> None:
    refused = show(results, "--format", "junit")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "--format junit is of verdicts" in refused.stderr
    refused = CliRunner().invoke(app, ["run", "quickstart", "--format", "junit"], prog_name="odebench")
    assert refused.exit_code == 2
    assert refused.stdout == ""


@pytest.mark.parametrize("form", ["bencher", "github-action-benchmark"])
def test_a_dry_run_has_no_figures_to_export(form: str) -> None:
    refused = CliRunner().invoke(app, ["run", "quickstart", "--dry-run", "--format", form], prog_name="odebench")
    assert refused.exit_code == 2
    assert "a dry run measures nothing" in refused.stderr


def test_a_count_that_no_float_holds_is_a_located_message(results: str) -> None:
    path = Path(results)
    path.write_text(path.read_text().replace(",400,", f",{10**400},", 1))
    refused = show(results)
    assert refused.exit_code == 2
    assert re.search(r"results\.csv:2: \w+: expected a number or nothing, got '1000", refused.stderr)
