"""Writes the reference in docs/commands.md from the command line itself: `make reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from marked import prose, table, update
from typer.main import get_command

from odebench.cli.app import app
from odebench.cli.exits import CODES

Command = Any  # of typer, whose classes are its own affair
_FLAGS = re.compile(r"(-{1,2}[\w-]+(?:, -{1,2}[\w-]+)*) ?(.*)")
_CHOICES = re.compile(r"<([^<>|]+(?:\|[^<>|]+)+)>")


def commands(command: Command, words: str = "odebench") -> Iterator[tuple[str, Command]]:
    """(its words, the command) of everything that can be called, in the order of `--help`."""
    for name, each in getattr(command, "commands", {}).items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{words} {name}")
        else:
            yield f"{words} {name}", each


def section(words: str, command: Command) -> str:
    """Heading, help, arguments and options of one command."""
    context = command.make_context(words, [], resilient_parsing=True)
    usage = " ".join([words, *command.collect_usage_pieces(context)])
    rows = [record for each in command.params if (record := each.get_help_record(context))]
    blocks = [f"### {words}", f"```text\n{usage}\n```", *_help(command.help), parameters(rows)]
    return "\n\n".join(blocks)


def _help(text: str) -> Iterator[str]:
    """The paragraphs of a help; those that typer does not wrap are lists to look at, examples among them."""
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith("\b\n"):
            yield prose(paragraph)
            continue
        title, _, rest = paragraph.removeprefix("\b\n").partition("\n")
        yield f"{title[0].upper()}{title[1:]}"
        lines = "\n".join(line.removeprefix("  ") for line in rest.splitlines())
        yield f"```text\n{lines}\n```"


def parameters(records: list[tuple[str, str]]) -> str:
    """The table of arguments and options, from their lines in `--help`."""
    rows = []
    for names, about in records:
        flags = _FLAGS.fullmatch(names)
        name, value = (flags[1], flags[2]) if flags else names.partition(" ")[::2]
        rows.append((f"`{name}`", _value(value), prose(about)))
    return table("name | takes | what it does", rows)


def _value(text: str) -> str:
    """What follows a name: choices, or a word for anything else; of the Python type of an argument nothing."""
    chosen = _CHOICES.fullmatch(text)
    if chosen:
        return ", ".join(f"`{each}`" for each in chosen[1].split("|"))
    return "" if text.startswith("<") else text and f"`{text}`"


def parts() -> dict[str, str]:
    """Everything that is made in docs/commands.md."""
    whole = get_command(app)
    context = whole.make_context("odebench", [], resilient_parsing=True)
    general = [record for each in whole.get_params(context) if (record := each.get_help_record(context))]
    codes = table("code | meaning", ((f"`{code}`", prose(meaning)) for code, meaning in CODES.items()))
    found = list(commands(whole))
    sections = "\n\n".join(section(words, command) for words, command in found)
    return {"overview": overview(found), "codes": codes, "general": parameters(general), "commands": sections}


def overview(found: list[tuple[str, Command]]) -> str:
    """The table of all commands, each with the way to its section."""
    rows = []
    for words, command in found:
        about = command.get_short_help_str(limit=200).rstrip(".")
        rows.append((f"[`{words}`](#{words.replace(' ', '-')})", prose(about)))
    return table("command | what it does", rows)


def main() -> None:
    """Bring docs/commands.md up to date."""
    update("commands.md", parts())


if __name__ == "__main__":
    main()
