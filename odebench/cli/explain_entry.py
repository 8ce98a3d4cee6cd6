"""The page of one solver, gradient, problem, metric, model or stepping. Torch-free."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from odebench.cli.aligned import aligned
from odebench.cli.explain_peer import libraries_with, peer_facts
from odebench.errors import OdebenchError
from odebench.peers.peer import Peer
from odebench.registry import SPAN, Entry, Option, gradients, solvers, steppings
from odebench.report.text import fold
from odebench.solvers.reach import outside
from odebench.spec import Spec
from odebench.suite.options import default_of, describe
from odebench.types import Stepper

# N steps of an s-stage scheme: (memory held until the backward pass, evaluations of f in it, exact?)
LAWS = {
    "direct": ("the graph of all steps: grows with N * s", "none", "yes, to rounding"),
    "adjoint": ("one evaluation's graph and one augmented state", "those of the solve back", "no: discretised anew"),
    "interpolated": (
        "one evaluation's graph, one augmented state, and N states; two steps' slopes while going back",
        "those of the solve back; and in each step looked into its stages anew where the scheme has an interpolant of "
        "its own, else one where its states hold no slopes",
        "no: discretised anew",
    ),
    "aca": ("one step's graph, and N states", "s * N", "yes, to rounding"),
    "recursive": (
        "one step's graph, and `checkpoints` states",
        "s * N, and s for each step retaken: with c checkpoints no step more than r times, r the least with "
        "binomial(c + r, c) >= N",
        "yes, to rounding",
    ),
    "reversible": (
        "one step's graph",
        "about N with alf and reversible_heun, 2 * s * N with coupled",
        "yes, as far as rounding lets the steps be undone",
    ),
    "symplectic": ("one evaluation's graph, and N states", "(2 * s - 1) * N", "yes, to rounding"),
    "forward": (
        "one evaluation's graph and d + 1 states, and as many at each saved time, for d derivatives",
        "none; each one of the forward pass carries d + 1 products with its Jacobian",
        "yes, to rounding",
    ),
}


def entry_page(entry: Entry, spec: Spec, width: int = 80) -> str:
    """Everything there is to say about `entry`, configured as `spec`."""
    built = built_of(entry, spec)
    facts = [("aliases", ", ".join(entry.aliases)), *_facts(entry, built), ("reference", entry.reference)]
    if entry.source != "odebench":
        facts.append(("from", entry.source))
    blocks = [[f"{spec} ({entry.kind})"]]
    blocks += [fold(paragraph, width, 0) for paragraph in _paragraphs(entry, built)]
    blocks.append(aligned([(key, value) for key, value in facts if value], width))
    if entry.options:
        blocks.append(["options", *aligned([(n, option_words(o)) for n, o in entry.options.items()], width)])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def peer_of(entry: Entry) -> Peer | None:
    """The method of another library that `entry` makes, if it does; nothing of a plugin's is built."""
    built = built_of(entry, Spec(entry.name)) if entry.kind == "solver" and entry.source == "odebench" else None
    return built if isinstance(built, Peer) else None


def option_words(option: Option) -> str:
    """Type and default in words."""
    if option.required:
        return f"{describe(option.type)}; must be given"
    default = default_of(option)
    spelt = str(default).lower() if isinstance(default, bool) else str(default)  # as YAML has it
    told = "the problem's own" if option is SPAN else "none" if default is None else spelt
    return f"{describe(option.type)}; default: {told}"


def built_of(entry: Entry, spec: Spec) -> Any:
    """What the entry makes, or None where it cannot be made without options or without torch."""
    if entry.kind == "problem":
        return None
    try:
        return entry.build(dict(spec.options))
    except OdebenchError:
        return None


def _paragraphs(entry: Entry, built: Any) -> Iterator[str]:
    """The docstrings, without what they say about errors."""
    seen: list[str] = []
    # A metric and a peer are all in their factory's docstring; what other factories make may have more to say.
    alone = entry.kind == "metric" or built is None or isinstance(built, Peer)
    sources = (entry.factory,) if alone else (entry.factory, type(built))
    for source in sources:
        text = re.split(r"\n\s*(?:Raises|Returns|Args):", inspect.getdoc(source) or entry.summary)[0]
        for paragraph in (" ".join(lines.split()) for lines in text.split("\n\n")):
            # Factory and class often open with the same words, then say more or less.
            if paragraph and not any(each.startswith(paragraph.partition(":")[0]) for each in seen):
                seen.append(paragraph)
                yield paragraph


