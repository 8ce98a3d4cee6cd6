"""The machine as the parent sees it: always an answer, never torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from odebench import machine


@pytest.fixture(autouse=True)
def forget():
    """What was found out once is kept; here it is to be found out again."""
    for each in (machine.gpus, machine.fingerprint, machine.commit, machine.packages):
        each.cache_clear()
    yield
    for each in (machine.gpus, machine.fingerprint, machine.commit, machine.packages):
        each.cache_clear()


def test_the_facts_are_json_and_name_what_decides_a_figure():
    facts = json.loads(json.dumps(machine.describe()))
    assert {"machine", "cpu", "cores", "memory_bytes", "system", "python", "odebench", "packages"} <= set(facts)
    assert facts["packages"]["torch"]
    assert facts["machine"].startswith(f"{machine.cpu_model()} x{machine.cores()}")


def test_the_fingerprint_changes_with_a_package(monkeypatch):
    before = machine.fingerprint()
    machine.fingerprint.cache_clear()
    monkeypatch.setattr(machine, "packages", lambda: {"torch": "0.1"})
    after = machine.fingerprint()
    assert before.partition("#")[0] == after.partition("#")[0]
    assert before != after
    monkeypatch.undo()


def test_no_gpu_library_is_no_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert machine.gpus() == ()
    assert "driver" not in machine.describe()


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [(None, "abc"), ("", ""), ("1", "b"), ("2,0", "ca"), ("0,7,1", "a"), ("-1", ""), ("GPU-c", "c"), ("nonsense", "")],
)
def test_visible_devices_are_read_as_the_driver_reads_them(monkeypatch, visible, chosen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [{"name": name, "uuid": f"GPU-{name}"} for name in "abc"]
    assert "".join(gpu["name"] for gpu in machine._visible(found)) == chosen


def test_the_commit_says_when_tracked_files_differ(tmp_path):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    assert machine.commit(str(tmp_path)) == ""
    machine.commit.cache_clear()
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "one")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new").touch()
    clean = machine.commit(str(tmp_path))
    assert len(clean) == 12
    machine.commit.cache_clear()
    (tmp_path / "file").write_text("two")
    assert machine.commit(str(tmp_path)) == f"{clean}-dirty"


def test_the_machine_is_described_without_torch():
    told = "machine.describe(); machine.cuda_devices()"
    program = f"import sys; from odebench import machine; {told}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
