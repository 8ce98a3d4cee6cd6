"""What `check` does: names the suspects in a worker, tries each claim in a worker of its own, prints what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from odebench import machine
from odebench.conformance.examine import CUDA, EXAMS, FIRST
from odebench.conformance.finding import Finding
from odebench.errors import UsageError
from odebench.execute.crew import Crew, Job
from odebench.registry import Entry, gradients, load_builtins, load_plugin, loaded_plugins, solvers
from odebench.report.screen import Format, Screen
from odebench.spec import Spec
from odebench.types import Stepper

# Solvers that a gradient is tried through: without and with an estimate, with more state than y, that can be undone.
PARTNERS = (Spec("rk4"), Spec("dopri5"), Spec("alf"), Spec("coupled"), Spec("stormer_verlet"))
_STYLES = {"fail": "red", "skipped": "dim", "refused": "dim"}


@dataclass(frozen=True)
class Asked:
    """One `odebench check`, as it was asked for."""

    name: str
    plugins: tuple[str, ...] = ()
    timeout: float = 60.0
    only: tuple[str, ...] = ()  # beginnings of the names of checks; all of them if empty

    def wants(self, check: str) -> bool:
        """Whether this check is asked for."""
        return not self.only or check.startswith(self.only)


@dataclass(frozen=True)
class Suspect:
    """One solver or gradient that is checked, with the gradients or solvers it is tried with."""

    kind: str
    name: str
    spec: Any
    partners: tuple[str, ...] = ()


def perform(asked: Asked, screen: Screen, form: Format) -> int:
    """Check, and print; the exit code: 1 if a claim fails.

    Raises:
        UsageError: nothing is called so, or it cannot be loaded.
    """
    file, colon, name = asked.name.rpartition(".py:")
    if colon:
        asked = replace(asked, name=name, plugins=(*asked.plugins, f"{file}.py"))
    elif asked.name.endswith(".py"):
        asked = replace(asked, name="", plugins=(*asked.plugins, asked.name))
    results: list[tuple[Suspect, list[Finding]]] = []
    with Crew() as crew:
        for suspect in _suspects(crew, asked):
            found = []
            for finding in _examine(crew, asked, suspect):
                found.append(finding)
                if form is Format.table:
                    _show(screen, finding, title=f"{suspect.name} ({suspect.kind})" if len(found) == 1 else None)
            results.append((suspect, found))
    if form is not Format.table:
        screen.data(_as_json(results) if form is Format.json else _as_markdown(results))
    counts = Counter(finding.verdict for _, found in results for finding in found)
    screen.note(", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    return 1 if counts["fail"] else 0


def _suspects(crew: Crew, asked: Asked) -> list[Suspect]:
    order = {"name": asked.name, "plugins": list(asked.plugins)}
    crew.start(Job("odebench.cli.checking:name", order, asked.timeout))
    (worker,) = crew.wait()
    if worker.status != "ok":
        raise UsageError(f"{asked.name or asked.plugins[-1]} cannot be loaded: {worker.status}: {worker.reason}")
    answer = worker.answer.answer
    if "wrong" in answer:
        raise UsageError(answer["wrong"])
    return [Suspect(**{**each, "partners": tuple(each["partners"])}) for each in answer["suspects"]]


def name(order: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    """The worker's end: load the plugins, and say who is meant."""
    try:
        load_builtins()
        for plugin in order["plugins"]:
            load_plugin(plugin)
        send({"answer": {"suspects": [asdict(each) for each in _named(order["name"], order["plugins"])]}})
    except UsageError as error:
        send({"answer": {"wrong": str(error)}})


def _named(text: str, plugins: Sequence[str]) -> list[Suspect]:
    if not text:
        mine = loaded_plugins()[-1]
        own = [entry for room in (solvers, gradients) for entry in room if entry.name in mine.names]
        if not own:
            raise UsageError(
                f"{plugins[-1]} registers no solver and no gradient; decorate a class of it with @odebench.solver"
            )
        return [_suspect(entry, Spec(entry.name)) for entry in own]
    from odebench.cli.explain import find

    entry, spec = find(text)
    if entry.kind not in ("solver", "gradient"):
        raise UsageError(f"{text} is a {entry.kind}; check takes a solver or a gradient")
    return [_suspect(entry, spec)]


