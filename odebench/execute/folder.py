"""Where results go, and whether a folder can be gone on with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from odebench.errors import UsageError
from odebench.execute.crew import Crew
from odebench.execute.planning import make_request, prepare_plan
from odebench.plan import Plan
from odebench.store import MACHINE, RECORDS, SUITE, key_of
from odebench.suite.loading import Suite
from odebench.suite.select import Filter


def choose(output: Path | None, suites: Sequence[Suite]) -> Path:
    """The folder of a new run: `output` if it is given, which must be new or empty, else one named after the suites.

    The latter is made here: of runs that start at the same moment, in whatever threads or processes, each has its own.

    Raises:
        UsageError: `output` is in use, or no folder can be made.
    """
    if output is not None:
        if os.path.exists(output) and not output.is_dir():
            raise UsageError(f"-o {output}: is a file; name a new folder")
        if os.path.isdir(output) and not _is_empty(output):
            raise UsageError(f"-o {output}: is not empty; to go on with the run in it: odebench run --resume {output}")
        return output
    names = "+".join(dict.fromkeys(re.sub(r"[^\w.-]+", "_", suite.name) for suite in suites))[:80]
    stem = f"{names}-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}"
    tries = (Path("results", stem if number == 1 else f"{stem}-{number}") for number in count(1))
    return next(path for path in tries if _make(path))


def _make(path: Path) -> bool:
    """Make the folder; whether it was not there yet."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if path.parent.is_dir():
            return False
        raise UsageError(f"{path.parent}: is a file, and results go into a folder of that name; use -o") from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror or error}; name another folder with -o"
        ) from error
    return True


@dataclass(frozen=True)
class Resumed:
    """A folder that an earlier run left; `suite` is its suite.yaml, or None if that run did not get so far."""

    folder: Path
    suite: Path | None

    def filter(self) -> Filter | None:
        """The filter that run had, which `--resume` without suites keeps."""
        try:
            text = json.loads((self.folder / MACHINE).read_text(encoding="utf-8"))["run"]["filter"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Filter.parse(text) if text else None

    def check(self, plan: Plan, request: Mapping[str, Any], crew: Crew) -> None:
        """Make sure that every cell of that run is in `plan`.

        Raises:
            UsageError: some are not; the message names one.
        """
        if self.suite is None:
            return
        stored = make_request({"suites": [str(self.suite)], "cuda_devices": request["cuda_devices"]}, self.suite)
        now = {key_of(each.cell) for each in plan.cells}
        lost = [each.cell for each in prepare_plan(stored, crew).cells if key_of(each.cell) not in now]
        if lost:
            raise UsageError(
                f"{self.folder}: {len(lost)} of the cells it was started with would not be run now, such as "
                f"{lost[0].key} of suite {lost[0].suite}; resume it without naming a suite, or start a new folder"
            )


def resumable(folder: Path, named: bool) -> Resumed:
    """The folder to go on with. Missing or empty, it is started afresh if suites are `named`.

    Raises:
        UsageError: there is nothing to resume, or it is no results folder.
    """
    # Not Path.exists, which raises for a name that no file can have.
    if os.path.exists(folder) and not folder.is_dir():
        raise UsageError(f"--resume {folder}: is a file; name the folder that holds it")
    if os.path.isfile(folder / SUITE):
        return Resumed(folder, folder / SUITE)
    if os.path.isdir(folder) and not _is_empty(folder):
        raise UsageError(f"--resume {folder}: is not a results folder: it has no {SUITE}")
    if not named:
        raise UsageError(f"--resume {folder}: holds no {SUITE}, so there is nothing to resume; name the suite as well")
    return Resumed(folder, None)


def _is_empty(folder: Path) -> bool:
    """Whether a run can start there: what one leaves that is killed in its first moment does not count."""
    return all(
        path.name.startswith(".") or (path.name == RECORDS and path.stat().st_size == 0) for path in folder.iterdir()
    )
