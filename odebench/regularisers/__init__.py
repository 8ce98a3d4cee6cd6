"""What is added to a loss so that the model becomes cheap to solve. Importing this registers them, without torch."""

from __future__ import annotations

from odebench.regularisers import global_error, local, steer, structure, taynode, transport

__all__ = ["global_error", "local", "steer", "structure", "taynode", "transport"]
