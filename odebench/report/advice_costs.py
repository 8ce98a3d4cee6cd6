"""What to mind about times and memory: others at work, gauges that differ, floors, too few repeats."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from odebench.record import Record
from odebench.report.advice_case import Case, Results

_RUNNING = 0.9  # share of its time that a computing process has a processor, undisturbed; as comparisons demand
_CROWDED = 1.0  # load per processor before a run; half of it may be the run before
_FLOOR = 4.0  # times its own gradient that every method holds, or nearly
_INTERVAL = 6  # repeats, the fewest that give a 95 % interval of the median
_GAUGES = {
    "cpu": "live tensor bytes on the CPU",
    "cuda": "the allocator's peak on the GPU, in blocks",
    "xla": "XLA's layout of compiled code (diffrax)",
}


def load(results: Results) -> Iterator[Case]:
    """A process that does not run all of its time waits for others."""
    shares = [(record, share) for record in results.records if (share := _share(record)) is not None]
    waited = [(record, share) for record, share in shares if share < _RUNNING]
    if waited:
        record, share = min(waited, key=lambda each: each[1])
        at_a_time = max(int(each.settings.get("jobs", 1)) for each, _ in waited)
        cure = "run without --jobs" if at_a_time > 1 else "end what else runs, see `odebench doctor`"
        yield Case(
            "load",
            [each for each, _ in waited],
            record,
            f"times were taken while others had the processor, {{such}}: it ran {100 * share:.0f} % of its time; "
            f"{cure}, and measure again before you compare times",
        )
        return
    before, cores = results.machine.get("load_average"), results.machine.get("cores")
    timed = [record for record in results.records if "wall_seconds" in record.metrics]
    if before and cores and timed and before[0] >= _CROWDED * cores:
        yield Case(
            "load",
            timed,
            timed[0],
            f"the machine was busy when the run began, {before[0]:.1f} processes on {cores} processors: "
            "times may be too long; see `odebench doctor`, and measure again when it is quiet",
        )


def _share(record: Record) -> float | None:
    """Of the time of its solves, that in which the process ran; None where nothing tells, as of several threads."""
    samples, threads = record.samples, record.settings.get("threads")
    if record.cell.device != "cpu" or threads != 1 or not samples.get("cpu_seconds"):
        return None
    walls = [there + back for there, back in zip(samples["forward"], samples["backward"], strict=True)]
    shares = [cpu / wall for cpu, wall in zip(samples["cpu_seconds"], walls, strict=True) if wall > 0]
    return median(shares) if shares else None


def gauges(results: Results) -> Iterator[Case]:
    """Bytes of different gauges are different things."""
    weighed = [record for record in results.records if "peak_memory_bytes" in record.metrics]
    by_problem: dict[Any, dict[str, Record]] = {}
    for record in weighed:
        by_problem.setdefault((record.cell.suite, record.cell.problem), {}).setdefault(_gauge(record), record)
    mixed = {place: gauges for place, gauges in by_problem.items() if len(gauges) > 1}
    if not mixed:
        return
    gauges = {name: record for found in mixed.values() for name, record in found.items()}
    words = [_GAUGES[name] for name in _GAUGES if name in gauges]
    cure = "compare memory within one library" if "xla" in gauges else "between devices compare peak_requested_bytes"
    found = [record for record in weighed if (record.cell.suite, record.cell.problem) in mixed]
    example = next(gauges[name] for name in reversed(_GAUGES) if name in gauges)
    text = f"peak_memory_bytes comes from {'two' if len(words) == 2 else 'three'} gauges: {', '.join(words)}; {cure}"
    yield Case("gauges", found, example, text)


def _gauge(record: Record) -> str:
    if record.cell.solver.name.startswith("diffrax."):
        return "xla"
    return "cpu" if record.cell.device == "cpu" else "cuda"


def floor(results: Results) -> Iterator[Case]:
    """Where the gradient itself, which every method holds, is most of what was weighed; or blocks of a GPU are."""
    found = []
    for record in results.records:
        peak, own = record.metrics.get("peak_memory_bytes"), record.settings.get("gradient_bytes")
        if peak is not None and own and _gauge(record) != "xla" and peak < _FLOOR * own:
            found.append((record, peak / own))
    if found:
        record, ratio = min(found, key=lambda each: each[1])
        yield Case(
            "floor",
            [each for each, _ in found],
            record,
            f"peak memory is hardly more than the gradients that every method returns, {{such}}: {ratio:.1f} times as "
            "much, which hides what the method holds; take a larger batch, or more steps",
        )
    blocks = [record for record in results.records if _is_rounded_up(record)]
    if blocks:
        yield Case(
            "floor",
            blocks,
            blocks[0],
            "peak memory is mostly the GPU allocator's rounding to blocks of 512 bytes, {such}; compare "
            "peak_requested_bytes, or take a larger batch",
        )


def _is_rounded_up(record: Record) -> bool:
    peak, requested = (record.metrics.get(name) for name in ("peak_memory_bytes", "peak_requested_bytes"))
    return peak is not None and requested is not None and requested < peak / 2


def repeats(results: Results) -> Iterator[Case]:
    """Order statistics bracket a median from six samples on."""
    found = [record for record in results.records if 0 < record.metrics.get("repeats", 0) < _INTERVAL]
    if found:
        fewest = min(found, key=lambda record: record.metrics["repeats"])
        repeats = int(fewest.metrics["repeats"])
        yield Case(
            "repeats",
            found,
            fewest,
            f"times have no interval, {{such}}: {repeats} repeat{'s are' if repeats > 1 else ' is'} too few; compare "
            f"them from --repeats {_INTERVAL} on",
        )
