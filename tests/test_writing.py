"""`-o` never takes away what it is pointed at: devices, FIFOs and links stay, modes and owners too."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_sides import cell, folder, record

from odebench.errors import UsageError
from odebench.writing import deliver, replace

Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    return folder(tmp_path_factory.mktemp("stored") / "R", record(cell("rk4")), record(cell("heun")))


@pytest.fixture
def command(results: str) -> Command:
    """Runs a command that writes: `junit`, `report` or `baseline`."""
    words = {
        "junit": ["compare", results, results, "-q", "--format", "junit", "-o"],
        "report": ["report", results, "-q", "-o"],
        "baseline": ["baseline", "update"],
    }

    def run(kind: str, target: Path | str, **how: Any) -> subprocess.CompletedProcess[bytes]:
        line = [sys.executable, "-m", "odebench", *words[kind], str(target), *([results] if kind == "baseline" else [])]
        return subprocess.run(line, capture_output="stdout" not in how, timeout=120, check=False, **how)

    return run


def device(path: Path) -> Path:
    """A node like /dev/null."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    return path


def drafts(at: Path) -> list[Path]:
    return [each for each in at.iterdir() if each.name.endswith(".part")]


@pytest.mark.parametrize("kind", ["junit", "report"])
def test_a_device_stays_a_device(kind: str, command: Command, tmp_path: Path) -> None:
    sink = device(tmp_path / "sink")
    assert command(kind, sink).returncode == 0
    assert stat.S_ISCHR(sink.stat().st_mode)
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("kind", ["junit", "report"])
def test_a_link_to_the_own_stdout_is_written_through(kind: str, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("/proc/self/fd/1")
    done = command(kind, out)
    assert done.returncode == 0
    assert done.stdout.startswith((b"<?xml", b"<!doctype", b"<!DOCTYPE"))
    assert os.readlink(out) == "/proc/self/fd/1"


def test_dev_stdout_into_a_file_goes_on_where_the_file_is(command: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        assert command("junit", "/dev/stdout", stdout=file).returncode == 0
        file.seek(0, os.SEEK_END)
        file.write(b"after\n")
    content = log.read_bytes()
    assert content.startswith(b"before\n<?xml")
    assert content.endswith(b"after\n")


@pytest.mark.parametrize("kind", ["junit", "report", "baseline"])
def test_a_link_is_followed(kind: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    target, middle, link = tmp_path / "deep" / "target", tmp_path / "deep" / "middle", tmp_path / "link"
    middle.symlink_to("target")
    link.symlink_to("deep/middle")
    if kind == "baseline":
        assert command(kind, target).returncode == 0
        text = target.read_text()
        target.write_text("".join(text.splitlines(keepends=True)[:-1]))
    else:
        target.write_text("old")
    assert command(kind, link).returncode == 0
    assert link.is_symlink()
    assert middle.is_symlink()
    assert len(target.read_bytes()) > 100
    assert kind != "baseline" or target.read_text() == text


@pytest.mark.parametrize("kind", ["junit", "report", "baseline"])
def test_a_private_file_stays_private(kind: str, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    if kind == "baseline":
        assert command(kind, path).returncode == 0
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    else:
        path.write_text("old")
    path.chmod(0o600)
    assert command(kind, path).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_fifo_is_written_into(command: Command, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert command("report", pipe).returncode == 0
    reader.join(30)
    assert heard
    assert heard[0].rstrip().endswith(b"</html>")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_figure_follows_links_and_keeps_modes(results: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target, link = tmp_path / "target.svg", tmp_path / "fig.svg"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    line = [sys.executable, "-m", "odebench", "plot", results, "--kind", "pareto", "-q", "-o", str(link)]
    done = subprocess.run(line, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert b"<svg" in target.read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_starter_does_not_replace_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    link = tmp_path / "mine.py"
    link.symlink_to("nowhere.py")
    line = [sys.executable, "-m", "odebench", "init", "solver", "mine", "-o", str(link)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "is not overwritten" in done.stderr
    assert link.is_symlink()


def test_a_link_that_leads_nowhere_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    replace(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UsageError, match="symbolic links"):
        deliver(tmp_path / "a", "new")


def test_the_other_names_of_a_file_see_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old, and longer than the new")
    os.link(tmp_path / "one", tmp_path / "two")
    replace(tmp_path / "one", "new")
    assert (tmp_path / "two").read_text() == "new"


def test_a_file_that_is_a_mount_of_its_own_is_written_in_place(tmp_path: Path) -> None:
    host, guest = tmp_path / "host", tmp_path / "guest"
    host.write_text("old")
    guest.touch()
    if os.geteuid() or shutil.which("mount") is None or subprocess.call(["mount", "--bind", host, guest]):
        pytest.skip("only root mounts")
    try:
        replace(guest, "new")
        assert host.read_text() == "new"
        assert drafts(tmp_path) == []
    finally:
        subprocess.check_call(["umount", guest])


def test_the_owner_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(path, 65534, 65533)
    path.chmod(0o2750)
    replace(path, "new")
    there = path.stat()
    assert (there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)) == (65534, 65533, 0o2750)


def test_a_new_file_has_the_mode_that_others_get(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    replace(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_long_name_has_room(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    replace(path, "new")
    assert path.read_text() == "new"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path := tmp_path / "socket"))
        yield path


def test_a_socket_is_refused_and_stays(listener: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        deliver(listener, "new")
    assert stat.S_ISSOCK(listener.stat().st_mode)


def test_a_folder_is_refused_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="s a directory"):
        deliver(tmp_path, "new")
    assert list(tmp_path.iterdir()) == []
    assert drafts(tmp_path.parent) == []
