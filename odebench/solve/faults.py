"""Errors that are also the ones torchdiffeq raises there, so that code which catches those goes on working."""

from __future__ import annotations

from odebench.errors import UnknownName, UsageError


class WrongValue(UsageError, ValueError):
    """An argument whose value makes no sense."""


class WrongType(UsageError, TypeError):
    """An argument of a type or dtype that makes no sense."""


class UnknownMethod(UnknownName, ValueError):
    """A method that odebench has not."""
