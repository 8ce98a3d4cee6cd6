"""What a worker is at, seen from what it has said so far."""

from __future__ import annotations

from odebench.execute.messages import Answer

_STAGES = (  # (the stage, the metric that ends it), in the order of `measure.cell`
    ("first call", "first_call_seconds"),
    ("counting", "nfe_forward"),
    ("checking", "gradient_error_discrete"),
    ("weighing", "peak_memory_bytes"),
)
TIMING, TRAINING = "timing", "training"


def stage_of(answer: Answer) -> str:
    """The gauge that a cell is under: what comes after the last metric that is there."""
    reached = max((at for at, (_, ends) in enumerate(_STAGES, 1) if ends in answer.metrics), default=0)
    return _STAGES[reached][0] if reached < len(_STAGES) else TIMING
