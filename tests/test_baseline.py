"""A baseline in git: small, sorted, and changed by an update only where something changed."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from odebench.compare.baseline import COLUMNS
from odebench.record import Record
from odebench.store import read_results
from tests.stored_sides import cell, edited, folder, record, refused, table
from tests.test_cli import call

ROOT = Path(__file__).parent.parent
MANY = [
    record(cell("rk4")),
    record(cell("alf", "reversible", batch=32)),
    record(cell("alf", "reversible", batch=4)),
    refused(cell("rk4", "reversible"), "its steps cannot be undone, ever"),
    record(cell("euler", suite="another")),
]


def rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def update(base: Path | str, *records: Record, words: tuple[str, ...] = ()):
    return call("baseline", "update", str(base), table(Path(base).with_name("new.csv"), *records), *words)


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A baseline of all cells."""
    path = tmp_path / "base.csv"
    result = update(path, *MANY)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == f"{path}: made, with 5 cells\n"
    assert not result.stdout
    return str(path)


def test_a_new_baseline_is_sorted_and_holds_what_repeats(base: str) -> None:
    found = rows(base)
    assert tuple(found[0]) == COLUMNS
    assert not {"machine", "commit", "version", "started", "repeats", "cell", "process_peak_bytes"} & set(COLUMNS)
    assert not [name for name in COLUMNS if name.endswith("_seconds")]
    names = [(row["suite"], row["solver"], row["gradient"], row["batch"]) for row in found]
    assert names == [
        ("another", "euler", "direct", "1"), ("small", "alf", "reversible", "4"), ("small", "alf", "reversible", "32"),
        ("small", "rk4", "direct", "1"), ("small", "rk4", "reversible", "1"),
    ]  # fmt: skip
    assert found[4]["reason"] == "its steps cannot be undone, ever"
    assert (found[3]["nfe_forward"], found[3]["gradient_error"]) == ("400", "1.3e-07")
    assert not {"overhead", "overhead_forward", "wall_ratio", "plugin_digest"} & set(COLUMNS)


def test_the_order_of_the_results_does_not_matter(base: str, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    update(other, *reversed(MANY))
    assert other.read_bytes() == Path(base).read_bytes()


def test_a_second_update_changes_nothing_not_even_the_file(base: str) -> None:
    before, stamp = Path(base).read_bytes(), os.stat(base).st_mtime_ns
    result = update(base, *MANY)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing changed in its 5 cells" in result.stderr
    assert (Path(base).read_bytes(), os.stat(base).st_mtime_ns) == (before, stamp)


def test_a_baseline_of_an_earlier_odebench_keeps_its_columns_and_what_never_repeats_comes_along(tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    update(old, record())
    header, row = old.read_text().splitlines()
    old.write_text(f"{header},overhead\n{row},1.5\n")
    assert not update(old, record(overhead=2.9)).stdout
    assert update(old, record(nfe_backward=500, overhead=2.9)).exit_code == 0
    (row,) = rows(str(old))
    assert (row["nfe_backward"], row["overhead"]) == ("500", "2.9")


def test_only_the_cells_that_changed_are_rewritten_and_named(base: str) -> None:
    before = Path(base).read_text().splitlines()
    noise = {"gradient_error": 1.3004e-7, "overhead": 2.9, "wall_seconds": 9.0}
    changed = record(cell("alf", "reversible", batch=4), nfe_backward=500, **noise)
    result = update(base, *[record(each.cell, **noise) if each.status == "ok" else each for each in MANY[:2]], changed)
    assert result.stdout.splitlines() == [f"changed small: {changed.cell.key}: nfe_backward 400 -> 500"]
    after = Path(base).read_text().splitlines()
    assert [line for line in after if line not in before] == [after[2]]
    row = rows(base)[1]
    # The error is within its band, so its digits stay.
    assert (row["nfe_backward"], row["gradient_error"]) == ("500", "1.3e-07")
    assert not update(base, changed).stdout


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (refused(cell()), "status ok -> refused\n"),
        (record(status="failed", reason="no"), "status ok -> failed"),
        (record(gradient_error=2e-7), "gradient_error 1.3e-07 -> 2e-07"),
        (record(gradient_error_discrete=None), "gradient_error_discrete 3e-16 -> nothing"),
        (record(steps_backward=7), "steps_backward nothing -> 7"),
        (record(peak_memory_bytes=99_999), "peak_memory_bytes 100000 -> 99999"),
    ],
)
def test_every_kind_of_change_is_told_and_written_once(base: str, after: Record, told: str) -> None:
    assert told in update(base, after).stdout
    (read,) = [each for each in read_results(base) if each.cell == after.cell]
    assert (read.status, read.reason) == (after.status, after.reason)
    assert read.metrics == {name: value for name, value in after.metrics.items() if name in COLUMNS}
    assert not update(base, after).stdout


