"""What foreign code tells of a solve: a library its own counts, a plugin its metrics. Their faults are notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from odebench import registry
from odebench.measure.count import Counts
from odebench.measure.subject import Subject
from odebench.peers.peer import Peer
from odebench.types import Trial

Send = Callable[[dict[str, Any]], None]

_LONGEST = 300  # characters of a note


def compare(subject: Subject, counts: Counts, library: Peer, send: Send) -> None:
    """Our counts against the library's own; its steps stand where a count from outside cannot see any."""
    name = library.module.LIBRARY
    try:
        reported = subject.reported()
    except Exception as error:  # of bookkeeping that nothing else hangs on
        send({"notes": [f"what {name} counts itself cannot be had: {_sentence(error)}"]})
        return
    counted = counts.metrics()
    differing = [
        f"{name} reports {what} {told}, counted {counted[what]}"
        for what, told in reported.items()
        if counted.get(what, told) != told
    ]
    unseen = {what: told for what, told in reported.items() if what not in counted}
    send({"settings": {"reported": reported} if reported else {}, "metrics": unseen, "notes": differing})


def ask_plugins(trial: Trial, send: Send) -> None:
    """The metrics of plugins; where one fails the cell keeps its other figures."""
    for entry in registry.metrics:
        if entry.source == "odebench":
            continue
        try:
            figure = float(entry.factory(trial))
        except (Exception, SystemExit) as error:
            send({"notes": [f"metric {entry.name} failed: {_sentence(error)}"]})
        else:
            send({"metrics": {entry.name: figure}})
        finally:
            trial.clear()


def _sentence(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")[:_LONGEST]
