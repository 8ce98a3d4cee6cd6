"""Who else wants the processors and the memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from odebench.health.processor import heat_limits
from odebench.health.roots import Roots, number

_LOOK = 0.5  # seconds over which other processes are watched
_BUSY = 0.1  # share of a processor from which a process is worth naming
_MOST = 5  # of them


@dataclass(frozen=True)
class Process:
    """Another process, and its share of one processor while it was watched."""

    pid: int
    name: str
    share: float


@dataclass(frozen=True)
class Load:
    """What is not known is None."""

    average: float | None  # processes that wanted to run, over the last minute
    busy: tuple[Process, ...]
    quota: float | None  # processors' worth of time that the control group may use
    memory: int | None  # bytes
    available: int | None  # bytes that can be had before something is moved out
    swapped: int | None  # bytes moved out to disk


@dataclass(frozen=True)
class Counters:
    """What only counts up, so that two looks tell what happened in between."""

    stolen: float | None = None  # ticks in which the hypervisor ran something else
    ticks: float | None = None  # of all processors together
    held_back: float | None = None  # microseconds in which the control group had used up its time
    heat_limited: int | None = None


def gather(roots: Roots) -> Load:
    """Watch for half a second."""
    import psutil

    memory, swap = _try(psutil.virtual_memory), _try(psutil.swap_memory)
    return Load(
        average=_average(roots),
        busy=tuple(_others()),
        quota=_quota(roots),
        memory=memory and memory.total,
        available=memory and memory.available,
        swapped=swap and swap.used,
    )


def count(roots: Roots) -> Counters:
    """One look."""
    line = re.search(r"^cpu +(.*)$", roots.of_proc("stat"), re.MULTILINE)
    ticks = [float(each) for each in line[1].split()][:8] if line else []
    held = re.search(r"^throttled_(usec|time) (\d+)$", _of_group(roots, "cpu.stat"), re.MULTILINE)
    return Counters(
        stolen=ticks[7] if len(ticks) == 8 else None,
        ticks=sum(ticks) or None,
        held_back=float(held[2]) / (1 if held[1] == "usec" else 1000) if held else None,
        heat_limited=heat_limits(roots),
    )


def _average(roots: Roots) -> float | None:
    said = number(roots.of_proc("loadavg").partition(" ")[0])
    if said is None and hasattr(os, "getloadavg"):
        with suppress(OSError):
            return os.getloadavg()[0]
    return said


def _quota(roots: Roots) -> float | None:
    """Version 2 of control groups says `MAX PERIOD`, version 1 has a file for each; -1 and `max` are no limit."""
    limit, _, period = _of_group(roots, "cpu.max").partition(" ")
    if not limit:
        limit, period = _of_group(roots, "cpu.cfs_quota_us"), _of_group(roots, "cpu.cfs_period_us")
    share, each = number(limit), number(period)
    return share / each if share is not None and each and share > 0 else None


def _of_group(roots: Roots, name: str) -> str:
    inner = re.search(r"^0::/(.*)$", roots.of_proc("self/cgroup"), re.MULTILINE)
    places = [f"fs/cgroup/{inner[1]}/{name}"] if inner and inner[1] else []
    found = (roots.of_sys(place) for place in (*places, f"fs/cgroup/{name}", f"fs/cgroup/cpu/{name}"))
    return next((text for text in found if text), "")


def _others() -> Iterable[Process]:
    """The busiest processes but this one and those that it stems from: the shell, `make`, an editor."""
    import psutil

    own = {os.getpid()} | {each.pid for each in _try(psutil.Process().parents) or ()}
    watched = [each for each in psutil.process_iter(["name"]) if each.pid not in own]
    for each in watched:
        _try(each.cpu_percent)
    time.sleep(_LOOK)
    found = [Process(each.pid, each.info["name"] or "?", (_try(each.cpu_percent) or 0.0) / 100) for each in watched]
    found.sort(key=lambda each: -each.share)
    return [each for each in found if each.share >= _BUSY][:_MOST]


def _try(ask: Any) -> Any:
    """An answer of psutil's, or None: processes end, and not every system answers everything."""
    try:
        return ask()
    except Exception:
        return None
