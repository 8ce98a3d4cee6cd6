"""What a peer's method is, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One method of another library. `twin` is odebench's own solver with the same coefficients, if there is one."""

    order: int
    error_order: int | None = None  # power of dt with which its error estimate shrinks; None if it makes none
    adaptive: bool = False
    fixed: bool = False
    twin: str | None = None
    note: str = ""
