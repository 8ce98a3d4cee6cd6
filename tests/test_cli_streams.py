"""Real processes: what goes to which stream, on terminals and in pipes, and what an interruption leaves behind."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from odebench.rows import write_csv
from odebench.store import read_results
from tests.test_report import MANY

ROOT = Path(__file__).parent.parent
SUITE = """\
name: small
problems: [linear_decay]
solvers: [rk4]
gradients: [direct, reversible, aca]
stepping: [{fixed: {steps: 10}}]
measure: {repeats: 2, warmup: 0, timeout: 60}
"""
PLUGINS = Path(__file__).parent / "plugins"


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "odebench", *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **more}


def in_terminal(
    folder: Path, *words: object, columns: int = 80, until: str = "", stdout: int | None = None
) -> tuple[int, str]:
    """Run on a terminal of its own; once it shows `until`, press Ctrl-C. (exit code, all that was shown)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    child = subprocess.Popen(
        command(*words), stdin=theirs, stdout=stdout or theirs, stderr=theirs, cwd=folder, env=environment(),
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 120)[0]:
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
        if until and re.search(until.encode(), shown):
            child.send_signal(signal.SIGINT)
            until = ""
    os.close(ours)
    return child.wait(60), shown.decode().replace("\r\n", "\n")


def screen(shown: str) -> list[str]:
    """What is left on the terminal: lines, with what was erased gone and without colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    return [re.split(r"\r\x1b\[2K", line)[-1] for line in text.split("\n")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One run in a pipe."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "small.yaml").write_text(SUITE)
    words = command("run", "small.yaml", "-o", "out", "--format", "csv")
    return folder, subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


def test_a_run_in_a_pipe_has_data_on_stdout_and_the_summary_on_stderr(ran) -> None:
    folder, done = ran
    assert done.returncode == 0, done.stderr
    assert done.stdout == (folder / "out" / "results.csv").read_text()
    assert done.stderr.splitlines()[0].startswith("3 cells: 2 ok, 1 refused; ")
    assert done.stderr.splitlines()[1] == "results in out"
    assert "\x1b" not in done.stdout + done.stderr


def test_a_finished_run_resumed_on_a_terminal_shows_its_rows_and_measures_nothing(ran) -> None:
    folder, _ = ran
    before = (folder / "out" / "records.jsonl").read_bytes()
    code, shown = in_terminal(folder, "run", "--resume", "out")
    left = screen(shown)
    assert code == 0
    assert (folder / "out" / "records.jsonl").read_bytes() == before
    names = [line.split()[0] for line in left if line[:1].isalpha()]
    assert [name for name in names if name in ("direct", "reversible", "aca")] == ["direct", "reversible", "aca"]
    assert max(map(len, left)) <= 80
    assert "…" not in shown


def test_with_a_format_only_data_reaches_stdout_even_when_stderr_is_a_terminal(ran, tmp_path: Path) -> None:
    folder, _ = ran
    with (tmp_path / "stdout").open("wb") as stdout:
        code, shown = in_terminal(folder, "run", "--resume", "out", "--format", "json", stdout=stdout.fileno())
    assert code == 0
    assert len(json.loads((tmp_path / "stdout").read_text())["rows"]) == 3
    assert "3/3" in shown
    assert screen(shown)[0].startswith("3 cells: 2 ok, 1 refused")


def test_no_progress_and_quiet_keep_stderr_still(ran, tmp_path: Path) -> None:
    folder, _ = ran
    with (tmp_path / "stdout").open("wb") as stdout:
        _, calm = in_terminal(folder, "run", "--resume", "out", "--no-progress", stdout=stdout.fileno())
        _, silent = in_terminal(folder, "run", "--resume", "out", "-q", stdout=stdout.fileno())
    assert "elapsed" not in calm
    assert calm.startswith("\x1b") is False
    assert silent == ""


def test_the_same_python_door_gives_records(ran) -> None:
    import odebench

    folder, _ = ran
    records = odebench.run(resume=folder / "out")
    assert [record.status for record in records] == ["ok", "refused", "ok"]


def test_ctrl_c_saves_and_tells_the_line_to_go_on_with_and_leaves_no_progress(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(SUITE.replace("[rk4]", "[rk4, endless]") + f"plugins: [{PLUGINS}/endless.py]\n")
    code, shown = in_terminal(tmp_path, "run", "slow.yaml", "-o", "out", until=r"endless direct")
    left = screen(shown)
    assert code == 130
    assert left[-2] == "interrupted; to go on: odebench run --resume out"
    assert left[-1] == ""
    assert any(re.match(r"\d of 6 cells: ", line) for line in left)
    assert not any("elapsed" in line for line in left)
    assert "Traceback" not in shown
    assert {record.status for record in read_results(tmp_path / "out")} <= {"ok", "refused"}


def test_a_cell_that_fails_ends_the_run_with_3_and_is_a_row(tmp_path: Path) -> None:
    suite = SUITE.replace("[rk4]", "[raises]").replace("[direct, reversible, aca]", "[direct]")
    (tmp_path / "bad.yaml").write_text(suite + f"plugins: [{PLUGINS}/raises.py]\n")
    done = subprocess.run(
        command("run", "bad.yaml", "-o", "out"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "failed: " in done.stdout
    assert "this scheme cannot go on" in done.stdout
    assert "1 cell: 1 failed" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_csv(path, MANY)
    child = subprocess.Popen(
        command("show", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(60) == 141


def test_a_stream_that_cannot_show_a_name_does_not_end_the_command(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_csv(path, MANY)
    done = subprocess.run(
        command("show", path), env=environment(PYTHONIOENCODING="ascii"), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"\\u2500" in done.stdout


def test_csv_of_show_is_the_csv_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_csv(path, MANY)
    done = subprocess.run(
        command("show", path, "--format", "csv"),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert list(csv.reader(done.stdout.splitlines())) == list(csv.reader(path.read_text().splitlines()))
