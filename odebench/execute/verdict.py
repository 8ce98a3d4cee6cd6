"""How a worker ended, as a status and one sentence."""

from __future__ import annotations

import errno
import re
import signal
import sysconfig
import traceback
from pathlib import Path

from odebench.errors import Divergence, OdebenchError, Refusal
from odebench.execute.messages import Answer

_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|std::bad_alloc|RESOURCE_EXHAUSTED|"
    r"STATUS_ALLOC_FAILED|not enough memory",
    re.IGNORECASE,
)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_HERE = str(Path(__file__).parent)
_OURS = str(Path(__file__).parents[1])
_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
Frame = tuple[str, int, str]  # file, line, function


def of_exception(error: BaseException) -> tuple[str, str]:
    """(status, reason) of a worker's job that raised; asked in the worker itself."""
    if isinstance(error, Refusal):
        return "refused", sentence(str(error))
    if isinstance(error, Divergence):
        return "diverged", sentence(str(error) or "the solution is not finite")
    if isinstance(error, OdebenchError):
        return "failed", sentence(str(error))
    frames = [(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    where = culprit(frames[::-1])
    told = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
    reason = sentence(told) + (f" ({Path(where[0]).name}:{where[1]})" if where else "")
    if isinstance(error, FloatingPointError):
        return "diverged", reason
    return ("out_of_memory" if _is_memory(error) else "failed"), reason


def of_end(answer: Answer, code: int, output: str, faults: str, *, starved: bool) -> tuple[str, str]:
    """(status, reason) of a worker that ended by itself.

    Args:
        answer: what it said.
        code: its exit code, or minus the signal that killed it.
        output: the end of what it printed.
        faults: what faulthandler wrote.
        starved: the kernel killed something for lack of memory meanwhile.
    """
    if answer.garbage:
        return "failed", f"the worker's answer cannot be read: {answer.garbage}"
    if answer.failed:
        return answer.failed
    if answer.done:
        return "ok", ""
    where, words = _within(faults), _last_words(output)
    if code >= 0:
        return "crashed", f"the worker exited with code {code} before it answered{words}"
    if code == -signal.SIGKILL and starved:
        return "out_of_memory", "the kernel killed the worker for lack of memory"
    told = f"killed by signal {-code} ({_signal(-code)}){where}{words}"
    return ("out_of_memory" if code == -signal.SIGABRT and _NO_MEMORY.search(output) else "crashed"), told


def of_timeout(timeout: float, faults: str) -> tuple[str, str]:
    """(status, reason) of a worker that was killed after `timeout` seconds."""
    return "timed_out", f"not finished after {timeout:g} s{_within(faults, '; it was')}"


def culprit(frames: list[Frame]) -> Frame | None:
    """The frame to name, of those given innermost first: in a plugin, else in odebench, else the innermost."""
    ours = [frame for frame in frames if frame[0].startswith(_OURS) and not frame[0].startswith(_HERE)]
    foreign = [
        frame
        for frame in frames
        if not frame[0].startswith((_OURS, "<frozen", *_LIBRARIES)) and Path(frame[0]).suffix == ".py"
    ]
    return next(iter(foreign or ours or frames), None)


def sentence(text: str, longest: int = 300) -> str:
    """`text` on one line of at most `longest` characters, without what a terminal would act upon."""
    line = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # torch's own class by name: a worker whose job never imported torch need not import it to fail.
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(_text(error))))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"(its message raised {type(second).__name__})"


def _within(faults: str, before: str = "") -> str:
    *_, last = faults.rpartition("(most recent call first)")
    where = culprit([(file, int(line), function) for file, line, function in _FRAME.findall(last)])
    return f"{before} in {where[2]} ({Path(where[0]).name}:{where[1]})" if where else ""


def _last_words(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return f"; it last printed: {sentence(lines[-1], 120)}" if lines else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
