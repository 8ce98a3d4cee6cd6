"""One line on stderr that is written over and over, and leaves nothing behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

from rich.cells import cell_len, set_cell_size

from odebench.report.screen import Screen

TICK = 1.0  # seconds between two looks at the clock; the parent sleeps in between
_ERASE = "\r\x1b[2K"


class LiveLine:
    """Shows `text(width)`, each second anew, while the context lasts; nothing where stderr is no terminal.

    Whoever else writes to the terminal erases the line first, under `lock`, and draws it again afterwards.
    """

    def __init__(self, screen: Screen, text: Callable[[int], str]) -> None:
        self.lock = threading.RLock()
        self._screen, self._text = screen, text
        self._drawn = 0  # cells of the line that is there
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None

    def start(self) -> None:
        """From now on it is there."""
        if self._screen.live_line:
            self._ticker = threading.Thread(target=self._tick, name="odebench-progress", daemon=True)
            self._ticker.start()
        self.draw()

    def draw(self) -> None:
        """Show it as it is now."""
        if self._ticker is None or self._over.is_set():
            return
        with self.lock:
            room = self._screen.line_width - 1  # the last column would wrap on some terminals
            text = self._text(room)
            text = text if cell_len(text) <= room else set_cell_size(text, room)
            self.erase()
            self._screen.tell(text)
            self._drawn = cell_len(text)

    def erase(self) -> None:
        """Take it away for now."""
        if self._ticker is None:
            return
        with self.lock:
            rows = (self._drawn - 1) // self._screen.line_width if self._drawn and _reflows() else 0
            # A terminal that was made narrower since has broken the line in several.
            self._screen.tell(f"\r\x1b[{rows}A\x1b[J" if rows else _ERASE)
            self._drawn = 0

    def __enter__(self) -> LiveLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        self.erase()

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            self.draw()


def _reflows() -> bool:
    """Whether the terminal breaks a line that it has become too narrow for. Of those in use only xterm does not."""
    return "XTERM_VERSION" not in os.environ
