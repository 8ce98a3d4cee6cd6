"""Ctrl-C at any moment of a command: exit code 130, and not a word of Python's.

Quick to import, because the first thing that a command does is to call `end_at_once`.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, what a shell shows of any program that Ctrl-C ended
_PATIENCE = 1.0  # seconds after the first Ctrl-C in which others are the same one: `timeout` and terminals send several
_AGAIN = 0.002  # seconds
_first: float | None = None  # when it was pressed; monotonic


def end_at_once() -> None:
    """From now on Ctrl-C ends the process: nothing has begun that would have to be finished."""
    # Who started the command with SIGINT ignored, as shells do in the background, wants it ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def end_in_order() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, once: what is under way is finished or taken back."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGALRM, _raise)
        signal.signal(signal.SIGINT, _raise)


def done() -> None:
    """From now on Ctrl-C is too late: the exit code is known, and Python only takes itself down."""
    # Python gives a handler of ours back to the system as it goes, and the system's ends the process by the signal.
    if signal.getsignal(signal.SIGINT) in (_end, _raise):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    global _first
    if _first is not None:
        if time.monotonic() > _first + _PATIENCE:
            os._exit(INTERRUPTED)  # what is being finished takes too long for somebody
        return
    if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        # Import locks are let go of in callbacks, where an exception is printed and lost.
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    _first = time.monotonic()
    raise KeyboardInterrupt
