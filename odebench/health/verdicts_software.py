"""Findings about what computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from odebench.health.finding import Finding, State

if TYPE_CHECKING:
    from odebench.health.examine import Facts

_PINNING = ("OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def findings_of(facts: Facts) -> list[Finding]:
    """Versions, then what the environment tells the libraries."""
    return [*_versions(facts), *_threads(facts)]


def _versions(facts: Facts) -> Iterator[Finding]:
    tools = facts.software
    yield Finding("software", "odebench", f"{tools.odebench}, Python {tools.python}", State.TOLD)
    if not tools.torch:
        yield Finding("software", "torch", "not installed", State.SPOILS, "nothing can be measured: pip install torch")
    else:
        yield Finding("software", "torch", f"{tools.torch}{_build(facts)}", State.TOLD)
    for library in tools.libraries:
        if library.version:
            yield Finding("software", library.name, library.version, State.FINE)
        else:
            advice = f"its cells will be refused: {library.install}"
            yield Finding("software", library.name, "not installed", State.MIND, advice)


def _build(facts: Facts) -> str:
    """What torch said of itself, where it was asked."""
    said = next((floor.torch for floor in facts.floors if floor.torch), None)
    if said is None:
        return ""
    words = [f"CUDA {said['cuda']}" if said["cuda"] else "for CPUs", said["capability"]]
    words += [name for name, there in (("OpenMP", said["openmp"]), ("MKL", said["mkl"])) if there]
    return f" ({', '.join(words)})"


def _threads(facts: Facts) -> Iterator[Finding]:
    told = facts.software.environment
    counts = {name: told[name] for name in _COUNTS if name in told}
    shown = ", ".join(f"{name}={value}" for name, value in counts.items()) or "no variable sets them"
    yield Finding("threads", "cells", f"`measure.threads`, 1 unless a suite says more; {shown}", State.FINE)
    many = [value for value in counts.values() if value.isdecimal() and int(value) > facts.processor.usable]
    if many:
        advice = "more threads than processors take turns: unset it (cells are not concerned, your own training is)"
        yield Finding("threads", "too many", f"{max(many, key=int)} for {facts.processor.usable}", State.MIND, advice)
    for name in _PINNING:
        if told.get(name, "false").lower() not in ("false", ""):
            advice = "threads are tied to processors, several workers perhaps to the same: unset it"
            yield Finding("threads", "pinned", f"{name}={told[name]}", State.MIND, advice)
    if told.get("CUDA_LAUNCH_BLOCKING", "0") not in ("0", ""):
        advice = "each kernel is waited for, which is slower by much: unset it"
        yield Finding("threads", "launches", "CUDA_LAUNCH_BLOCKING is set", State.SPOILS, advice)
