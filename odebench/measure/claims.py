"""What a problem of a plugin claims of its field, looked at where the field can be asked: after all is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odebench.integrate import timed
from odebench.measure.trial import NativePair, TorchTrial
from odebench.types import Structured, Trial

Send = Callable[[dict[str, Any]], None]


def look_at_structure(trial: Trial, send: Send) -> None:
    """A note where the scheme counts on a structure that the problem declares and its field has not.

    The figures stand: the errors beside them are against the truth, and show what came of it.
    """
    if not (isinstance(trial, TorchTrial) and isinstance(trial.pair, NativePair)):
        return
    stepper, bound = trial.pair.stepper, trial.pair.bound
    if not isinstance(stepper, Structured):
        return
    fault = stepper.structure_fault(timed(bound.f, bound.y0), bound.ts[0], bound.y0)
    if fault is not None:
        send(
            {
                "notes": [
                    f"the problem declares itself separable, and {fault}; the scheme loses its order and undoes no step"
                ]
            }
        )
