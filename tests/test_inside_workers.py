"""A run inside a worker is refused, and runs that start at the same moment do not share a folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import odebench

SUITE = """
name: inner
problems: [linear_decay]
solvers: [rk4]
gradients: [direct, reversible]
stepping: [{{fixed: {{steps: 4}}}}]
measure: {{repeats: 1, warmup: 0}}
{more}
"""
REFUSED = "no run can be started inside a worker"
BY_COMMAND = """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "odebench", *{words}], capture_output=True, text=True)
raise RuntimeError(done.stderr)
"""


def write(folder: Path, plugin: str) -> Path:
    (folder / "own.py").write_text(plugin)
    (folder / "inner.yaml").write_text(SUITE.format(more="plugins: [own.py]"))
    return folder / "inner.yaml"


@pytest.mark.parametrize(
    "plugin",
    [
        "import odebench\nprint(odebench.run('inner.yaml')[0].status)",
        BY_COMMAND.format(words=["run", "inner.yaml"]),
        BY_COMMAND.format(words=["validate", "inner.yaml"]),
        BY_COMMAND.format(words=["list", "solvers", "--plugin", "own.py"]),
        BY_COMMAND.format(words=["check", "own.py"]),
    ],
)
def test_a_plugin_that_starts_a_run_is_refused(tmp_path: Path, plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(odebench.SuiteError, match=REFUSED):
        odebench.run(write(tmp_path, plugin))


def test_a_script_that_is_its_own_plugin_ends_with_the_sentence(tmp_path: Path) -> None:
    write(tmp_path, "import odebench\nprint(odebench.run('inner.yaml')[0].status)")
    done = subprocess.run([sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert REFUSED in done.stderr.splitlines()[-1]
    assert '`if __name__ == "__main__":`' in done.stderr


def test_a_script_with_a_guard_may_be_its_own_plugin(tmp_path: Path) -> None:
    text = "import odebench\nif __name__ == '__main__':\n    print(*(r.status for r in odebench.run('inner.yaml')))\n"
    write(tmp_path, text)
    done = subprocess.run([sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout == "ok refused\n", done.stderr


def test_a_metric_that_starts_a_run_is_a_note_of_its_row(tmp_path: Path) -> None:
    metric = "import odebench\n@odebench.metric\ndef nested(trial):\n    return len(odebench.run('inner.yaml'))\n"
    record, _ = odebench.run(write(tmp_path, metric), output=tmp_path / "R")
    assert record.status == "ok"
    assert any(REFUSED in note for note in record.notes)


def test_runs_that_start_at_the_same_moment_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "refused.yaml").write_text(SUITE.format(more="").replace("direct, ", ""))
    monkeypatch.chdir(tmp_path)
    found: list[int] = []
    together = threading.Barrier(8)

    def one() -> None:
        together.wait()
        found.append(len(odebench.run("refused.yaml")))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(100)
    assert found == [1] * 8
    assert len(list((tmp_path / "results").iterdir())) == 8


def test_results_cannot_go_into_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refused.yaml").write_text(SUITE.format(more=""))
    (tmp_path / "results").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(odebench.UsageError, match="results"):
        odebench.run("refused.yaml")
