"""Warnings that point at the line that called odebench, however many calls of odebench's own lie between."""

from __future__ import annotations

import sys
import warnings


def warn_caller(message: str) -> None:
    """A UserWarning at the innermost line that is not odebench's."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("odebench."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
