"""The machine as the parent process can see it: without torch, and without fail. What cannot be found is left out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

# Whatever may decide a figure.
PACKAGES = ("torch", "numpy", "scipy", "torchdiffeq", "torchode", "torchsde", "torchdiffeqpack", "diffrax", "jax")


@cache
def version() -> str:
    """The version of odebench that is running."""
    try:
        return importlib.metadata.version("odebench")
    except importlib.metadata.PackageNotFoundError:
        return "0+checkout"


def describe() -> dict[str, Any]:
    """All of it, JSON-ready, as machine.json holds it."""
    facts: dict[str, Any] = {
        "machine": fingerprint(),
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "load_average": [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "gpus": list(gpus()),
        "driver": _driver(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "odebench": version(),
        "packages": packages(),
        "commit": commit(),
    }
    return {key: value for key, value in facts.items() if value not in (None, "")}


@cache
def fingerprint() -> str:
    """One word group for the `machine` column: the processor, its cores, and a digest of all that may decide a time."""
    devices = [gpu["name"] for gpu in gpus()]
    facts = [cpu_model(), cores(), (memory_bytes() or 0) >> 30, devices, platform.system(), platform.python_version()]
    facts.append(sorted(packages().items()))
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:6]
    return " + ".join([f"{cpu_model()} x{cores()}", *devices]) + f" #{digest}"


@cache
def cpu_model() -> str:
    """The processor's own name, without trade marks."""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    name = found[1] if found else _ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return " ".join(re.sub(r"\((R|TM|C)\)|\bCPU\b|@.*$|,", " ", name).split()) or platform.machine() or "unknown"


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def memory_bytes() -> int | None:
    """Physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@cache
def packages() -> dict[str, str]:
    """Version of every package of `PACKAGES` that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cuda_devices() -> int:
    """How many GPUs a worker's torch can be expected to see, found without torch and without touching them."""
    if not _torch_has_cuda():
        return 0
    return len(gpus()) or _driver_devices()


@cache
def gpus() -> tuple[dict[str, Any], ...]:
    """Name and memory of every NVIDIA GPU that `CUDA_VISIBLE_DEVICES` leaves, by NVML; none if that is not there."""
    try:
        import pynvml  # type: ignore[import-untyped, unused-ignore]

        pynvml.nvmlInit()
    except Exception:  # not installed, no driver, a driver of another age: all of them mean the same to us
        return ()
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            name, identity = _text(pynvml.nvmlDeviceGetName(handle)), _text(pynvml.nvmlDeviceGetUUID(handle))
            found.append({"name": name, "uuid": identity, "memory_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).total})
        return tuple(_visible(found))
    except Exception:
        return ()
    finally:
        pynvml.nvmlShutdown()


@cache
def commit(folder: str | None = None) -> str:
    """The git commit of the working directory (or `folder`), `-dirty` if tracked files differ; empty outside of git."""
    at = folder or os.getcwd()
    head = _ask("git", "-C", at, "rev-parse", "--short=12", "HEAD")
    if not head:
        return ""
    # Untracked files do not count: the results folder itself is one.
    dirty = _ask("git", "-C", at, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if dirty else head


def _visible(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return found
    chosen = []
    for token in (each.strip() for each in wanted.split(",")):
        by_number = found[int(token)] if token.isdecimal() and int(token) < len(found) else None
        match = by_number or next((gpu for gpu in found if token and gpu["uuid"].startswith(token)), None)
        if match is None:
            break  # as the driver reads it: what follows an invalid entry is not seen
        chosen.append(match)
    return chosen


def _torch_has_cuda() -> bool:
    """Whether the installed torch is a CUDA build, by the text of its version file."""
    try:
        where = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return False
    if where is None or where.origin is None:
        return False
    return bool(re.search(r"^cuda\b.*=\s*['\"]", _read(Path(where.origin).with_name("version.py")), re.MULTILINE))


def _driver_devices() -> int:
    """For machines without NVML: what the Linux driver lists, as far as `CUDA_VISIBLE_DEVICES` leaves it."""
    listed = Path("/proc/driver/nvidia/gpus")
    count = len(list(listed.iterdir())) if listed.is_dir() else 0
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    return count if wanted is None else min(count, len([each for each in wanted.split(",") if each.strip()]))


def _driver() -> str:
    try:
        import pynvml  # type: ignore[import-untyped, unused-ignore]

        pynvml.nvmlInit()
        try:
            return _text(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except Exception:
        return ""


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
