"""The noise floor: the same small solve again and again, in one process after another, with nothing changed (A/A)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from math import expm1, log
from statistics import median
from typing import Any

from odebench.compare.evidence import spread
from odebench.errors import OdebenchError
from odebench.execute.crew import Crew, Job

SECONDS = 10.0  # for all of it, the start of torch included
_EACH = 0.6  # seconds of solves in one process
_FEWEST, _MOST = 4, 16  # processes
_PATIENCE = 120.0  # seconds for one process
_JOB = "odebench.measure.steadiness:measure_steadiness"


@dataclass(frozen=True)
class Floor:
    """What was measured; all but `trouble` is empty where it could not be.

    Of the processes of one run the medians differ by what a process happens to get (addresses, pages) and by what the
    machine does meanwhile, so that repeats inside one process say too little.
    """

    device: str
    medians: tuple[float, ...] = ()  # seconds of one solve, one of each process
    within: float | None = None  # spread of blocks about their process's median, relative
    between: float | None = None  # by how much consecutive medians differ, relative; the median of all
    told: float | None = None  # the most of these: of two runs of one cell, one after the other, less tells nothing
    busy: float | None = None  # share of the time in which the process ran, median of all blocks
    torch: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""


def measure_floor(device: str = "cpu", seconds: float = SECONDS) -> Floor:
    """Start workers until `seconds` are over, as a run does: forked for the CPU, fresh ones for a GPU."""
    began = time.monotonic()
    answers: list[dict[str, Any]] = []
    try:
        with Crew() as crew:
            while len(answers) < _MOST and (len(answers) < _FEWEST or time.monotonic() - began + _EACH < seconds):
                payload = {"device": device, "seconds": _EACH}
                crew.start(Job(_JOB, payload, _PATIENCE, fresh=device != "cpu"))
                (worker,) = crew.wait()
                if worker.status != "ok":
                    return Floor(device, trouble=f"{worker.status}: {worker.reason}")
                answers.append(worker.answer.answer)
    except OdebenchError as error:
        return Floor(device, trouble=str(error))
    return floor_of(device, answers)


def floor_of(device: str, answers: list[dict[str, Any]]) -> Floor:
    """The figures of what workers answered."""
    medians = tuple(median(each["blocks"]) for each in answers)
    about = [log(block / middle) for each, middle in zip(answers, medians, strict=True) for block in each["blocks"]]
    # No deviation of them: a processor that is shared has two speeds, and no bell curve between.
    apart = [abs(log(later / earlier)) for earlier, later in pairwise(medians)]
    busy = median(share for each in answers for share in each["busy"])
    within, between, told = map(expm1, (spread(about), median(apart), max(apart)))
    return Floor(device, medians, within, between, told, busy, answers[0]["torch"])
