"""Who else uses a GPU, and whether it may run as fast as it can. By NVML, which needs no context on the device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from odebench import machine

# Why a GPU runs slower than it could, by the bits of NVML's clocks-event reasons; 0x1 only says that it is idle.
_REASONS = {
    0x2: "its clocks are set by hand",
    0x4: "its power is capped",
    0x8: "the hardware slows it down",
    0x20: "it is too warm",
    0x40: "it is too hot",
    0x80: "the power supply brakes it",
}


@dataclass(frozen=True)
class Gpu:
    """What is not known is None, or empty."""

    name: str
    others: int | None  # processes of others that compute on it
    used: int | None  # bytes of its memory, by whomever
    memory: int
    utilisation: float | None  # per cent of the last moment in which it computed
    clock: int | None  # MHz of its multiprocessors
    fastest: int | None
    slowed: tuple[str, ...]
    degrees: int | None  # Celsius
    persistent: bool | None  # the driver stays loaded while nobody computes


def gather() -> list[Gpu]:
    """Every NVIDIA GPU that `CUDA_VISIBLE_DEVICES` leaves; none without the driver."""
    seen = machine.gpus()
    if not seen:
        return []
    import pynvml  # type: ignore[import-untyped, unused-ignore]

    try:
        pynvml.nvmlInit()
    except Exception:  # the driver went away since
        return []
    try:
        return [_look(pynvml, gpu) for gpu in seen]
    finally:
        pynvml.nvmlShutdown()


def _look(nvml: Any, gpu: dict[str, Any]) -> Gpu:
    def ask(name: str, *more: Any) -> Any:
        # A driver or a card that cannot answer one question may answer the next.
        try:
            return getattr(nvml, name)(nvml.nvmlDeviceGetHandleByUUID(gpu["uuid"].encode()), *more)
        except Exception:
            return None

    memory, rates = ask("nvmlDeviceGetMemoryInfo"), ask("nvmlDeviceGetUtilizationRates")
    running = ask("nvmlDeviceGetComputeRunningProcesses")
    bits = ask("nvmlDeviceGetCurrentClocksEventReasons")
    bits = ask("nvmlDeviceGetCurrentClocksThrottleReasons") if bits is None else bits
    persistent = ask("nvmlDeviceGetPersistenceMode")
    return Gpu(
        name=gpu["name"],
        others=None if running is None else len({each.pid for each in running} - {os.getpid()}),
        used=memory and memory.used,
        memory=gpu["memory_bytes"],
        utilisation=rates and float(rates.gpu),
        clock=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        fastest=ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
        slowed=tuple(words for bit, words in _REASONS.items() if (bits or 0) & bit),
        degrees=ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        persistent=None if persistent is None else bool(persistent),
    )