def test_cells_that_are_gone_stay_until_they_are_pruned(base: str) -> None:
    new = record(cell("heun"))
    kept = update(base, MANY[0], new)
    assert kept.stdout.splitlines() == [f"added small: {new.cell.key}"]
    assert len(rows(base)) == 6
    pruned = update(base, MANY[0], new, words=("--prune",))
    assert [line.split()[0] for line in pruned.stdout.splitlines()] == ["dropped"] * 4
    assert len(rows(base)) == 2
    assert not update(base, MANY[0], new, words=("--prune",)).stdout


def test_the_columns_of_a_baseline_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "base.csv"
    columns = ["status", "suite", "nfe_forward", "mine", *COLUMNS[1:9], "machine"]
    row = {**dict.fromkeys(columns, ""), **rows(table(tmp_path / "full.csv", record(mine=0.5)))[0]}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerow(row)
    assert not update(path, record(mine=0.7, nfe_backward=1)).stdout
    assert update(path, record(mine=0.7, nfe_forward=401, nfe_backward=1)).stdout
    (after,) = rows(str(path))
    assert list(after) == columns
    assert (after["nfe_forward"], after["mine"], after["machine"]) == ("401", "0.7", "a box x2 #123456")


def test_digits_and_quotes_of_rows_that_stay_are_those_of_the_file(base: str) -> None:
    kept = edited(base, "gradient_error", "1.3E-7", 3)
    update(base, record(cell("heun")))
    assert rows(kept)[4]["gradient_error"] == "1.3E-7"


def test_a_baseline_is_read_as_any_results_are(base: str, tmp_path: Path) -> None:
    results = folder(tmp_path / "run", *MANY)
    for words in ((), ("--fail-on", "status, exact, errors > 1%", "--strict")):
        result = call("compare", base, results, *words)
        assert result.exit_code == 0, result.stdout + result.stderr
        assert "seconds" not in result.stdout
    assert call("show", base).exit_code == 0
    asked = call("compare", base, results, "--fail-on", "wall > 3%", "--strict")
    assert asked.exit_code == 4
    assert "not measured in the base" in asked.stdout


def test_an_update_through_a_link_changes_the_file_behind_it(base: str, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(base)
    assert update(link, record(nfe_forward=401)).exit_code == 0
    assert link.is_symlink()
    assert any(row["nfe_forward"] == "401" for row in rows(base))


@pytest.mark.parametrize(
    "place", ["folder", "records.jsonl", "loop.csv", "empty.csv", "torn.csv", "no/such/folder.csv", "x" * 300]
)
def test_a_place_that_no_baseline_can_be_in_is_wrong_usage_and_is_left_alone(place: str, tmp_path: Path) -> None:
    new = table(tmp_path / "new.csv", *MANY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "records.jsonl").write_text("{}\n")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "torn.csv").write_text(Path(new).read_text()[:-9])
    before = sorted(path.name for path in tmp_path.rglob("*"))
    result = call("baseline", "update", str(tmp_path / place), new)
    assert result.exit_code == 2, result.stderr
    assert place in result.stderr
    assert not result.stdout
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "empty.csv").read_bytes() == b""


def test_new_results_that_are_no_results_leave_a_baseline_alone(base: str, tmp_path: Path) -> None:
    before = Path(base).read_bytes()
    torn = tmp_path / "torn.csv"
    torn.write_text(Path(base).read_text()[:-30])
    assert call("baseline", "update", base, str(torn)).exit_code == 2
    assert call("baseline", "update", base, str(tmp_path / "none")).exit_code == 2
    assert Path(base).read_bytes() == before


def test_the_baseline_of_this_project_is_sorted_small_and_of_all_cells_of_the_quickstart() -> None:
    from odebench.execute.planning import prepare_plan

    path = ROOT / ".ci" / "quickstart.csv"
    found = read_results(path)
    planned = {each.cell.key: each.refusal for each in prepare_plan({"suites": ["quickstart"]}).cells}
    assert {each.cell.key: each.reason or None for each in found} == planned
    assert [each.cell.key for each in found] == sorted(planned)
    assert path.stat().st_size < 10_000


def test_the_gate_of_this_project_is_shut_by_one_evaluation(tmp_path: Path) -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "--fail-on" in line]
    rules = re.search('--fail-on "(.*?)"', line)
    assert rules
    assert "gate" in (ROOT / ".ci" / "run").read_text()
    kept = ROOT / ".ci" / "quickstart.csv"
    planted = tmp_path / "planted.csv"
    planted.write_text(kept.read_text())
    at = next(i for i, row in enumerate(rows(str(kept))) if "alf" in row["solver"] and row["gradient"] == "reversible")
    edited(str(planted), "nfe_backward", "60", at + 1)  # the row before is of adaptive steps
    words = ["run", "quickstart", "--repeats", "1", "-k", "solver=alf and reversible and fixed", "--fail-on", rules[1]]
    codes = [call(*words, "--baseline", str(path), "-o", str(tmp_path / path.stem)) for path in (kept, planted)]
    assert [each.exit_code for each in codes] == [0, 1]
    assert "nfe_backward" in codes[1].stdout
