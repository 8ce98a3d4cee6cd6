"""What decides how fast the processor runs, and how well its clock tells."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from odebench import machine
from odebench.health.roots import Roots, number

_CPU = "devices/system/cpu"


@dataclass(frozen=True)
class Processor:
    """What is not known is None, or empty."""

    model: str
    usable: int  # processors that this process may use
    present: int | None  # that the machine has
    governors: tuple[str, ...]  # of frequency scaling, each once
    turbo: bool | None  # the frequency may rise above the nominal one for as long as it stays cool
    smt: bool | None  # two processors share one core
    clock: str  # where the kernel takes the time from
    resolution: float  # seconds between two readings of Python's clock that can differ
    virtual: str  # what the machine runs in, if it is a virtual one
    hottest: float | None  # degrees Celsius
    heat_limited: int | None  # how often it slowed down for heat since the machine started


def gather(roots: Roots) -> Processor:
    """Ask the operating system."""
    import psutil

    return Processor(
        model=machine.cpu_model(),
        usable=machine.cores(),
        present=psutil.cpu_count(),
        governors=tuple(dict.fromkeys(roots.each_of_sys(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor"))),
        turbo=_turbo(roots),
        smt={"1": True, "0": False}.get(roots.of_sys(f"{_CPU}/smt/active")),
        clock=roots.of_sys("devices/system/clocksource/clocksource0/current_clocksource"),
        resolution=time.get_clock_info("perf_counter").resolution,
        virtual=_virtual(roots),
        hottest=_hottest(roots),
        heat_limited=heat_limits(roots),
    )


def heat_limits(roots: Roots) -> int | None:
    """How often processors slowed down for heat since the machine started; None where nobody counts."""
    counts = [number(text) for text in roots.each_of_sys(f"{_CPU}/cpu[0-9]*/thermal_throttle/*_throttle_count")]
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None


def _turbo(roots: Roots) -> bool | None:
    off, on = roots.of_sys(f"{_CPU}/intel_pstate/no_turbo"), roots.of_sys(f"{_CPU}/cpufreq/boost")
    if off in ("0", "1"):
        return off == "0"
    return on == "1" if on in ("0", "1") else None


def _virtual(roots: Roots) -> str:
    """The maker's word for the machine where the processor says that there is a hypervisor."""
    if not re.search(r"^flags\s*:.*\bhypervisor\b", roots.of_proc("cpuinfo"), re.MULTILINE):
        return ""
    words = (roots.of_sys(f"class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    return " ".join(dict.fromkeys(word for word in words if word)) or "a hypervisor"


def _hottest(roots: Roots) -> float | None:
    found = [number(text) for text in roots.each_of_sys("class/thermal/thermal_zone*/temp")]
    degrees = [each / 1000 for each in found if each is not None and each > 0]
    return max(degrees, default=None)
