"""The models people train. Importing this registers them; nothing here imports torch."""

from __future__ import annotations

from odebench.workloads import odenet

__all__ = ["odenet"]
