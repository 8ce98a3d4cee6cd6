"""The command `doctor`: what would spoil a measurement here."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odebench.cli.options import AsJson, Devices, NoColor
from odebench.report.screen import Screen

if TYPE_CHECKING:
    from odebench.health.examine import Facts
    from odebench.health.finding import Finding
    from odebench.report.layout import Line

# State -> (symbol, style); the word stands beside them, for those who see neither.
_LOOKS = {
    "fine": ("✓", "dim"),
    "mind": ("!", "bold"),
    "spoils": ("✗", "red"),
    "unknown": ("?", "dim"),
    "told": ("·", ""),
}


def doctor(
    device: Devices = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the noise floor, which takes ten seconds.")] = False,
    json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What would spoil a measurement on this machine, and how small a change can be told on it. Always exits 0.

    The noise floor is one small solve, timed in one process after another with nothing changed; of the devices named,
    or of the CPU. What is found is told, and gates nothing: a script reads `state` of each finding with --json.

    \b
    examples:
      odebench doctor
      odebench doctor --quick --json
      odebench doctor --device cuda
    """
    from odebench.health.examine import examine
    from odebench.health.verdicts import findings_of

    screen = Screen(False if no_color else None)
    devices = tuple(dict.fromkeys(_device(each) for each in device or ("cpu",)))
    if not quick and not json:
        screen.note(f"measuring the noise floor for ten seconds{' on each device' * (len(devices) > 1)} …", "dim")
    facts = examine(() if quick else devices)
    findings = findings_of(facts)
    if json:
        screen.data(json_.dumps(data_of(facts, findings), indent=1, ensure_ascii=False) + "\n")
    else:
        screen.lines(lines_of(findings, screen.width))


def data_of(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """For programs: the findings, and what they were drawn from."""
    from dataclasses import asdict

    return {"findings": [asdict(each) for each in findings], "facts": facts.to_data()}


def lines_of(findings: Sequence[Finding], width: int | None = None) -> Iterator[Line]:
    """Topic by topic: a symbol, a word, the name and the figure; below them what to do."""
    from odebench.report.layout import Line
    from odebench.report.text import UNLIMITED, fold, plain

    left = max(len(each.name) for each in findings)
    indent = 2 + 2 + len("unknown") + 2 + left + 2
    room = max((width or UNLIMITED) - indent, 24)
    for topic, group in groupby(findings, key=lambda each: each.topic):
        yield Line(topic, "bold cyan")
        for each in group:
            symbol, style = _LOOKS[each.state]
            first, *rest = fold(plain(each.figure), room, 0)
            yield Line(f"  {symbol} {each.state:<7}  {each.name:<{left}}  {first}".rstrip(), style)
            more = [*rest, *(fold(plain(each.advice), room, 0) if each.advice else [])]
            yield from (Line(" " * indent + text, style) for text in more)
    yield Line("")
    yield from (Line(text, "bold") for text in fold(_summary(findings), width or UNLIMITED, 0))


def _summary(findings: Sequence[Finding]) -> str:
    spoils = sum(each.state == "spoils" for each in findings)
    mind = sum(each.state == "mind" for each in findings)
    if not spoils and not mind:
        return "nothing here spoils a measurement"
    words = [f"{spoils} thing{'s spoil' if spoils > 1 else ' spoils'} them"] if spoils else []
    words += [f"{mind} {'are' if mind > 1 else 'is'} to be minded"] if mind else []
    return f"times: {', '.join(words)}; counts, bytes and errors are not concerned"


def _device(text: str) -> str:
    from odebench import machine
    from odebench.errors import UsageError
    from odebench.suite.grammar import DEVICE

    if not DEVICE.fullmatch(text):
        raise UsageError(f"--device: expected cpu, cuda, cuda:N or auto; got {text!r}")
    if text != "auto":
        return text
    return "cuda" if machine.cuda_devices() else "cpu"
