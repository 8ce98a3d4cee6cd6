"""Where words go: data to stdout, everything else to stderr; colour and width as the terminal allows."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from odebench.report.layout import Line

# SGR numbers of the styles a `Line` is written in.
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


class Format(StrEnum):
    """What `--format` takes. `junit` is of verdicts, the two before it are of what one run measured."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"
    github_action_benchmark = "github-action-benchmark"
    bencher = "bencher"
    junit = "junit"


@dataclass(frozen=True)
class Screen:
    """The two streams of one command, looked up at each use so that a redirection is honoured.

    `color` None asks the terminal and the environment: NO_COLOR, FORCE_COLOR, TERM=dumb.
    """

    color: bool | None = None
    quiet: bool = False
    progress: bool = True

    @property
    def width(self) -> int | None:
        """Cells of a line on stdout; None in a pipe or a file, where lines may be as long as they like."""
        return (shutil.get_terminal_size().columns or 80) if sys.stdout.isatty() else None

    @property
    def line_width(self) -> int:
        """Cells of a line on stderr, which is asked itself: stdout may be a pipe, or another terminal."""
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    @property
    def together(self) -> bool:
        """Both streams go to the same place, so that what is on one need not be told on the other."""
        try:
            return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
        except (OSError, ValueError):  # closed, or in memory
            return False

    @property
    def live_rows(self) -> bool:
        """Rows may appear on stdout one by one."""
        return sys.stdout.isatty()

    @property
    def live_line(self) -> bool:
        """A line on stderr may be written over and over."""
        return self.progress and not self.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def data(self, text: str) -> None:
        """What the command was asked for."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines of a table on stdout."""
        color = self._colored(sys.stdout)
        self.data("".join(f"{painted(line) if color else line.text}\n" for line in lines))

    def note(self, text: str, style: str = "") -> None:
        """Something beside the data, on stderr; nothing when quiet."""
        if not self.quiet:
            self.complain(text, style)

    def complain(self, text: str, style: str = "") -> None:
        """An error, on stderr, quiet or not."""
        self.tell(f"{styled(text, style) if self._colored(sys.stderr) else text}\n")

    def tell(self, text: str) -> None:
        """Write to stderr as it is. A terminal that was closed is no reason not to end in good order."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def _colored(self, stream: TextIO) -> bool:
        if self.color is not None:
            return self.color
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return stream.isatty() and os.environ.get("TERM") != "dumb"


def painted(line: Line) -> str:
    """The line between escape sequences, with what stands out in a style of its own."""
    told, at = "", 0
    for start, stop, style in line.spans:
        told += styled(line.text[at:start], line.style) + styled(line.text[start:stop], style)
        at = stop
    return told + styled(line.text[at:], line.style)


def styled(text: str, style: str) -> str:
    """`text` between escape sequences; untouched without a style."""
    codes = ";".join(CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text
