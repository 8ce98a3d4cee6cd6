"""The checks by name, and the worker's end of each. Torch-free until one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from odebench import registry
from odebench.conformance.finding import Finding
from odebench.spec import Spec

FIRST = "a step"  # where this fails, nothing else is tried
EXAMS = (
    "the state handed in", "order", "error estimate", "reversal", "shortcuts", "evaluations", "determinism",
    "states of any shape", "float32",
)  # fmt: skip
CUDA = "CUDA"


def answer(order: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """Run one check; what it has found so far is sent with every finding, so that a worker that dies leaves the rest.

    `order` holds `plugins`, `exam`, `solver`, and `gradient` with its `label` where the exam is of a gradient.
    """
    from odebench.conformance.grounds import Unsuited

    registry.load_builtins()
    for plugin in order["plugins"]:
        registry.load_plugin(plugin)
    found: list[dict[str, Any]] = []
    try:
        for finding in _findings(order):
            found.append(finding.to_data())
            send({"answer": found})
    except Unsuited as unsuited:
        found.append(Finding(order["exam"], str(unsuited), "skipped", "it solves none of the problems here").to_data())
    send({"answer": found})


def _findings(order: Mapping[str, Any]) -> Iterator[Finding]:
    from odebench.conformance import conduct, evaluations, inverse
    from odebench.conformance import gradient as gradients
    from odebench.conformance import order as orders

    spec = Spec.from_data(order["solver"])
    stepper = registry.solvers.build(spec)
    exam = order["exam"]
    if exam == "gradient":
        asked = Spec.from_data(order["gradient"])
        name = registry.gradients.get(asked.name).name
        return gradients.gradients(name, registry.gradients.build(asked), stepper, order["label"])
    if exam == "determinism":
        return conduct.repeats(stepper, registry.solvers.build(spec))
    if exam == "states of any shape":
        return conduct.shapes(stepper, spec)
    checks: dict[str, Callable[[Any], Iterator[Finding]]] = {
        FIRST: conduct.steps,
        "the state handed in": conduct.untouched,
        "order": orders.orders,
        "error estimate": orders.estimates,
        "reversal": inverse.reversals,
        "shortcuts": inverse.shortcuts,
        "evaluations": evaluations.evaluations,
        "float32": conduct.single,
        CUDA: conduct.on_cuda,
    }
    return checks[exam](stepper)
