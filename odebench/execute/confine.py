"""What a worker does to itself before it runs anybody's code, so that nothing it does can hurt the run or outlive it.

Everything here is asked of the operating system and taken as far as it goes: off Linux some of it is not there.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from odebench.errors import UsageError

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of Linux's <sys/prctl.h>
LARGEST_FILE = 1 << 30  # bytes a worker may write to one file, what it prints included
_SLACK = 64 << 20  # bytes left to everybody else when a worker takes all there is


_MARK = "ODEBENCH_WORKER"  # in the environment of workers, and so of all that they start


def marked() -> dict[str, str]:
    """What the environment of workers has besides."""
    return {_MARK: "1"}


def mark() -> None:
    """Have this process, and all that it starts, known for a worker."""
    os.environ[_MARK] = "1"


def refuse_inside() -> None:
    """See to it that no worker starts workers: a plugin that starts a run would be loaded by that run, and so on.

    Raises:
        UsageError: this process is a worker, or was started by one.
    """
    if os.environ.get(_MARK):
        raise UsageError(
            "no run can be started inside a worker of a run; where a plugin is a script as well, put what starts the "
            'run under `if __name__ == "__main__":`'
        )


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which must be what started it, ends."""
    if not _prctl(_SET_PDEATHSIG, signal.SIGKILL):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)  # it ended before we asked


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can slip away by a double fork."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def yield_memory_first() -> None:
    """Ask the kernel to end this process, and not its starter, when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def limit_resources(memory_share: float | None) -> None:
    """No core dumps, no endless files, and heap for `memory_share` of what is available now (None: no limit).

    The limit makes an allocator raise, which can be reported, where the kernel would kill. Only the soft limit is set:
    `lift_memory_limit` gives a worker that ran into it the room to say so.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_FSIZE, LARGEST_FILE)
    available = available_memory()
    if memory_share is not None and available is not None:
        # Not the address space, of which importing torch takes 0.6 GB and a GPU driver takes terabytes.
        _lower(resource.RLIMIT_DATA, _heap() + int(max(available - _SLACK, 0) * memory_share))


def lift_memory_limit() -> None:
    """Undo the limit on memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def available_memory() -> int | None:
    """Bytes that can be allocated before somebody is killed: the machine's, or the control group's if that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    room = [int(found[1]) * 1024] if found else []
    for limit, used, cache in _groups():
        if limit.isdigit() and used.isdigit():
            room.append(int(limit) - int(used) + cache)
    return max(min(room), 0) if room else None


def oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it started."""
    found = re.search(r"^oom_kill (\d+)", _read("/proc/vmstat"), re.MULTILINE)
    return int(found[1]) if found else 0


def _groups() -> list[tuple[str, str, int]]:
    """(limit, used, reclaimable bytes among those) of the control groups of this process."""
    inner = re.search(r"^0::/(.*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    places = [Path("/sys/fs/cgroup")] + ([Path("/sys/fs/cgroup", inner[1])] if inner else [])
    found = [(_read(at / "memory.max"), _read(at / "memory.current"), _cache(at / "memory.stat")) for at in places]
    old = Path("/sys/fs/cgroup/memory")  # version 1
    found.append(
        (_read(old / "memory.limit_in_bytes"), _read(old / "memory.usage_in_bytes"), _cache(old / "memory.stat"))
    )
    return [(limit.strip(), used.strip(), cache) for limit, used, cache in found]


def _cache(stat: Path) -> int:
    found = re.search(r"^(?:total_)?inactive_file (\d+)", _read(stat), re.MULTILINE)
    return int(found[1]) if found else 0


def _heap() -> int:
    found = re.search(r"^VmData:\s+(\d+) kB", _read("/proc/self/status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _lower(which: int, limit: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def _watch(parent: int) -> None:
    # Where the kernel offers no signal: a second's delay, and it needs the interpreter, but nothing else is portable.
    wait = threading.Event()
    while os.getppid() == parent:
        wait.wait(1.0)
    os.killpg(0, signal.SIGKILL)
