"""What one name means: the pages of `odebench explain`, and the list of all that have one. Torch-free."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import groupby

from odebench.api import spelling_of
from odebench.cli.aligned import aligned
from odebench.cli.explain_entry import entry_page, option_words
from odebench.cli.explain_peer import library_facts
from odebench.cli.topics import KINDS, Topic, topics
from odebench.errors import UsageError, did_you_mean
from odebench.registry import Entry, registries
from odebench.report.text import fold
from odebench.spec import Spec
from odebench.suite.options import canonical
from odebench.suite.spelling import parse
from odebench.suite.words import about_option

_LISTED = ("problems", "solvers", "gradients", "stepping", "workloads", "regularisers")  # keys that name registries


def find(name: str) -> tuple[Entry, Spec]:
    """The one entry of a registry that `name` means, and the spec with its options: `rk4`, `mali`, `alf(eta=0.9)`.

    Raises:
        UsageError: nothing is called so, or several things are, or its options are wrong.
    """
    chosen, bare = _split(name)
    found = _entry(bare, chosen, name)
    if found is None:
        raise _unknown(bare, chosen, [topic for topic in topics() if topic.kind in registries])
    return found


def page(name: str, width: int = 80) -> str:
    """Everything there is to say about one name: of a registry first, then of all else.

    Raises:
        UsageError: see `find`.
    """
    chosen, bare = _split(name)
    words = [each for each in topics() if each.kind not in registries]
    # `cannot tell` and `3` are no spellings of anything registered.
    odd = any(bare == each.name and not each.name.isidentifier() for each in words)
    entry = None if odd else _entry(bare, chosen, name)
    if entry is not None:
        others = [each for each in words if each.name == entry[0].name and chosen is None]
        return entry_page(*entry, width) + "".join(f"\nalso: {each.kind}:{each.name}\n" for each in others)
    option = _option(bare, chosen, width)
    return option if option is not None else _topic(bare, chosen, width)


def index(width: int = 80) -> str:
    """All that can be explained, kind by kind."""
    usage = "odebench explain NAME; KIND:NAME where several things are called so; NAME.OPTION for an option"
    lines = [*fold(usage, width, 2), ""]
    for kind, group in groupby(topics(), key=lambda topic: topic.kind):
        # Methods of other libraries are listed by their library.
        names = [topic.name for topic in group if kind != "solver" or "." not in topic.name]
        lines += [f"{kind}: {KINDS[kind]}", *(f"  {line}" for line in fold(", ".join(names), width - 2, 0)), ""]
    return "\n".join(lines[:-1]) + "\n"


def _entry(name: str, chosen: str | None, asked: str) -> tuple[Entry, Spec] | None:
    """The one entry that `name` means, and the spec with its options: `rk4`, `mali`, `alf(eta=0.9)`; None if none."""
    if chosen is not None and chosen not in registries:
        return None
    data = parse(spelling_of(name, "name"))
    bare = data if isinstance(data, str) else next(iter(data))
    among = registries if chosen is None else {chosen: registries[chosen]}
    found = [(kind, entry) for kind, registry in among.items() for entry in registry if bare in _names(entry)]
    if len(found) > 1:
        kinds = [kind for kind, _ in found]
        raise UsageError(f"{bare!r} is a {' and a '.join(kinds)}; write {' or '.join(f'{k}:{asked}' for k in kinds)}")
    if not found:
        return None
    ((_, entry),) = found
    return entry, canonical(entry.kind, data) if isinstance(data, dict) else Spec(entry.name)


def _option(name: str, chosen: str | None, width: int) -> str | None:
    """The page of one option, `alf.eta`; None where there is no such."""
    owner, _, option = name.rpartition(".")
    among = [registries[chosen]] if chosen in registries else [] if chosen else list(registries.values())
    entries = [entry for registry in among for entry in registry if owner in _names(entry) and option in entry.options]
    if len(entries) != 1:
        return None
    (entry,) = entries
    about = fold(about_option(entry, entry.options[option]) or entry.summary, width, 0)
    facts = [("type", option_words(entry.options[option])), ("of", f"{entry.kind} {entry.name}")]
    return _joined([f"{entry.name}.{option} (option)"], about, aligned(facts, width))


def _topic(name: str, chosen: str | None, width: int) -> str:
    known = [each for each in topics() if chosen in (None, each.kind)]
    found = [each for each in known if name == each.name] or [each for each in known if name in each.aliases]
    if len(found) > 1:
        raise UsageError(f"{name!r} is several things; write {' or '.join(f'{e.kind}:{e.name}' for e in found)}")
    if not found:
        raise _unknown(name, chosen, known)
    (topic,) = found
    more = _MORE[topic.kind](topic) if topic.kind in _MORE else []
    return _joined([f"{topic.name} ({topic.kind})"], fold(topic.about, width, 0), aligned(more, width) if more else [])


def _unknown(name: str, chosen: str | None, known: list[Topic]) -> UsageError:
    hint = did_you_mean(name, [each for topic in known for each in (topic.name, *topic.aliases)])
    place = f"`odebench list {chosen}s`" if chosen in registries else "`odebench explain`"
    what = f"no {chosen}" if chosen else "nothing"
    return UsageError(f"{what} is called {name!r}{hint or f'; {place} shows what there is'}")


def _split(name: str) -> tuple[str | None, str]:
    """(kind, name) of `gradient:adjoint`."""
    kind, colon, rest = name.partition(":")
    return (kind, rest.strip()) if colon and kind in KINDS else (None, name)


def _joined(*blocks: list[str]) -> str:
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.name, *entry.aliases)


def _of_library(topic: Topic) -> list[tuple[str, str]]:
    return library_facts(importlib.import_module(f"odebench.peers.{topic.name}"), topic.name)


def _of_suite(topic: Topic) -> list[tuple[str, str]]:
    from odebench.suite.loading import shipped_suites
    from odebench.suite.yaml_source import read_documents

    path = shipped_suites()[topic.name]
    facts: list[tuple[str, str]] = []
    for document in read_documents(path):
        facts.append(("asks", str(document.data.get("description", ""))))
        for key in _LISTED:
            facts += [(key, ", ".join(str(Spec.from_data(each)) for each in document.data.get(key, ()) if each))]
    return [(name, text) for name, text in (*facts, ("file", str(path))) if text]


def _of_key(topic: Topic) -> list[tuple[str, str]]:
    """What stands below a key, and an example of it."""
    from odebench.suite.words import KEYS

    below = [name for name in KEYS if name.startswith(f"{topic.name}.")]
    example = EXAMPLES.get(topic.name, "")
    return [(name, text) for name, text in (("for instance", example), ("below it", ", ".join(below))) if text]


def _of_columns(topic: Topic) -> list[tuple[str, str]]:
    from odebench.compare.policy import GROUPS

    return [("holds", ", ".join(GROUPS[topic.name]))]


def _of_figure(topic: Topic) -> list[tuple[str, str]]:
    from odebench.figures.kinds import KINDS as FIGURES

    costs = FIGURES[topic.name].costs
    facts = [("draw it", f"odebench plot RESULTS --kind {topic.name} -o fig.pdf")]
    return facts + ([("against", ", ".join(costs))] if costs else [])


EXAMPLES = {
    "problems": "problems: [van_der_pol, {mlp: {dim: 16, hidden: 64}}]",
    "solvers": "solvers: [dopri5, alf, {coupled: {base: rk4, coupling: 0.999}}]",
    "gradients": "gradients: [direct, adjoint, {recursive: {checkpoints: 8}}]",
    "stepping": "stepping: [{fixed: {steps: 100}}, {adaptive: {rtol: 1e-5, atol: 1e-6}}]",
    "exclude": "exclude: [{solver: alf, stepping: adaptive}]",
    "measure": "measure: {repeats: 10, warmup: auto, timeout: 120}",
    "measure.match_error": "measure: {match_error: 1e-6}",
    "plugins": "plugins: [my_solver.py]",
    "train": "train: {steps: 200, optimiser: adam, lr: 1e-3}",
}
_MORE: dict[str, Callable[[Topic], list[tuple[str, str]]]] = {
    "library": _of_library, "suite": _of_suite, "key": _of_key, "group": _of_columns, "figure": _of_figure,
}  # fmt: skip
