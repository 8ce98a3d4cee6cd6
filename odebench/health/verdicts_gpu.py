"""Findings about GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from odebench.health.finding import Finding, State
from odebench.health.gpu import Gpu
from odebench.report import units

if TYPE_CHECKING:
    from odebench.health.examine import Facts

_BUSY = 5.0  # per cent of a moment; a display alone takes some


def findings_of(facts: Facts) -> list[Finding]:
    """Of every GPU; one line where there is none."""
    if not facts.gpus:
        return [Finding("GPU", "devices", "none that NVML knows", State.TOLD)]
    found = [finding for index, gpu in enumerate(facts.gpus) for finding in _gpu(f"GPU {index}", gpu)]
    build = next((floor.torch for floor in facts.floors if floor.torch), {})
    if build and not build["cuda"]:
        advice = "install a CUDA build of torch, see pytorch.org"
        found.append(Finding("GPU", "torch", "a build for CPUs, which sees no GPU", State.MIND, advice))
    return found


def _gpu(topic: str, gpu: Gpu) -> Iterator[Finding]:
    yield Finding(topic, "model", f"{gpu.name}, {units.size(gpu.memory)}", State.TOLD)
    yield _users(topic, gpu)
    if gpu.utilisation is not None:
        busy = gpu.utilisation >= _BUSY
        advice = "somebody computes on it: wait, or choose another device" if busy else ""
        yield Finding(topic, "utilisation", f"{gpu.utilisation:.0f} %", State.SPOILS if busy else State.FINE, advice)
    if gpu.slowed:
        capped = gpu.slowed == ("its clocks are set by hand",)
        advice = "" if capped else "times vary with what it did before: cool it, or lock a clock with nvidia-smi -lgc"
        yield Finding(topic, "slowed", ", ".join(gpu.slowed), State.TOLD if capped else State.SPOILS, advice)
    if gpu.clock is not None and gpu.fastest is not None:
        yield Finding(topic, "clock", f"{gpu.clock} MHz now, of {gpu.fastest}", State.TOLD)
    if gpu.persistent is False:
        advice = "the driver is loaded anew by each process: sudo nvidia-smi -pm 1"
        yield Finding(topic, "persistence", "off", State.MIND, advice)


def _users(topic: str, gpu: Gpu) -> Finding:
    used = "" if gpu.used is None else f", {units.size(gpu.used)} of memory in use"
    if gpu.others is None:
        return Finding(topic, "others", f"the driver does not say{used}", State.UNKNOWN)
    if gpu.others == 0:
        return Finding(topic, "others", f"no process{used}", State.FINE)
    told = f"{gpu.others} process{'es' * (gpu.others != 1)}{used}"
    return Finding(topic, "others", told, State.SPOILS, "they share its clock and memory: see nvidia-smi, and wait")
