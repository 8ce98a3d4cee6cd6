"""All that `explain` can explain, as a list: what is registered, and the words around it. Torch-free and quick."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from odebench.cli import glossary
from odebench.cli.exits import CODES
from odebench.record import ALIASES
from odebench.registry import registries
from odebench.suite.words import KEYS

# Kind -> its heading in the list of all, in the order of that list; the kinds of the registries among them.
KINDS = {
    "problem": "problems",
    "solver": "solvers",
    "gradient": "gradients",
    "stepping": "steppings",
    "workload": "models, of suites with `kind: train`",
    "regulariser": "regularisers, of suites with `kind: train`",
    "library": "other libraries, and what of theirs is measured",
    "suite": "suites that ship",
    "key": "keys of a suite",
    "metric": "figures of a row",
    "column": "other columns of a row",
    "columns": "short names of columns",
    "group": "groups of metrics, in --fail-on",
    "status": "how a cell can end",
    "verdict": "verdicts of compare, check and a dry run",
    "state": "what doctor says",
    "figure": "kinds of figures, in plot and report",
    "exit": "exit codes",
}


@dataclass(frozen=True)
class Topic:
    """One name, and the first words about it. Of what is registered `explain` knows more than this."""

    kind: str
    name: str
    about: str
    aliases: tuple[str, ...] = ()


def topics() -> Iterator[Topic]:
    """In the order of `KINDS`; `registry.load_builtins` or `load_shipped` comes first, and is called if it did not."""
    from odebench.registry import load_shipped

    load_shipped()
    for kind in KINDS:
        yield from _of_kind(kind)


def _of_kind(kind: str) -> Iterator[Topic]:
    if kind in registries:
        yield from (Topic(kind, each.name, each.summary, each.aliases) for each in registries[kind])
    elif kind in _SOURCES:
        yield from _SOURCES[kind]()
    else:
        yield from (Topic(kind, name, about) for name, about in _TABLES[kind].items())


def _libraries() -> Iterator[Topic]:
    from odebench.peers.roster import LIBRARIES

    for name in LIBRARIES:
        module = importlib.import_module(f"odebench.peers.{name}")
        yield Topic("library", name, f"{len(module.METHODS)} methods of {module.LIBRARY}.")


def _suites() -> Iterator[Topic]:
    from odebench.suite.loading import shipped_suites

    # Their descriptions are in YAML, which takes longer to read than all the rest.
    yield from (Topic("suite", name, "A suite that ships.") for name in shipped_suites())


def _keys() -> Iterator[Topic]:
    for name, about in KEYS.items():
        bare = name.rpartition(".")[2]
        yield Topic("key", name, about, (bare,) if bare != name and bare not in KEYS else ())


def _figures() -> Iterator[Topic]:
    from odebench.figures.kinds import KINDS as FIGURES

    yield from (Topic("figure", name, f"{kind.summary}.") for name, kind in FIGURES.items())


_SOURCES = {"library": _libraries, "suite": _suites, "key": _keys, "figure": _figures}
_TABLES: dict[str, Mapping[str, str]] = {
    "column": glossary.COLUMNS,
    "columns": {name: f"{', '.join(columns)}." for name, columns in ALIASES.items() if name not in glossary.GROUPS},
    "group": glossary.GROUPS,
    "status": glossary.STATUSES,
    "verdict": glossary.VERDICTS,
    "state": glossary.STATES,
    "exit": {str(code): f"{meaning[0].upper()}{meaning[1:]}." for code, meaning in CODES.items()},
}
