"""Step sizes: fixed, adaptive by I, PI or PID control, and the replay of a recorded mesh. Importable without torch."""

from __future__ import annotations

from odebench.controllers.adaptive import Adaptive, largest, rms
from odebench.controllers.carrying import Carrying
from odebench.controllers.fixed import Fixed, Replay
from odebench.registry import Entry, steppings

__all__ = ["Adaptive", "Carrying", "Fixed", "Replay", "largest", "rms"]

steppings.add(Entry("stepping", "fixed", Fixed, "Equal steps: `steps` of them, or steps of length `dt`"))
steppings.add(
    Entry(
        "stepping",
        "adaptive",
        Adaptive,
        "Steps chosen by the estimated local error, with I, PI or PID control",
        "K. Gustafsson, ACM TOMS 17 (1991); G. Söderlind, ACM TOMS 29 (2003)",
    )
)
