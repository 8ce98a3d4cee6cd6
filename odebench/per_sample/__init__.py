"""Steps that every sample of a batch takes by itself: searched, walked again, and gone back over."""

from __future__ import annotations

from odebench.per_sample.rounds import Again, Round, Rounds
from odebench.per_sample.search import search
from odebench.per_sample.steps import follow

__all__ = ["Again", "Round", "Rounds", "follow", "search"]
