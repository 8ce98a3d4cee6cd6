"""docs/suites.md, commands.md, metrics.md and results.md: what is made from the code in them is what it says now."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from odebench.cli.app import app
from odebench.record import COLUMNS, STATUSES
from odebench.registry import load_shipped, metrics, registries
from odebench.suite.grammar import KEYS, MEASURES, OF_TRAINING, TRAININGS
from odebench.suite.loading import shipped_suites

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = ("suites", "commands", "metrics", "results")
ENDS = {">", "|", "&&"}

load_shipped()


def script(name: str) -> ModuleType:
    """docs/NAME.py, which finds those beside it as it does when it is run."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def marked() -> ModuleType:
    return script("marked")


def commands() -> Iterator[tuple[str, Any]]:
    """(words, command) of everything that can be called."""
    left: list[tuple[str, Any]] = [("odebench", get_command(app))]
    while left:
        words, command = left.pop()
        below = getattr(command, "commands", {})
        left += [(f"{words} {name}", each) for name, each in below.items()]
        if not below:
            yield words, command


@pytest.mark.parametrize("page", PAGES)
def test_what_is_made_from_the_code_stands_on_the_page(page: str, marked: ModuleType) -> None:
    made, standing = script(page).parts(), marked.parts_of(f"{page}.md")
    assert set(made) == set(standing)
    stale = [name for name in made if made[name] != standing[name]]
    assert not stale, f"docs/{page}.md is not what the code says, in {', '.join(stale)}: run make reference"


def test_everything_that_a_suite_can_say_is_in_the_reference() -> None:
    text = (DOCS / "suites.md").read_text(encoding="utf-8")
    keys = [*KEYS, *OF_TRAINING, *(f"measure.{key}" for key in MEASURES), *(f"train.{key}" for key in TRAININGS)]
    kinds = [registry for kind, registry in registries.items() if kind != "metric"]
    entries = [entry for registry in kinds for entry in registry if entry.source == "odebench"]
    names = [name for entry in entries for name in (entry.name, *entry.aliases, *entry.options)]
    lacking = [name for name in (*keys, *names, *shipped_suites()) if f"`{name}`" not in text]
    assert lacking == []


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    found = dict(commands())
    assert len(found) > 12
    for words, command in found.items():
        assert f"\n### {words}\n" in text
        own = text.partition(f"\n### {words}\n")[2].partition("\n### ")[0]
        for each in command.params:
            assert each.name == "help" or f"`{', '.join(each.opts)}`" in own or f"`{each.metavar}`" in own


def test_every_example_of_a_help_is_taken_by_the_command_line() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^Examples:\n\n```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 30
    for line in lines:
        program, *words = shlex.split(line)
        words = words[: next((index for index, word in enumerate(words) if word in ENDS), len(words))]
        assert program == "odebench"
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        command.make_context(program, words)


def test_every_metric_column_and_status_has_its_line() -> None:
    told = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`", told, re.MULTILINE)
    assert sorted(rows) == sorted(entry.name for entry in metrics if entry.source == "odebench")
    results = (DOCS / "results.md").read_text(encoding="utf-8")
    assert [name for name in (*COLUMNS, *STATUSES) if f"`{name}`" not in results] == []


def test_what_is_written_by_hand_stays_and_a_missing_place_is_told(
    marked: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marked, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("by hand\n\n<!-- made by docs/x.py: a -->\nold\n<!-- end -->\n\nby hand, too\n")
    marked.update("page.md", {"a": "new\\1"})
    assert page.read_text() == "by hand\n\n<!-- made by docs/x.py: a -->\n\nnew\\1\n\n<!-- end -->\n\nby hand, too\n"
    with pytest.raises(ValueError, match="there are no marks of 'b'"):
        marked.update("page.md", {"a": "new", "b": "more"})
    with pytest.raises(ValueError, match="nothing is made for the marks of 'a'"):
        marked.update("page.md", {})


def test_words_of_the_code_show_as_they_are(marked: ModuleType) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    words = "q'' = -mu·q/|q|³, ||y(t1) - y*(t1)|| / ||y*(t1)||, 2 * vjp, _f_ < 1, W_1, `a_b*c`"
    table = marked.table("what", [[marked.prose(words)]])
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(table)
    cell = re.search(r"<td>(.*)</td>", html)
    assert cell is not None
    assert cell[1] == words.replace("<", "&lt;").replace("`a_b*c`", "<code>a_b*c</code>")
