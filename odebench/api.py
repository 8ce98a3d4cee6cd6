"""The Python door to what `odebench run` does, and the request that both doors make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from odebench.record import Record
    from odebench.suite.select import Filter


def run(
    *suites: str | Path,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    where: str | None = None,
    plugins: Sequence[str | Path] = (),
    solvers: Sequence[str] = (),
    devices: Sequence[str] = (),
    repeats: int | None = None,
    timeout: float | None = None,
    jobs: int = 1,
) -> list[Record]:
    """Run suites, given as paths or names, and return one record for each cell.

    What the command does, without a terminal: `output` is a folder that is new or empty, `resume` one of an earlier
    run (then `suites` may be left out), `where` a filter such as `solver=alf and device!=cuda`. The other options
    are those of the command of the same names. A cell that fails is a record that says so, not an exception.

    Raises:
        SuiteError: a suite cannot be run; all findings at once.
        UsageError: an option is wrong, or the folder is.
        NothingSelected: the filter leaves no cell.
    """
    from odebench.execute.run import run_suites

    request = request_of(suites, plugins, solvers, devices, repeats, timeout)
    result = run_suites(
        request,
        output=None if output is None else Path(output),
        resume=None if resume is None else Path(resume),
        where=filter_of(where),
        jobs=jobs,
    )
    return list(result.records)


def request_of(
    suites: Sequence[str | Path],
    plugins: Sequence[str | Path] = (),
    solvers: Sequence[str] = (),
    devices: Sequence[str] = (),
    repeats: int | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """What is to be planned, as JSON-ready data. A solver written `FILE.py:NAME` adds its file to the plugins."""
    files, names = _split(solvers)
    overrides = {"solvers": names, "devices": list(devices), "repeats": repeats, "timeout": timeout}
    return {
        "suites": [str(suite) for suite in suites],
        "plugins": list(dict.fromkeys([*map(str, plugins), *files])),
        "overrides": {key: value for key, value in overrides.items() if value not in (None, [])},
    }


def filter_of(text: str | None) -> Filter | None:
    """The filter that `text` spells, or None.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    from odebench.registry import load_shipped
    from odebench.suite.select import Filter

    load_shipped()  # for aliases; a name of a plugin, which this process does not load, stands as it is
    return Filter.parse(text)


def spelling_of(text: str, what: str = "solver") -> str:
    """A name with options in the spelling of results: `{alf: {eta: 0.9}}` becomes `alf(eta=0.9)`, others stay.

    Raises:
        UsageError: it is a YAML mapping that is no name with options.
    """
    if not text.lstrip().startswith("{"):
        return text
    from odebench.spec import Spec
    from odebench.suite.yaml_source import read_value

    return str(Spec.from_data(read_value(text, what)))


def _split(solvers: Sequence[str]) -> tuple[list[str], list[str]]:
    files, names = [], []
    for text in solvers:
        file, colon, name = text.rpartition(".py:")
        if colon:
            files.append(f"{file}.py")
        names.append(spelling_of(name if colon else text))
    return files, names
