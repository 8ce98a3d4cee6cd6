"""Whole runs: hostile plugins, kills at any moment, and going on afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from census import alive, survivors

from odebench.errors import NothingSelected, SuiteError, UsageError
from odebench.execute import run_suites
from odebench.record import Cell, Record
from odebench.store import read_results
from odebench.suite.select import Filter
from odebench.suite.yaml_source import read_documents

PLUGINS = Path(__file__).parent / "plugins"
TINY = """
name: tiny
problems: [linear_decay]
solvers: [euler, rk4]
gradients: [direct, reversible]
stepping: [{fixed: {steps: 2}}]
seeds: [SEEDS]
measure: {repeats: 1, warmup: 0}
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """The truths of all tests of this file are worked out once."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("ODEBENCH_CACHE", str(folder))
    return folder


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.started: list[Cell] = []
        self.finished: list[Record] = []
        self.truths: list[Cell] = []
        self.stages: dict[Cell, list[str]] = {}
        self.notes: list[str] = []
        self.done: list[Record] = []
        self.planned = 0

    def start(self, plan, folder, done):
        self.planned, self.done = len(plan.cells), list(done)

    def truth_started(self, cell):
        self.truths.append(cell)

    def truth_ended(self, cell):
        assert cell in self.truths

    def cell_started(self, cell):
        self.started.append(cell)

    def cell_stage(self, cell, stage):
        self.stages.setdefault(cell, []).append(stage)

    def cell_finished(self, record):
        self.finished.append(record)

    def note(self, text):
        self.notes.append(text)


def suite(folder: Path, seeds: str = "0", name: str = "tiny") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(TINY.replace("SEEDS", seeds).replace("tiny", name))
    return path


def run(*suites: Path, **options: object):
    return run_suites({"suites": [str(each) for each in suites]}, **options)


def test_a_run_leaves_one_record_per_cell_in_the_order_of_the_plan(tmp_path):
    watcher, out = Watcher(), tmp_path / "out"
    result = run(suite(tmp_path), output=out, observer=watcher)
    assert (result.exit_code, result.folder) == (0, out)
    assert [(each.cell.solver.name, each.cell.gradient.name, each.status) for each in result.records] == [
        ("euler", "direct", "ok"), ("euler", "reversible", "refused"),
        ("rk4", "direct", "ok"), ("rk4", "reversible", "refused"),
    ]  # fmt: skip
    assert watcher.finished == list(result.records)
    assert [each.gradient.name for each in watcher.started] == ["direct", "direct"]
    assert [record.metrics for record in read_results(out)] == [record.metrics for record in result.records]
    first = result.records[0]
    assert first.metrics["steps"] == 2
    assert "solution_error" in first.metrics
    assert first.machine
    assert first.started.endswith("Z")
    assert json.loads((out / "machine.json").read_text())["torch"]["version"]
    assert [each.data["name"] for each in read_documents(out / "suite.yaml")] == ["tiny"]


def test_a_finished_run_is_resumed_without_measuring(tmp_path):
    path, out = suite(tmp_path), tmp_path / "out"
    first = run(path, output=out)
    for again in ([], [path]):
        watcher = Watcher()
        result = run(*again, resume=out, observer=watcher)
        assert (watcher.started, watcher.finished) == ([], [])
        assert result.exit_code == first.exit_code
        assert [each.cell for each in result.records] == [each.cell for each in first.records]
        assert watcher.done == list(result.records)


def test_only_what_is_missing_is_run(tmp_path):
    out = tmp_path / "out"
    first = run(suite(tmp_path), output=out, where=Filter.parse("solver=euler"))
    assert [each.cell.solver.name for each in first.records] == ["euler", "euler"]
    # Without a suite named the filter of that run stays; with one it is that of this call.
    assert len(run(resume=out).records) == 2
    watcher = Watcher()
    run(suite(tmp_path, "0, 1"), resume=out, observer=watcher)
    assert {(each.solver.name, each.seed) for each in watcher.started} == {("rk4", 0), ("euler", 1), ("rk4", 1)}
    assert len(read_results(out)) == 8


def test_a_folder_is_not_resumed_with_suites_that_lack_its_cells(tmp_path):
    out = tmp_path / "out"
    run(suite(tmp_path), output=out, where=Filter.parse("gradient=reversible"))
    with pytest.raises(UsageError, match=r"4 of the cells .* such as linear_decay/euler/direct"):
        run(suite(tmp_path, "7"), resume=out)


def test_suites_share_a_folder(tmp_path):
    result = run(suite(tmp_path), suite(tmp_path, name="other"), output=tmp_path / "out")
    assert [each.cell.suite for each in result.records] == ["tiny"] * 4 + ["other"] * 4
    assert len(run(resume=tmp_path / "out").records) == 8


def test_a_folder_in_use_is_refused_with_the_line_to_resume_with(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    line = f"is not empty; to go on with the run in it: odebench run --resume {out}"
    with pytest.raises(UsageError, match=re.escape(line)):
        run(suite(tmp_path), output=out)
    with pytest.raises(UsageError, match=r"has no suite\.yaml"):
        run(suite(tmp_path), resume=out)


def test_a_folder_to_resume_that_is_missing_or_empty_needs_a_suite(tmp_path):
    (tmp_path / "empty").mkdir()
    only = Filter.parse("gradient=reversible")
    for out in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(UsageError, match="name the suite as well"):
            run(resume=out)
        assert len(run(suite(tmp_path), resume=out, where=only).records) == 2


def test_a_filter_that_selects_nothing_runs_nothing(tmp_path):
    with pytest.raises(NothingSelected):
        run(suite(tmp_path), output=tmp_path / "out", where=Filter.parse("solver=alf"))
    assert not (tmp_path / "out").exists()


def test_the_default_folder_is_named_after_the_suite_and_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    only = Filter.parse("gradient=reversible")
    first, second = (run(suite(tmp_path), where=only).folder for _ in range(2))
    assert first != second
    assert all(each.parent == Path("results") and each.name.startswith("tiny-2") for each in (first, second))


def test_a_truth_is_worked_out_once_and_again_only_if_its_file_is_torn(tmp_path, monkeypatch):
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path / "cache"))
    only = Filter.parse("solver=euler")
    first = run(suite(tmp_path), output=tmp_path / "a", where=only).records[0]
    (path,) = (tmp_path / "cache").rglob("*.npz")
    written = path.stat().st_mtime_ns
    run(suite(tmp_path), output=tmp_path / "b", where=only)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:100])
    again = run(suite(tmp_path), output=tmp_path / "c", where=only).records[0]
    assert again.metrics["gradient_error"] == first.metrics["gradient_error"]


def test_a_truth_that_cannot_be_had_leaves_its_columns_empty_and_a_note(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("ODEBENCH_CACHE", str(tmp_path / "cache"))
    watcher = Watcher()
    result = run(suite(tmp_path), output=tmp_path / "out", observer=watcher)
    assert result.exit_code == 0
    record = result.records[0]
    assert "gradient_error" not in record.metrics
    assert record.metrics["nfe_forward"] == 2
    assert [note for note in record.notes if note.startswith("no true answer to compare with: ")]
    assert len(watcher.notes) == 1


def test_cells_that_run_side_by_side_are_all_there(tmp_path):
    watcher = Watcher()
    result = run(suite(tmp_path, "0, 1, 2"), output=tmp_path / "out", jobs=2, observer=watcher)
    assert [each.status for each in result.records if each.cell.gradient.name == "direct"] == ["ok"] * 6
    assert [each.cell.seed for each in result.records] == [0, 1, 2] * 4
    assert len(watcher.finished) == 12
    assert all(each.settings["jobs"] == 2 for each in result.records if each.status == "ok")


@pytest.mark.parametrize("plugin", ["dies_at_import.py", "hangs_at_import.py"])
def test_a_plugin_that_cannot_be_imported_is_a_finding(tmp_path, plugin, monkeypatch):
    monkeypatch.setattr("odebench.execute.planning.PATIENCE", 2.0)
    with pytest.raises(SuiteError, match=r"a plugin fails: (crashed|timed_out): .*"):
        run_suites({"suites": [str(suite(tmp_path))], "plugins": [str(PLUGINS / plugin)]}, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


HOSTILE = {
    "raises": ("failed", "ValueError: this scheme cannot go on (raises.py:27)"),
    "not_a_number": ("diverged", "the solution is not finite"),
    "exits": ("crashed", "the worker exited with code 0 before it answered"),
    "segfaults": ("crashed", "killed by signal 11 (SIGSEGV) in step (segfaults.py:27)"),
    "huge": ("out_of_memory", ""),
    "prints": ("ok", ""),
    "leaves_a_child": ("ok", ""),
    "endless": ("timed_out", "not finished after 3 s"),
}


def test_hostile_plugins_become_records_and_the_suite_goes_on(tmp_path, monkeypatch):
    marker = f"ODEBENCH_TEST_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*marker.split("="))
    paths = []
    for name, solvers, timeout in (("patient", [*list(HOSTILE)[:-1], "euler"], 100), ("endless", ["endless"], 3)):
        plugins = [str(PLUGINS / f"{each}.py") for each in solvers if each != "euler"]
        path = tmp_path / f"{name}.yaml"
        text = TINY.replace("SEEDS", "0").replace("tiny", name).replace("[euler, rk4]", json.dumps(solvers))
        text = text.replace("steps: 2", "steps: 10").replace("warmup: 0", f"warmup: 0, timeout: {timeout}")
        path.write_text(f"{text.replace(', reversible', '')}plugins: {json.dumps(plugins)}\n")
        paths.append(path)
    result = run(*paths, output=tmp_path / "out")
    assert result.exit_code == 3
    told = {each.cell.solver.name: (each.status, each.reason) for each in result.records}
    assert told.pop("euler") == ("ok", "")
    assert set(told) == set(HOSTILE)
    for name, (status, reason) in HOSTILE.items():
        assert told[name][0] == status, told[name]
        assert told[name][1].startswith(reason)
    children = [line for line in survivors(marker, 0.0) if "sleep" in line or "odebench.execute" in line]
    assert not children


def start(path: Path, out: Path, marker: str) -> subprocess.Popen[bytes]:
    program = f"import odebench; odebench.run({str(path)!r}, resume={str(out)!r})"
    name, _, value = marker.partition("=")
    environment = {**os.environ, name: value, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE)


def test_a_run_killed_at_any_moment_is_finished_by_resuming(tmp_path):
    path, out, marker = suite(tmp_path, "0, 1, 2, 3, 4, 5"), tmp_path / "out", f"ODEBENCH_TEST_MARK={uuid.uuid4()}"
    moments = random.Random(20260)
    for _ in range(20):
        process = start(path, out, marker)
        time.sleep(moments.uniform(0.0, 1.6))
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        assert not survivors(marker)
    process = start(path, out, marker)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    records = read_results(out)
    keys = [each.cell.key for each in records]
    assert len(keys) == len(set(keys)) == 24
    assert {each.status for each in records} == {"ok", "refused"}
    assert (out / "records.jsonl").read_text().count("\n") == 24
    assert len(read_results(out / "results.csv")) == 24


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_was_finished_and_ends_its_workers(tmp_path, number):
    path = suite(tmp_path)
    text = path.read_text().replace("euler, rk4", "euler, endless").replace(", reversible", "")
    path.write_text(f"{text}plugins: [{PLUGINS / 'endless.py'}]\n")
    out, marker = tmp_path / "out", f"ODEBENCH_TEST_MARK={uuid.uuid4()}"
    process = start(path, out, marker)
    while process.poll() is None and not (out / "results.csv").exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate()
    assert b"KeyboardInterrupt" in said
    assert not survivors(marker)
    assert not alive(marker)
    assert [(each.cell.solver.name, each.status) for each in read_results(out)] == [("euler", "ok")]