def _facts(entry: Entry, built: Any) -> list[tuple[str, str]]:
    if isinstance(built, Peer):
        return peer_facts(built)
    if entry.kind == "solver" and built is not None:
        return _solver_facts(built)
    if entry.kind == "gradient" and built is not None:
        memory, backward, exact = LAWS.get(entry.name, ("", "", ""))
        law = [("memory", memory), ("backward", backward and f"evaluations of f: {backward}"), ("exact", exact)]
        return law + _answers(built, solvers) + _libraries(entry)
    if entry.kind == "stepping" and built is not None:
        return _answers(built, solvers) + _libraries(entry)
    if entry.kind == "metric" and built is not None and hasattr(built, "unit"):
        return [("unit", built.unit)]
    return []


def _solver_facts(stepper: Any) -> list[tuple[str, str]]:
    tableau = getattr(stepper, "tableau", None)
    error = stepper.error_order
    facts = [("order", str(stepper.order)), ("error order", "no error estimate" if error is None else str(error))]
    if tableau is not None:
        facts.append(("stages", str(len(tableau.b))))
        facts.append(("fsal", "yes: the last stage is the next step's first" if tableau.fsal else "no"))
    counted = _evaluations(stepper)
    if counted is not None:
        start, step = counted
        facts.append(("evaluations", f"{step} per step{f', and {start} to start with' if start else ''}"))
    if (nodes := outside(stepper)) is not None:
        facts.append(("nodes", f"up to {nodes}: f is asked outside of the span"))
    facts.append(("reversible", "yes: a step can be undone" if hasattr(stepper, "unstep") else "no"))
    taken, refused = [], []
    for gradient in gradients:
        reason = _refusal(gradient, stepper)
        if reason is None:
            taken.append(gradient.name)
        else:
            refused.append((f"not {gradient.name}", reason))
    reason = next((r for e in steppings if (r := _refusal(e, stepper)) is not None), None)
    facts += [("gradients", ", ".join(taken)), *refused]
    return facts if reason is None else [*facts, ("not adaptive", reason)]


def _answers(judge: Any, others: Any) -> list[tuple[str, str]]:
    """Which solvers a gradient or a stepping takes, of those walked here: other libraries walk by themselves."""
    taken: list[str] = []
    refused: list[str] = []
    for entry in others:
        stepper = built_of(entry, Spec(entry.name))
        if isinstance(stepper, Stepper):
            (taken if judge.refusal(stepper) is None else refused).append(entry.name)
    return [("solvers", "all" if not refused else ", ".join(taken)), ("not with", ", ".join(refused))]


def _libraries(entry: Entry) -> list[tuple[str, str]]:
    """Which other libraries have a gradient or a stepping."""
    peers = [peer for each in solvers if (peer := peer_of(each)) is not None]
    return [("libraries", ", ".join(libraries_with(entry, peers)))]


def _refusal(entry: Entry, stepper: Any) -> str | None:
    # `fixed` wants a number of steps before it can be asked; any will do.
    built = built_of(entry, Spec.of(entry.name, {"steps": 1} if entry.name == "fixed" else {}))
    answer = built.refusal(stepper) if built is not None else None
    return answer if answer is None else str(answer)


class _Ghost:
    """Stands for a tensor where only the calls of f are counted: whatever is done with it gives it back."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_args, **_options: self

    def _same(self, *_others: Any) -> _Ghost:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __neg__ = _same


def _evaluations(stepper: Any) -> tuple[int, int] | None:
    """(calls of f to start, calls of f in one step), counted; None for a scheme that needs real tensors."""
    calls = 0

    def f(_t: Any, _y: Any) -> Any:
        nonlocal calls
        calls += 1
        return _Ghost()

    try:
        state = stepper.init(f, 0.0, _Ghost())
        start = calls
        getattr(stepper, "advance", lambda *args: stepper.step(*args).state)(f, 0.0, 1.0, state)
    except Exception:  # of a plugin's scheme, which may do anything with what it takes for a tensor
        return None
    return start, calls - start
