"""The parts of the page that are text: what was run and on what, warnings, failures, what the figures mean."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from odebench.measure.metrics import MEANINGS
from odebench.page.markup import Html, element, joined
from odebench.page.sources import Source
from odebench.record import AXES, STATUSES, Record
from odebench.report import units
from odebench.report.advice import advice
from odebench.report.text import plain
from odebench.report.versions import notes_of
from odebench.rows import columns_of
from odebench.suite.loading import Suite

_VALUES = 24  # of one axis that are named; the suite below has them all
_CELLS = 20  # of one reason that are named; the table has them all


def runs(sources: Sequence[Source]) -> Html:
    """What was run, and on what: one article for each source."""
    return joined([_run(source) for source in sources])


def failures(records: Iterable[Record]) -> Html:
    """All that is not ok, by status and reason; what there is most of first."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status != "ok":
            groups.setdefault((record.status, record.reason), []).append(record)
    if not groups:
        return element("p", "Every cell is ok.")
    order = sorted(groups, key=lambda group: (STATUSES.index(group[0]), -len(groups[group])))
    return joined([_failure(status, reason, groups[status, reason]) for status, reason in order])


def counts(records: Iterable[Record]) -> str:
    """`152 cells: 143 ok, 8 diverged, 1 failed`."""
    found = Counter(record.status for record in records)
    told = [f"{found[status]} {_words(status)}" for status in STATUSES if found[status]]
    total = sum(found.values())
    return f"{total} cell{'' if total == 1 else 's'}: {', '.join(told)}"


def warnings(sources: Sequence[Source]) -> Html | None:
    """What to mind when reading these results; None where there is nothing."""
    told = [
        element(
            "li", element("strong", each.topic), f" in {source.label}" if len(sources) > 1 else None, f": {each.text}"
        )
        for source in sources
        for each in advice(source.records, source.machine)
    ]
    told += [element("li", note) for source in sources for note in notes_of(source.records)]
    return element("ul", told) if told else None


def meanings(records: Sequence[Record]) -> Html:
    """What each figure of the table is."""
    measured = {name for record in records for name in record.metrics}
    told = [name for name in columns_of(records) if name in measured and name in MEANINGS]
    return _facts({name: f"{MEANINGS[name][1]} ({MEANINGS[name][0]})" for name in told})


def _run(source: Source) -> Html:
    return element(
        "article",
        element("h3", source.label),
        element("p", f"{counts(source.records)}."),
        [_suite(source, name) for name in dict.fromkeys(each.cell.suite for each in source.records)],
        element("h4", "Measured on and with"),
        _facts(_measured(source)),
        class_="run",
    )


def _suite(source: Source, name: str) -> Html:
    suite = source.suite(name)
    records = [record for record in source.records if record.cell.suite == name]
    about = suite.description if suite else ""
    values = {axis: list(dict.fromkeys(str(getattr(each.cell, axis)) for each in records)) for axis in AXES}
    return joined(
        element("h4", "Suite ", plain(name)),
        element("p", plain(about)) if about else None,
        _facts({axis: _listed(each) for axis, each in values.items()}, "facts long"),
        _source(suite) if suite else None,
    )


def _listed(values: list[str]) -> str:
    """`lorenz`, or `2: lorenz, pendulum`."""
    rest = f" and {len(values) - _VALUES} more" if len(values) > _VALUES else ""
    return values[0] if len(values) == 1 else f"{len(values)}: {', '.join(values[:_VALUES])}{rest}"


def _source(suite: Suite) -> Html:
    from odebench.suite.yaml_source import dump_documents

    text = dump_documents([suite.to_data()])
    return element("details", element("summary", "The suite as it was run"), element("pre", element("code", text)))


def _measured(source: Source) -> dict[str, str]:
    """Facts of machine.json, and what the records tell of themselves."""
    started = sorted(record.started for record in source.records if record.started)
    span = list(dict.fromkeys([*started[:1], *started[-1:]]))
    facts = {_label(key): _told(key, each) for key, each in source.machine.items()}
    # Those of the records come first: a run that was resumed may be of several versions.
    own = {
        "started": " to ".join(span),
        "machine": _several(record.machine for record in source.records),
        "odebench": _several(record.version for record in source.records),
        "commit": _several(record.commit for record in source.records),
    }
    own = {key: told for key, told in own.items() if told}
    return {key: told for key, told in (own | facts | own).items() if told}


def _told(key: str, value: Any) -> str:
    """A value of machine.json on one line; the file may hold anything."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(name)} {told}" for name, each in value.items() if (told := _told(name, each)))
    if isinstance(value, list):
        return ", ".join(_told(key, each) for each in value)
    if key.endswith("_bytes") and type(value) in (int, float):
        return units.size(value)
    return "" if value is None else str(value)


def _label(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")


def _several(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _failure(status: str, reason: str, records: list[Record]) -> Html:
    named = [element("li", plain(record.cell.key)) for record in records[:_CELLS]]
    rest = len(records) - len(named)
    # In quotes as the filter of the table reads them.
    wanted = f"status={status} and reason={json.dumps(plain(reason), ensure_ascii=False)}"
    return element(
        "article",
        element("h3", f"{_words(status)}: {len(records)} cell{'' if len(records) == 1 else 's'}"),
        element("p", plain(reason) or "without a reason"),
        element(
            "details",
            element("summary", "Which"),
            element("ul", named, element("li", f"and {rest} more") if rest else None),
        ),
        element("button", "Show in the table", type="button", data_filter=wanted),
        class_=f"failure {status}",
    )


def _facts(facts: Mapping[str, str], kind: str = "facts") -> Html:
    rows = [element("div", element("dt", plain(key)), element("dd", plain(told))) for key, told in facts.items()]
    return element("dl", rows, class_=kind)


def _words(status: str) -> str:
    return status.replace("_", " ")
