"""Runs programs that were written for torchdiffeq, with it and with what stands in for it, and compares the two.

    python docs/programs/run.py --sources FOLDER [NAME …]

FOLDER has the clones that docs/programs/listing.py names, each at the commit that stands there. Without names all
programs are run. What is measured goes into docs/programs/measured.json, in place of what it says of the same
programs, and from there into docs/programs.md.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
LIMIT = 200.0  # seconds that one run of a case may take
# The folder of this script has drivers that are named like the programs they import.
sys.path[0] = str(DOCS)

import marked  # noqa: E402

from programs import tables  # noqa: E402
from programs.case import Case  # noqa: E402
from programs.comparing import Compared, Pair  # noqa: E402
from programs.listing import PROGRAMS, Program  # noqa: E402
from programs.records import MEASURED, read, replace  # noqa: E402
from programs.worker import SIDES, Answer, serve  # noqa: E402


class Workers:
    """A process for each side, of which one works at a time."""

    def __init__(self, name: str, program: Program, sources: Path, front: str, loud: bool) -> None:
        context = multiprocessing.get_context("spawn")
        folders = [sources / each for each in program.folders]
        self._ends, self._processes = {}, {}
        # Of each side: the cases by name, or the error's class, words and traceback.
        self.cases: dict[str, dict[str, Case] | tuple[str, str, str]] = {}
        for side in SIDES:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, side, name, folders, front, loud), daemon=True)
            process.start()
            theirs.close()
            self._ends[side] = ours
            self._processes[side] = process
            self.cases[side] = ours.recv()

    def run(self, side: str, case: str) -> Answer:
        if isinstance(why := self.cases[side], tuple):
            return Answer({}, 0, 0.0, f"{why[0]}: {why[1]}", why[2], ())
        try:
            self._ends[side].send(case)
            if self._ends[side].poll(LIMIT):
                return self._ends[side].recv()
        except (EOFError, BrokenPipeError):
            return Answer({}, 0, 0.0, "the process died", "", ())
        self._processes[side].kill()
        return Answer({}, 0, LIMIT, f"it ran for more than {LIMIT:g} s, and its process was stopped", "", ())

    def close(self) -> None:
        for end in self._ends.values():
            # One that found no cases has ended already.
            with contextlib.suppress(BrokenPipeError):
                end.send(None)
        for process in self._processes.values():
            process.join()


def compare(name: str, program: Program, sources: Path, front: str, seconds: float, loud: bool) -> list[Compared]:
    """Every case of a program: once for its values, then in alternating rounds for at most `seconds`."""
    workers, found = Workers(name, program, sources, front, loud), []
    listed = workers.cases["torchdiffeq"]
    if isinstance(listed, tuple):
        workers.close()
        found = [Compared(name, "import", None, f"{listed[0]}: {listed[1]}", where=listed[2])]
        print(found[0].line(), flush=True)
        return found
    for case, how in listed.items():
        first = {side: workers.run(side, case) for side in SIDES[:2]}
        truth = workers.run("truth", case) if how.truth else None
        pairs = []
        if not any(each.failure for each in first.values()):
            spent = sum(each.seconds for each in first.values())
            rounds = min(how.rounds, max(1, int(seconds / max(spent, 1e-9))))
            for turn in range(rounds):
                sides = SIDES[:2] if turn % 2 else SIDES[1::-1]
                times = {side: workers.run(side, case).seconds for side in sides}
                pairs.append(Pair(times["torchdiffeq"], times["odebench"]))
        found.append(Compared.of(name, case, how.rtol, first["torchdiffeq"], first["odebench"], truth, pairs))
        print(found[-1].line(), *([found[-1].where] if loud else []), flush=True)
    workers.close()
    return found


def conditions() -> str:
    """When and by what it is measured, in a sentence."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "torchdiffeq")}
    by = [f"odebench at {_commit()}", *(" ".join(each) for each in versions.items())]
    where = f"Python {platform.python_version()}, one thread of {os.cpu_count()} shared cores"
    return f"Measured {datetime.date.today()} by {', '.join(by)}; {where}."


def _commit() -> str:
    """The last commit that changed odebench itself, `-dirty` where what is measured differs from it."""
    git, package = ["git", "-C", str(DOCS.parent)], "odebench"
    head = subprocess.run([*git, "log", "-1", "--format=%h", "--", package], capture_output=True, text=True).stdout
    changed = subprocess.run([*git, "status", "--porcelain", "--", package], capture_output=True, text=True).stdout
    return f"{head.strip()}{'-dirty' if changed else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)}")
    parser.add_argument("--sources", type=Path, required=True, help="the folder with the clones")
    parser.add_argument("--front", default="odebench.torchdiffeq", help="the module that stands in for torchdiffeq")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the timed rounds of a case, at most")
    parser.add_argument("--loud", action="store_true", help="show what the programs print, and where they fail")
    parser.add_argument("--keep", type=Path, default=MEASURED, help="the file of what was measured, read and rewritten")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(PROGRAMS):
        parser.error(f"no program is called {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}")
    sources, how = arguments.sources.resolve(), conditions()
    for name in arguments.names or PROGRAMS:
        print(f"== {name}", flush=True)
        measured = compare(name, PROGRAMS[name], sources, arguments.front, arguments.seconds, arguments.loud)
        replace(arguments.keep, name, [dataclasses.replace(each, conditions=how) for each in measured])
    if arguments.keep == MEASURED:
        marked.update("programs.md", tables.parts(read(MEASURED)))


if __name__ == "__main__":
    main()