def _suspect(entry: Entry, spec: Spec) -> Suspect:
    from odebench.peers.peer import Peer

    room = solvers if entry.kind == "solver" else gradients
    built = room.build(spec)
    if isinstance(built, Peer):
        raise UsageError(f"{spec} is another library's; check is for odebench's own and yours, measure it in a suite")
    if entry.kind == "gradient":
        return Suspect("gradient", str(spec), spec.to_data(), tuple(str(each) for each in PARTNERS))
    partners = tuple(each.name for each in gradients if not any(o.required for o in each.options.values()))
    return Suspect("solver", str(spec), spec.to_data(), partners if isinstance(built, Stepper) else ())


def _examine(crew: Crew, asked: Asked, suspect: Suspect) -> Iterator[Finding]:
    plugins = list(asked.plugins)
    if suspect.kind == "gradient":
        for partner in suspect.partners:
            order = {"exam": "gradient", "solver": partner, "gradient": suspect.spec, "label": partner}
            if asked.wants(partner):
                yield from _try(crew, asked, {**order, "plugins": plugins})
        return
    order = {"plugins": plugins, "solver": suspect.spec}
    first = list(_try(crew, asked, {**order, "exam": FIRST}))
    yield from first
    if any(finding.name == FIRST and finding.verdict != "pass" for finding in first):
        return
    for exam in filter(asked.wants, EXAMS):
        yield from _try(crew, asked, {**order, "exam": exam})
    for partner in suspect.partners:
        if asked.wants(label := f"gradient {partner}"):
            yield from _try(crew, asked, {**order, "exam": "gradient", "gradient": partner, "label": label})
    if asked.wants(CUDA) and machine.cuda_devices() > 0:
        yield from _try(crew, asked, {**order, "exam": CUDA}, fresh=True)
    elif asked.wants(CUDA):
        yield Finding(CUDA, "no CUDA device", "skipped", "check it again where there is one")


def _try(crew: Crew, asked: Asked, order: Mapping[str, Any], fresh: bool = False) -> Iterator[Finding]:
    """The findings of one check. A worker that hangs, crashes or raises is one more."""
    crew.start(Job("odebench.conformance.examine:answer", order, asked.timeout, fresh=fresh, memory_share=0.8))
    (worker,) = crew.wait()
    for each in worker.answer.answer or ():
        yield Finding.from_data(each)
    if worker.status == "refused":
        yield Finding(str(order.get("label", order["exam"])), worker.reason, "refused")
    elif worker.status != "ok":
        advice = {
            "timed_out": "it hangs there, or needs --timeout SECONDS",
            "crashed": "the process died there; run that call by itself",
        }.get(worker.status, "it raised there; run that call by itself")
        label = str(order.get("label", order["exam"]))
        yield Finding(label, f"{worker.status.replace('_', ' ')}: {worker.reason}", "fail", advice)


def _show(screen: Screen, finding: Finding, title: str | None) -> None:
    from odebench.report.layout import Line
    from odebench.report.text import UNLIMITED, fold, plain

    lines = [Line(title, "bold")] if title else []
    width = screen.width or UNLIMITED
    told = fold(plain(f"{finding.name}: {finding.figure}"), width - 9, 2)
    heads = [f"{finding.verdict:<9}", *(" " * 9 for _ in told[1:])]
    lines += [Line(head + text, _STYLES.get(finding.verdict, "")) for head, text in zip(heads, told, strict=True)]
    if finding.advice:
        lines += [Line(f"{' ' * 9}{text}") for text in fold(plain(f"-> {finding.advice}"), width - 9, 3)]
    screen.lines(lines)


def _as_json(results: Sequence[tuple[Suspect, list[Finding]]]) -> str:
    from odebench.report.formats import json_text

    rows = [
        {"kind": suspect.kind, "name": suspect.name, "findings": [finding.to_data() for finding in found]}
        for suspect, found in results
    ]
    return json_text({"format": 1, "checks": rows})


def _as_markdown(results: Sequence[tuple[Suspect, list[Finding]]]) -> str:
    from odebench.report.formats import inert
    from odebench.report.text import plain

    blocks = []
    for suspect, found in results:
        lines = [f"**{inert(plain(suspect.name))}** ({suspect.kind})", ""]
        lines += ["| check | figure | verdict | what to do |", "| :-- | :-- | :-- | :-- |"]
        for each in found:
            cells = (each.name, each.figure, each.verdict, each.advice)
            lines.append(f"| {' | '.join(inert(plain(cell)) for cell in cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
