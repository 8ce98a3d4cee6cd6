"""Peak and held tensor bytes of one solve and its gradient: exact, and the same in every process.

On a CPU torch reports each allocation and each release to the profiler; their running sum is the live tensor bytes,
temporaries inside operators and the backward pass included. Resident memory (RSS) was rejected: for a true peak of
9.7 MB it grew by 20 to 27 MB and differed from run to run. On a GPU the allocator keeps the peak itself.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from odebench.measure.trial import TorchTrial

# Events are allocations and releases: 1.4 KB and 8 µs each. Some 20 to 170 come with an evaluation of f and its VJP.
MOST_EVENTS = 1_500_000

# An allocation of this odd size, made and released at once, marks the end of the forward pass in the event list.
_MARK = 1_000_003


def weigh(trial: TorchTrial) -> dict[str, int]:
    """`peak_memory_bytes` and `graph_bytes`; on a GPU `peak_requested_bytes` too.

    Call it after the same solve has run before, so that what is allocated once for good lies below the floor.
    """
    trial.clear()
    gc.collect()
    figures = _weigh_cuda(trial) if trial.bound.y0.is_cuda else _weigh_cpu(trial)
    trial.clear()
    return figures


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Peak of live tensor bytes while `run` runs, above the floor before it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        floor = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - floor
    peak = live = 0
    for size in allocations(run):
        live += size
        peak = max(peak, live)
    return peak


def process_peak_bytes() -> int | None:
    """The high-water mark of this process. `ru_maxrss` is inherited over fork and exec on Linux, VmHWM is not."""
    if sys.platform.startswith("linux"):
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def allocations(run: Callable[[], object]) -> list[int]:
    """Signed sizes, in bytes and in order, of all CPU tensor memory allocated and released while `run` runs."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it prints to stderr otherwise
    engine: Any = torch._C._autograd  # its stubs lack what is used here
    try:
        kinds = torch._C._profiler
        options = kinds._ExperimentalConfig()
        config = kinds.ProfilerConfig(kinds.ProfilerState.KINETO, False, True, False, False, False, options)
        engine._prepare_profiler(config, {kinds.ProfilerActivity.CPU})
        # Only user scopes: recording every operator costs 3 to 6 times the run and gigabytes; the sizes are the same.
        engine._enable_profiler(config, {kinds.ProfilerActivity.CPU}, {kinds.RecordScope.USER_SCOPE})
    except (TypeError, AttributeError):
        return _allocations_by_public_profiler(run)
    try:
        run()
    finally:
        result = engine._disable_profiler()
    return [event.nbytes() for event in result.events() if event.name() == "[memory]"]


def _allocations_by_public_profiler(run: Callable[[], object]) -> list[int]:
    """The same by the public class, slower: for a torch whose private calls have changed."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    inner: Any = profile.profiler
    return [event.nbytes() for event in inner.kineto_results.events() if event.name() == "[memory]"]


def _weigh_cpu(trial: TorchTrial) -> dict[str, int]:
    solution = 0

    def run() -> None:
        nonlocal solution
        trial.forward()
        assert trial.ys is not None
        solution = _nbytes(trial.ys)
        torch.empty(_MARK, dtype=torch.uint8)
        trial.backward()

    peak = live = held = 0
    marked = False
    sizes = allocations(run)
    for size, following in zip(sizes, [*sizes[1:], 0], strict=True):
        if not marked and size == _MARK and following == -_MARK:
            marked, held = True, live
        if abs(size) == _MARK:
            continue
        live += size
        peak = max(peak, live)
    return {"peak_memory_bytes": peak, "graph_bytes": held - solution}


def _weigh_cuda(trial: TorchTrial) -> dict[str, int]:
    device = trial.bound.y0.device
    trial.sync()
    torch.cuda.reset_peak_memory_stats(device)
    floor = torch.cuda.memory_stats(device)
    trial.forward()
    trial.sync()
    assert trial.ys is not None
    held = torch.cuda.memory_stats(device)["requested_bytes.all.current"] - _nbytes(trial.ys)
    trial.backward()
    trial.sync()
    peak = torch.cuda.memory_stats(device)
    return {
        "peak_memory_bytes": peak["allocated_bytes.all.peak"] - floor["allocated_bytes.all.current"],
        "peak_requested_bytes": peak["requested_bytes.all.peak"] - floor["requested_bytes.all.current"],
        "graph_bytes": held - floor["requested_bytes.all.current"],
    }


def _nbytes(*tensors: Tensor) -> int:
    return sum(_unique_bytes(t.untyped_storage() for t in tensors))


def _unique_bytes(storages: Iterable[torch.UntypedStorage]) -> Iterable[int]:
    return {storage.data_ptr(): storage.nbytes() for storage in storages}.values()
