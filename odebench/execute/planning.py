"""Suites -> plan, with every plugin kept out of this process: it may hang, crash or import torch when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odebench import machine
from odebench.errors import SuiteError, UsageError
from odebench.execute.crew import Crew, Job
from odebench.execute.originals import stand_ins
from odebench.plan import Plan, needs_isolation, prepare

PATIENCE = 120.0  # seconds for all plugins of a request to load


def make_request(request: Mapping[str, Any], stored: Path | None = None) -> dict[str, Any]:
    """`request` with what it leaves out: the number of GPUs, and the suites of a resumed folder."""
    full = {"plugins": [], "overrides": {}, "cuda_devices": machine.cuda_devices(), **request}
    if not full.get("suites") and stored is not None:
        full["suites"] = [str(stored)]
    if stored is not None:
        full["stand_ins"] = stand_ins(stored.parent)
    full["suites"] = [str(each) for each in full.get("suites", ())]
    if not full["suites"]:
        raise UsageError("no suite is named; name one, or a folder to resume")
    return full


def prepare_plan(request: Mapping[str, Any], crew: Crew | None = None) -> Plan:
    """The plan of `request`. Plugins are loaded in a worker, of `crew` if one is given.

    Raises:
        SuiteError: with every finding; a plugin that hangs or crashes when it is loaded is one.
    """
    full = make_request(request)
    answer = ask_apart("plan", full, crew) if needs_isolation(full) else prepare(full)
    if "findings" in answer:
        raise SuiteError(answer["findings"])
    return Plan.from_data(answer["plan"])


def ask_apart(job: str, payload: Mapping[str, Any], crew: Crew | None = None) -> dict[str, Any]:
    """The answer of a job that loads plugins, from a worker of `crew`, or from one for this question alone.

    Raises:
        SuiteError: a plugin hung, crashed, or raised what is no `UsageError`.
    """
    if crew is None:
        with Crew(preload=False) as own:
            return ask_apart(job, payload, own)
    crew.start(Job(job, payload, PATIENCE))
    (worker,) = crew.wait()
    if worker.status != "ok":
        raise SuiteError([f"a plugin fails: {worker.status}: {worker.reason}"])
    answer: dict[str, Any] = worker.answer.answer
    return answer
