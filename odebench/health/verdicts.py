"""Facts -> findings. Every limit stands here, with the reason for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from odebench.health import verdicts_gpu, verdicts_software
from odebench.health.examine import Facts
from odebench.health.finding import Finding, State
from odebench.health.floor import Floor
from odebench.report import units

# A cell computes in one thread while the parent sleeps, so what counts is whether a processor is free for it; but work
# on the others shares caches, memory and the heat budget with it.
_CROWDED = 0.25  # load per processor
_FREE = 1.0  # processors that are left
_STOLEN = (0.005, 0.03)  # share of time that the hypervisor gave away: to be minded, spoils
_HELD_BACK = 0.001  # share of time in which the control group had used up its quota
_BUSY = (0.98, 0.90)  # share of its time in which a computing process ran
_LITTLE = 2 << 30  # bytes of memory; torch, a worker and a graph of some size
_SWAPPED = 64 << 20  # bytes
_WARM = 85.0  # degrees Celsius from which processors slow down
_COARSE = 1e-6  # seconds between two ticks of the clock
_NOISY = (0.03, 0.10)  # relative change that two runs do not tell: the gate's margin; hopeless
_STEADY_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "xen")


def findings_of(facts: Facts) -> list[Finding]:
    """All of them, topic by topic."""
    checks: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
        _processor, _frequency, _clock, _load, _stolen, _memory, _power,
    )  # fmt: skip
    found = [finding for check in checks for finding in check(facts)]
    found += verdicts_gpu.findings_of(facts)
    found += verdicts_software.findings_of(facts)
    return found + [finding for floor in facts.floors for finding in _floor(floor)]


def _processor(facts: Facts) -> Iterator[Finding]:
    cpu, present = facts.processor, facts.processor.present
    of = f" of {present}" if present and present != cpu.usable else ""
    threads = ", two to a core" if cpu.smt else ""
    yield Finding("processor", "model", f"{cpu.model}, {cpu.usable}{of} usable{threads}", State.TOLD)
    if cpu.usable == 1:
        advice = "whatever else runs takes its time from the measured cell; leave the machine alone meanwhile"
        yield Finding("processor", "cores", "one processor only", State.MIND, advice)
    if facts.load.quota is not None:
        short = facts.load.quota < 1
        advice = "give the container at least one whole processor" if short else ""
        state = State.SPOILS if short else State.FINE
        yield Finding("processor", "quota", f"{facts.load.quota:.2g} processors' worth of time", state, advice)
    if cpu.virtual:
        advice = (
            "neighbours on the same host are not seen from here; repeat on another day before believing a few per cent"
        )
        yield Finding("processor", "machine", f"virtual: {cpu.virtual}", State.MIND, advice)


def _frequency(facts: Facts) -> Iterator[Finding]:
    cpu = facts.processor
    governors = ", ".join(cpu.governors)
    if not cpu.governors:
        hint = "the host decides" if cpu.virtual else "the system does not say"
        yield Finding("frequency", "governor", hint, State.UNKNOWN)
    elif cpu.governors == ("performance",):
        yield Finding("frequency", "governor", governors, State.FINE)
    else:
        saving = "powersave" in cpu.governors
        advice = "the frequency follows the load: sudo cpupower frequency-set -g performance"
        yield Finding("frequency", "governor", governors, State.SPOILS if saving else State.MIND, advice)
    if cpu.turbo is not None:
        advice = "the first cells run cooler and so faster than the last: switch turbo off where you compare times"
        yield (
            Finding("frequency", "turbo", "on", State.MIND, advice)
            if cpu.turbo
            else Finding("frequency", "turbo", "off", State.FINE)
        )
    yield from _heat(facts)


def _heat(facts: Facts) -> Iterator[Finding]:
    before, after = facts.before.heat_limited, facts.after.heat_limited
    if before is not None and after is not None and after > before:
        advice = "the processor slows down for heat: let it cool, and see to its fans"
        yield Finding("frequency", "heat", f"slowed down {after - before} times just now", State.SPOILS, advice)
    elif facts.processor.hottest is not None:
        warm = facts.processor.hottest >= _WARM
        advice = "let it cool before you measure" if warm else ""
        state = State.MIND if warm else State.FINE
        yield Finding("frequency", "heat", f"{facts.processor.hottest:.0f} °C", state, advice)


def _clock(facts: Facts) -> Iterator[Finding]:
    cpu = facts.processor
    tick = f"ticks of {units.seconds(cpu.resolution)}"
    figure = f"{cpu.clock}, {tick}" if cpu.clock else tick
    if cpu.resolution > _COARSE or (cpu.clock and cpu.clock not in _STEADY_CLOCKS):
        advice = "reading this clock is slow or coarse: prefer tsc, and cells of at least a millisecond"
        yield Finding("clock", "source", figure, State.MIND, advice)
    else:
        yield Finding("clock", "source", figure, State.FINE)


def _load(facts: Facts) -> Iterator[Finding]:
    load, cores = facts.load, facts.processor.usable
    if load.average is None:
        yield Finding("load", "last minute", "the system does not say", State.UNKNOWN)
    else:
        figure = f"{load.average:.2f} on {cores} processor{'s' * (cores != 1)}"
        state = State.FINE
        if load.average >= _CROWDED * cores:
            state = State.SPOILS if cores - load.average < _FREE else State.MIND
        advice = "" if state is State.FINE else "end what else runs, or wait until the load is near 0"
        yield Finding("load", "last minute", figure, state, advice)
    if load.busy:
        told = ", ".join(f"{each.name} ({each.pid}) {100 * each.share:.0f} %" for each in load.busy)
        advice = "of one processor each; end them or wait, for they share caches and memory with what is measured"
        yield Finding("load", "processes", told, State.MIND, advice)
    else:
        yield Finding("load", "processes", "none takes a tenth of a processor", State.FINE)


def _stolen(facts: Facts) -> Iterator[Finding]:
    before, after = facts.before, facts.after
    if before.stolen is not None and after.stolen is not None and before.ticks and after.ticks:
        share = (after.stolen - before.stolen) / max(after.ticks - before.ticks, 1.0)
        state = State.SPOILS if share >= _STOLEN[1] else State.MIND if share >= _STOLEN[0] else State.FINE
        advice = (
            "" if state is State.FINE else "the host runs other machines on this one's processors: find a quieter host"
        )
        yield Finding("load", "stolen", f"{100 * share:.1f} % of processor time", state, advice)
    if before.held_back is not None and after.held_back is not None and after.held_back > before.held_back:
        milliseconds = (after.held_back - before.held_back) / 1e3
        advice = "the container has used up its share of processor time: raise its limit"
        yield Finding("load", "held back", f"for {milliseconds:.0f} ms just now", State.SPOILS, advice)


def _memory(facts: Facts) -> Iterator[Finding]:
    load = facts.load
    if load.available is None or load.memory is None:
        yield Finding("memory", "available", "the system does not say", State.UNKNOWN)
    else:
        little = load.available < _LITTLE
        advice = "cells may run out of memory, or be swapped: end what holds it" if little else ""
        figure = f"{units.size(load.available)} of {units.size(load.memory)}"
        yield Finding("memory", "available", figure, State.MIND if little else State.FINE, advice)
    if load.swapped is not None and load.swapped >= _SWAPPED:
        advice = "what is read back from disk meanwhile is charged to whichever cell runs: free memory, then swapoff -a"
        yield Finding("memory", "swapped", units.size(load.swapped), State.MIND, advice)


def _power(facts: Facts) -> Iterator[Finding]:
    power = facts.power
    if power.plugged is not None:
        figure = f"{'plugged in' if power.plugged else 'on battery'}, {power.charge or 0:.0f} % charged"
        advice = "" if power.plugged else "on battery processors are throttled: plug it in"
        yield Finding("power", "battery", figure, State.FINE if power.plugged else State.SPOILS, advice)
    if power.profile:
        full = power.profile == "performance"
        advice = "" if full else "choose the profile performance: powerprofilesctl set performance"
        state = State.FINE if full else State.SPOILS if power.profile == "low-power" else State.MIND
        yield Finding("power", "profile", power.profile, state, advice)


def _floor(floor: Floor) -> Iterator[Finding]:
    topic = f"noise floor, {floor.device}"
    if floor.told is None or floor.between is None or floor.within is None or floor.busy is None:
        advice = "nothing can be measured until this is repaired"
        yield Finding(topic, "measured", floor.trouble or "nothing", State.SPOILS, advice)
        return
    middle = sorted(floor.medians)[len(floor.medians) // 2]
    yield Finding(
        topic, "one solve", f"{units.seconds(middle)}, in {len(floor.medians)} processes one after another", State.TOLD
    )
    yield Finding(topic, "in a process", f"blocks spread by {_percent(floor.within)}", State.TOLD)
    figure = f"consecutive medians differ by {_percent(floor.between)}, at most by {_percent(floor.told)}"
    yield Finding(topic, "between processes", figure, State.TOLD)
    state = State.SPOILS if floor.told >= _NOISY[1] else State.MIND if floor.told >= _NOISY[0] else State.FINE
    advice = "changes below this mean nothing in two tables; `odebench compare --suite` lets both sides take turns"
    yield Finding(topic, "can be told", f"changes above {_percent(floor.told)}", state, advice)
    state = State.SPOILS if floor.busy < _BUSY[1] else State.MIND if floor.busy < _BUSY[0] else State.FINE
    advice = "" if state is State.FINE else "the rest it waited for a processor: end what else runs"
    yield Finding(topic, "ran", f"{100 * floor.busy:.0f} % of its time", state, advice)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
