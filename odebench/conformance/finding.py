"""What one check found. Torch-free: workers send it, the command line prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Verdict = Literal["pass", "fail", "skipped", "refused"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, the figure, the verdict, and, where it is not `pass`, what to do.

    `fail` is a claim that does not hold, `skipped` what could not be looked at here, `refused` what the solver or the
    gradient does not offer, in its own sentence. `value` is the figure as a number where it is one.
    """

    name: str
    figure: str
    verdict: Verdict
    advice: str = ""
    value: float | None = None

    @classmethod
    def judged(cls, name: str, figure: str, holds: bool, advice: str, value: float | None = None) -> Finding:
        """`pass` if it `holds`, else `fail` with the advice."""
        return cls(name, figure, "pass" if holds else "fail", "" if holds else advice, value)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Finding:
        """The inverse of `to_data`.

        Raises:
            ValueError: there is no such verdict.
        """
        found = cls(**data)
        if found.verdict not in get_args(Verdict):
            raise ValueError(f"no verdict is called {found.verdict!r}")
        return found

    def to_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
