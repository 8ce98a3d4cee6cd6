"""Results that are torn, foreign or mean no good: a located message, exit 2, and nothing done by what they hold."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from odebench.spec import Spec
from odebench.store import record_to_data
from tests.stored_sides import cell, edited, folder, record, refused, table
from tests.test_cli import call
from tests.test_cli_hostile import shell

FORMS = ("table", "csv", "json", "markdown", "junit", "github-action-benchmark", "bencher")
NASTY = [
    '=HYPERLINK("http://evil","x")', "@SUM(1)", "<script>alert(1)</script>", "a|b", "\x1b[31mred\x1b[0m", "]]>", "\x00",
    "$(touch pwned)", "`touch pwned`", "![x](http://evil/x.png)", "--fail-on", "a\nb", "\u202eabc", "x" * 5000, "a\tb",
    "é\u0301", "[red]x[/]", "'; DROP TABLE", "%s%n",
]  # fmt: skip


@pytest.fixture
def good(tmp_path: Path) -> str:
    return table(tmp_path / "good.csv", record(), record(cell("alf")))


def refuses(*words: str) -> str:
    """What `compare` says of results that it does not take."""
    result = call("compare", *words)
    assert result.exit_code == 2, result.stdout + result.stderr
    assert not result.stdout
    assert "Traceback" not in result.stderr
    assert "fault of odebench" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("wall_seconds", "nan", "wall_seconds: expected a finite figure of a row that is ok, got nan"),
        ("overhead", "inf", "overhead: expected a finite figure of a row that is ok, got inf"),
        ("gradient_error", "nan", "gradient_error: expected a finite figure of a row that is ok, got nan"),
        ("gradient_error", "-inf", "gradient_error: expected a finite figure of a row that is ok, got -inf"),
        ("nfe_forward", "nan", "nfe_forward: expected a whole number, got nan"),
        ("nfe_forward", "inf", "nfe_forward: expected a whole number, got inf"),
        ("nfe_forward", "3.5", "nfe_forward: expected a whole number, got 3.5"),
        ("nfe_forward", "9" * 250, "nfe_forward: expected a smaller number, got 999"),
        ("overhead", "9" * 250, "overhead: expected a smaller number, got 999"),
        ("overhead", "9" * 4000, "overhead: expected a"),
        ("repeats", "nan", "repeats: expected a whole number, got nan"),
        ("nfe_forward", "-1", "nfe_forward: expected a figure that is not negative, got -1"),
        ("peak_memory_bytes", "-8", "peak_memory_bytes: expected a figure that is not negative, got -8"),
        ("wall_seconds", "-0.1", "wall_seconds: expected a figure that is not negative, got -0.1"),
        ("solution_error", "-1e-9", "solution_error: expected a figure that is not negative, got -1e-09"),
        ("overhead", "1,5", "overhead: expected a number or nothing, got '1,5'"),
        ("overhead", "=1+1", "overhead: expected a number or nothing, got '=1+1'"),
        ("status", "OK", "status: 'OK' is none of ok, refused"),
        ("solver", "", "solver: solver '', column 1: expected a name"),
        ("solver", "rk4(", "solver: solver 'rk4(', column 5: expected an option or ')'"),
        ("stepping", "fixed(" * 500, "stepping: "),
        ("batch", "-1", "batch: expected a whole number, got '-1'"),
        ("seed", "٣x", "seed: expected a whole number"),
        ("cell", "another/cell", "cell: 'another/cell', but the row's own axes make it 'linear_decay/rk4"),
    ],
)
def test_a_value_that_cannot_be_is_located(good: str, tmp_path: Path, column: str, value: str, told: str) -> None:
    bad = edited(table(tmp_path / "bad.csv", record(cell("alf")), record()), column, value, 1)
    for words in ((good, bad), (bad, good)):
        message = refuses(*words)
        assert f"{bad}:3: {told}" in message


def test_every_fault_of_a_file_is_told_at_once(good: str, tmp_path: Path) -> None:
    bad = edited(table(tmp_path / "bad.csv", record(), record(cell("alf"))), "nfe_forward", "-1", 0)
    edited(bad, "overhead", "nan", 1)
    assert refuses(good, bad).count(f"odebench: {bad}:") == 2


def test_a_row_that_is_not_ok_may_hold_what_is_not_finite(good: str, tmp_path: Path) -> None:
    new = [record(status="diverged", solution_error=float("nan"), reverse_error=float("inf")), record(cell("alf"))]
    result = call("compare", good, table(tmp_path / "new.csv", *new))
    assert result.exit_code == 1
    assert "nan" in result.stdout


def test_an_error_is_infinite_where_the_truth_is_zero_and_that_is_a_figure(tmp_path: Path) -> None:
    base = table(tmp_path / "a.csv", record(gradient_error=float("inf")))
    assert call("compare", base, base).exit_code == 0


def test_a_compiled_backward_pass_may_take_less_than_nothing(tmp_path: Path) -> None:
    base = table(tmp_path / "a.csv", record(backward_seconds=-1e-5))
    assert call("compare", base, base, "--fail-on", "times").exit_code == 0


def test_a_cell_that_is_there_twice_is_located_at_both_places(good: str, tmp_path: Path) -> None:
    bad = table(tmp_path / "bad.csv", record(), record(cell("alf")), record(nfe_forward=1))
    assert f"{bad}:4: cell: '{cell().key}' of suite 'small' stands at {bad}:2 already" in refuses(good, bad)
    run = folder(tmp_path / "run", record())
    lines = tmp_path / "run" / "records.jsonl"
    lines.write_text(lines.read_text() * 2)
    assert f"{lines}:2: cell: " in refuses(good, run)


@pytest.mark.parametrize("cut", [1, 2, 20, 300, 700])
def test_a_csv_that_is_cut_off_anywhere_is_not_taken(good: str, tmp_path: Path, cut: int) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(Path(good).read_bytes()[:-cut])
    assert f"{bad}:" in refuses(good, str(bad))


def test_a_run_that_was_interrupted_is_not_taken_before_it_is_finished(good: str, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", record(), record(cell("alf")))
    lines = tmp_path / "run" / "records.jsonl"
    lines.write_bytes(lines.read_bytes()[:-40])
    assert f"{lines}:2: the record is cut off; `odebench run --resume {run}` finishes the run" in refuses(good, run)


def test_a_newer_format_is_named(good: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lines = tmp_path / "run" / "records.jsonl"
    lines.write_text(json.dumps({**record_to_data(record()), "format": 2}) + "\n")
    assert f"{lines}:1: format 2 is newer than this odebench reads (1); update odebench" in refuses(good, str(lines))


def test_results_of_other_suites_name_the_suites_of_both_sides(good: str, tmp_path: Path) -> None:
    other = table(tmp_path / "other.csv", record(cell(suite="big")), record(cell(suite="huge")))
    assert f"no cell is on both sides: {good} holds suite 'small', {other} suites 'big', 'huge'" in refuses(good, other)
    disjoint = table(tmp_path / "disjoint.csv", record(cell("heun")))
    assert "no cell is on both sides" in refuses(good, disjoint)


CONTENTS = {
    "nothing": b"",
    "a header": b"suite,problem,solver,gradient,stepping,device,dtype,batch,seed,status\n",
    "words": b"hello\n",
    "nul": b"\x00" * 100,
    "binary": bytes(range(256)) * 10,
    "utf-16": "suite,status\n".encode("utf-16"),
    "a huge field": b"suite,problem\n" + b"x" * 200_000 + b",y\n",
    "an open quote": b'suite,"problem\n',
    "newlines": b"\n" * 1000,
    "a yaml": b"name: small\nproblems: [linear_decay]\n",
    "a zip": b"PK\x03\x04" + b"\xff" * 50,
    "a twin column": b"suite,problem,solver,gradient,stepping,device,dtype,batch,seed,status,status\n",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("name", ["bad.csv", "bad.jsonl", "bad"])
def test_a_file_that_is_something_else_is_a_message(good: str, tmp_path: Path, content: bytes, name: str) -> None:
    bad = tmp_path / name
    bad.write_bytes(content)
    assert str(bad) in refuses(good, str(bad))
    assert str(bad) in refuses(str(bad), good)


@pytest.mark.parametrize("line", ["1" * 5000, "[" * 100_000, "null", '{"format": 1}', '{"format": true}', "NaN", '"a"'])
def test_a_line_that_is_no_record_is_located(good: str, tmp_path: Path, line: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(record_to_data(record())) + f"\n{line}\n")
    assert f"{bad}:2: " in refuses(good, str(bad))


def test_half_a_surrogate_pair_is_no_text(good: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(record_to_data(refused(reason="\ud800"))) + "\n")
    assert f"{bad}:1: holds half of a surrogate pair" in refuses(good, str(bad))


def test_places_that_lead_nowhere_are_messages(good: str, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "records.jsonl").mkdir()
    for place in (str(loop), str(tmp_path / "empty"), str(tmp_path / "odd"), "", "x" * 300, "\udcff", "/dev/null"):
        refuses(good, place)
        refuses(place, good)


def test_results_may_come_through_a_pipe(good: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(Path(good).read_text(),))
    writer.start()
    result = call("compare", good, str(pipe), "--fail-on", "exact")
    writer.join()
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_names_and_reasons_that_mean_no_good_are_shown_and_do_nothing(name: str, tmp_path: Path) -> None:
    of = [replace(cell(suite=name), solver=Spec.of("alf", {"eta": name})), cell(suite=name)]
    base = folder(tmp_path / "base", record(of[0]), record(of[1], about={"commit": name, "machine": name}))
    new = folder(
        tmp_path / "new",
        record(of[0], status="failed", reason=name, nfe_forward=999),
        record(of[1], about={"commit": name + "2", "machine": "m"}),
    )
    for form in FORMS:
        result = call("compare", base, new, "--format", form)
        assert result.exit_code == 1, (form, result.stderr)
        told = result.stdout + result.stderr
        assert form == "csv" or "\x1b" not in told  # what a program reads is as it was
        if form == "csv":
            fields = [field for row in csv.reader(io.StringIO(result.stdout)) for field in row]
            assert not [field for field in fields if field.startswith(("=", "@", "+", "-", "\t", "\r"))]
        if form == "markdown":
            assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(http", told)
        if form == "json":
            json.loads(result.stdout)
    assert call("baseline", "update", str(tmp_path / "kept.csv"), new).exit_code == 0
    again = call("baseline", "update", str(tmp_path / "kept.csv"), base)
    assert "\x1b" not in again.stdout
    assert again.exit_code == 0
    assert not call("baseline", "update", str(tmp_path / "kept.csv"), base).stdout
    assert not (tmp_path / "pwned").exists()
    assert not Path("pwned").exists()


def test_the_command_that_would_tell_can_be_pasted_whatever_the_suite_is_called(tmp_path: Path) -> None:
    name = "x; touch $(id) `id` '"
    base = table(tmp_path / "base.csv", record(cell(suite=name), about={"commit": "; id"}))
    new = table(tmp_path / "new.csv", record(cell(suite=name)))
    rows = json.loads(call("compare", base, new, "--fail-on", "wall > 3%", "--format", "json").stdout)["findings"]
    (note,) = [row["note"] for row in rows if row["metric"] == "wall_seconds"]
    command = note[note.index("`") + 1 : note.rindex("`")].removeprefix("odebench ")
    echoed = shell(f'printf "%s\\n" {command}')
    assert echoed.stdout.splitlines() == ["compare", "--suite", name, "--base", "REV", "--new", "0123456789ab"]


def test_thousands_of_cells_are_compared_in_seconds_and_without_torch(tmp_path: Path) -> None:
    many = [record(cell(seed=seed)) for seed in range(3000)]
    base, new = table(tmp_path / "a.csv", *many), table(tmp_path / "b.csv", *many[1:])
    code = (
        "import sys; from odebench.cli.app import app\ntry: app(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    )
    result = shell('$PYTHON -c "$@"', code, "compare", base, new, PYTHON=sys.executable)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "False"
    assert "1 missing" in result.stdout


def test_a_plugin_named_in_a_results_folder_is_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "loaded"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    run = folder(tmp_path / "run", record())
    (tmp_path / "run" / "suite.yaml").write_text(f"name: small\nplugins: [{tmp_path / 'evil.py'}]\n")
    (tmp_path / "run" / "machine.json").write_text("{")
    assert call("compare", run, run).exit_code == 0
    assert not mark.exists()
