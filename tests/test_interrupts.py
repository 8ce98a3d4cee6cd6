"""Ctrl-C at any moment of a command: exit code 130, and nothing of Python's on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import odebench

HOME = str(Path(odebench.__file__).parents[1])
# What `python -m odebench` and the console script do, with a word at the moment from which Ctrl-C is odebench's.
COMMAND = "import sys; import odebench.__main__ as command; print('ready', flush=True); command.main()"
ODD = (b"Traceback", b"KeyboardInterrupt", b"Exception ignored")


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": HOME}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.2])
def test_ctrl_c_ends_a_run_in_silence(tmp_path: Path, moment: float, times: int) -> None:
    child = start(tmp_path, "run", "quickstart", "--repeats", "1000", "-q", "-o", "R")
    time.sleep(moment)
    for _ in range(times):
        child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130, said
    assert not any(word in said for word in ODD), said


@pytest.mark.parametrize(
    "words", [["list", "solvers"], ["explain", "rk4"], ["validate", "quickstart"], ["--help"], ["show"]]
)
def test_ctrl_c_ends_every_command_so(tmp_path: Path, words: list[str]) -> None:
    for moment in (0.0, 0.05, 0.15):
        child = start(tmp_path, *words)
        time.sleep(moment)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
        assert child.returncode in (130, 2 if words == ["show"] else 0), said  # it may have been quicker
        assert not any(word in said for word in ODD), said


def test_ctrl_c_is_odebenchs_before_anything_slow_is_imported() -> None:
    code = "import sys; import odebench.__main__; print(sorted({'typing', 're', 'typer', 'torch'} & set(sys.modules)))"
    line = [sys.executable, "-S", "-c", code]
    done = subprocess.run(line, env={"PYTHONPATH": HOME}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_command_that_was_started_deaf_to_ctrl_c_stays_deaf(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {COMMAND}"
    line = [sys.executable, "-c", code, "list", "solvers"]
    child = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": HOME}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    assert b"dopri5" in out


def test_a_python_program_keeps_its_own_ctrl_c() -> None:
    code = "import signal, odebench; odebench.run; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list", "solvers"]])
def test_ctrl_c_is_too_late_once_the_exit_code_is_known(tmp_path: Path, words: list[str]) -> None:
    code = f"import atexit, signal; atexit.register(lambda: signal.raise_signal(signal.SIGINT)); {COMMAND}"
    line = [sys.executable, "-c", code, *words]
    done = subprocess.run(line, cwd=tmp_path, env={**os.environ, "PYTHONPATH": HOME}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
