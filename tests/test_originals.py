"""Plugins that were edited, or are gone, between a run and its --resume."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_provenance import scheme, write

import odebench
from odebench.execute.originals import stand_ins
from odebench.provenance import digest_of
from odebench.record import Record

SUITE = """
name: two
problems: [linear_decay]
solvers: [mine, rk4]
gradients: [direct, aca]
stepping: [{{fixed: {{steps: 4}}}}]
measure: {{repeats: 1, warmup: 0}}
plugins: [{plugin}]
"""
TRAINED = """
name: trained
kind: train
problems: [{cnf: {hidden: 8}}]
solvers: [mine]
stepping: [{fixed: {steps: 4}}]
batches: [20]
train: {steps: 200, evaluate_every: 100, checkpoint_every: 0.01}
plugins: [mine.py]
"""
WRONG = "2"  # the factor by which an edited scheme steps too far


def cli(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "odebench", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=200, check=False, cwd=cwd)


def begun(folder: Path, plugin: str = "mine.py") -> Path:
    """A results folder that lacks all cells but the first."""
    (folder / "two.yaml").write_text(SUITE.format(plugin=plugin))
    results = folder / "R"
    assert cli("run", "two.yaml", "-q", "-o", "R", cwd=folder).returncode == 0
    cut(results)
    return results


def cut(results: Path) -> None:
    records = results / "records.jsonl"
    records.write_text(records.read_text().splitlines(keepends=True)[0])


def rows(results: Path) -> dict[tuple[str, str], Record]:
    from odebench.store import read_results

    return {(str(each.cell.solver), str(each.cell.gradient)): each for each in read_results(results)}


def test_a_plugin_that_was_edited_is_told_of_in_a_note_and_in_the_table(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    results = begun(tmp_path)
    write(tmp_path, mine=scheme(factor=WRONG))
    done = cli("run", "--resume", str(results))
    assert done.returncode == 0
    assert "plugin mine.py differs from the one that 1 row here was measured with" in done.stderr
    assert "mine.py was edited between these rows" in done.stdout
    assert "*" not in done.stdout  # rows of different code do not compete
    old, new = rows(results)["mine", "direct"], rows(results)["mine", "aca"]
    assert old.plugin_digest != new.plugin_digest
    assert new.metrics["solution_error"] > 2 * old.metrics["solution_error"]  # the original ran, as it is now
    copies = {each.name for each in (results / "sources").iterdir() if each.is_dir()}
    assert copies == {old.plugin_digest, new.plugin_digest}
    assert any("mine.py was edited" in note for note in new.notes)
    assert old.notes == ()
    assert "mine.py was edited" in cli("show", str(results)).stdout
    assert "mine.py was edited" in cli("show", str(results), "--format", "markdown").stdout


def test_an_edited_helper_is_told_of_too(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme(imports="import helper", factor="helper.x"), helper="x = 1")
    results = begun(tmp_path)
    write(tmp_path, helper="x = 2")
    assert "plugin mine.py differs" in cli("run", "--resume", str(results)).stderr


def test_nothing_is_said_where_nothing_was_edited(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme(), stranger="x = 1")
    results = begun(tmp_path)
    write(tmp_path, stranger="x = 2")
    done = cli("run", "--resume", str(results))
    assert "mine.py" not in done.stdout + done.stderr


def test_two_plugins_of_one_file_name_are_not_two_versions_of_one(tmp_path: Path) -> None:
    write(tmp_path, **{"a/plug": scheme(), "b/plug": scheme("other")})
    (tmp_path / "two.yaml").write_text(SUITE.format(plugin="a/plug.py, b/plug.py").replace("rk4", "other"))
    done = cli("run", "two.yaml", "-o", "R", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "edited" not in done.stdout + done.stderr
    assert all(each.notes == () for each in rows(tmp_path / "R").values())


def test_nothing_is_said_where_no_cell_to_come_uses_the_plugin(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    results = begun(tmp_path)
    write(tmp_path, mine=scheme(factor=WRONG))
    assert "mine.py" not in cli("run", "--resume", str(results), "-k", "solver=rk4").stderr


def test_a_plugin_that_is_gone_runs_from_its_copy(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme(imports="import helper", factor="helper.x"), helper="x = 1")
    results = begun(tmp_path)
    named = (results / "suite.yaml").read_text()
    for name in ("mine", "helper"):
        (tmp_path / f"{name}.py").unlink()
    moved = tmp_path / "elsewhere" / "R"
    moved.parent.mkdir()
    shutil.move(results, moved)
    assert "3 to measure" in cli("run", "--resume", str(moved), "--dry-run").stderr
    done = cli("run", "--resume", str(moved))
    assert done.returncode == 0, done.stderr
    assert f"plugin mine.py is gone; its copy in {moved / 'sources'} is run" in done.stderr
    assert {each.status for each in rows(moved).values()} == {"ok"}
    assert rows(moved)["mine", "direct"].plugin_digest == rows(moved)["mine", "aca"].plugin_digest
    assert (moved / "suite.yaml").read_text() == named  # so that the original runs again where it is back


def test_the_original_runs_again_where_it_is_back(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    results = begun(tmp_path)
    (tmp_path / "mine.py").rename(tmp_path / "away.py")
    assert cli("run", "--resume", str(results), "-k", "gradient=aca").returncode == 0
    cut(results)
    write(tmp_path, mine=scheme(factor=WRONG))
    assert "mine.py differs" in cli("run", "--resume", str(results)).stderr


def test_a_module_that_is_gone_runs_from_its_copy(tmp_path: Path) -> None:
    write(tmp_path, **{"kit/__init__": "", "kit/mine": scheme(imports="from kit.part import x"), "kit/part": "x = 1"})
    results = begun(tmp_path, "kit.mine")
    shutil.rmtree(tmp_path / "kit")
    done = cli("run", "--resume", str(results), cwd=tmp_path)
    assert "plugin kit.mine is gone" in done.stderr
    assert {each.status for each in rows(results).values()} == {"ok"}
    assert len({each.plugin_digest for each in rows(results).values()} - {""}) == 1


def test_the_last_version_that_ran_is_what_stands_in(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    results = begun(tmp_path)
    write(tmp_path, mine=scheme(factor=WRONG))
    assert cli("run", "--resume", str(results), "-k", "gradient=aca").returncode == 0
    expected = digest_of(tmp_path, ["mine.py"])
    (tmp_path / "mine.py").unlink()
    cut(results)
    assert cli("run", "--resume", str(results)).returncode == 0
    assert rows(results)["mine", "aca"].plugin_digest == expected


def test_a_plugin_that_changes_while_its_run_goes_on_is_seen(tmp_path: Path) -> None:
    grows = "with open(__file__, 'a') as file: file.write('#')\n"
    write(tmp_path, mine=scheme(imports=grows))
    (tmp_path / "two.yaml").write_text(SUITE.format(plugin="mine.py"))
    done = cli("run", str(tmp_path / "two.yaml"), "-o", str(tmp_path / "R"))
    assert "mine.py was edited between these rows" in done.stdout


def test_a_training_run_is_not_gone_on_with_by_other_code(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    (tmp_path / "two.yaml").write_text(TRAINED)
    (whole,) = odebench.run(tmp_path / "two.yaml", output=tmp_path / "whole")
    assert whole.status == "ok", whole.reason
    begun = subprocess.Popen(
        [sys.executable, "-m", "odebench", "run", "two.yaml", "-q", "-o", "R"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    while not list((tmp_path / "R" / "checkpoints").glob("*.pt")):
        assert begun.poll() is None
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    write(tmp_path, mine=scheme(factor="1.5"))
    (record,) = odebench.run(resume=tmp_path / "R")
    assert any("began anew" in note for note in record.notes)


def test_records_of_before_are_read_and_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    results = begun(tmp_path)
    (line,) = (results / "records.jsonl").read_text().splitlines()
    data = {key: value for key, value in json.loads(line).items() if not key.startswith("plugin")}
    (results / "records.jsonl").write_text(json.dumps(data) + "\n")
    shutil.rmtree(results / "sources")
    done = cli("run", "--resume", str(results))
    assert done.returncode == 0
    assert "mine.py" not in done.stderr + done.stdout
    assert rows(results)["mine", "direct"].plugin_digest == ""


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        '{"x": 1}',
        '{"/gone.py": {"digest": "d", "file": "missing.py"}}',
        '{"/gone.py": {"digest": "..", "file": "outside.py"}}',
        '{"/gone.py": {"digest": "d", "file": "../../outside.py"}}',
        '{"/gone.py": {"digest": "d", "file": "linked.py"}}',
    ],
)
def test_nothing_but_a_copy_stands_in(tmp_path: Path, index: str) -> None:
    copies = tmp_path / "sources" / "d"
    copies.mkdir(parents=True)
    write(tmp_path, outside="")
    (copies / "linked.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "sources" / "plugins.json").write_text(index)
    assert stand_ins(tmp_path) == {}
