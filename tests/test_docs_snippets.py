"""Every command and every snippet of the README and of docs/ is run, page by page, as a reader would run it.

In a folder of its own each page's blocks are taken in order:

* `console`: what follows `$ ` is run by bash and has to succeed. The lines below are what it prints, all of them there,
  but for numbers, which differ between machines, and for what `…` stands for.
* `python`: run, all of a page as one script, when its commands are done; with a first line `# name.py` it becomes that
  file instead.
* `yaml`: a suite, or a part of one, and has to be valid; with a first line `# name.yaml` it becomes that file.
* `text`: something to look at.

Whatever takes too long or needs what is not here says so in the line above it: `<!-- not run: why -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from odebench.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: (.+?) -->\n+)?^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?|\binf\b|\bnan\b")
# What a suite must have, for parts of suites.
REST = {
    "name": "part",
    "problems": "[linear_decay]",
    "solvers": "[rk4, dopri5, alf]",
    "stepping": "[{fixed: {steps: 4}}]",
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    excuse: str

    @property
    def file(self) -> str | None:
        """The file that it is, by its first line."""
        found = re.match(r"# ([\w./-]+\.(?:py|yaml))\n", self.text)
        return found and found[1]

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command, with the lines that it is said to print."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
        return found


def blocks(page: Path) -> list[Block]:
    return [Block(language, text, excuse) for excuse, language, text in BLOCK.findall(page.read_text("utf-8"))]


def plain(line: str) -> str:
    """A line of output as far as it is the same on every machine; `*` marks the best, which may be a matter of time."""
    return " ".join(re.sub("─+", "─", NUMBER.sub("#", line)).replace("*", " ").split())


class Reader:
    """Somebody who does what a page says, in `folder`."""

    def __init__(self, folder: Path) -> None:
        bin_ = folder / ".bin"
        bin_.mkdir()
        command = bin_ / "odebench"  # of this Python
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m odebench "$@"\n')
        command.chmod(0o755)
        own = {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        self.folder, self.environment, self.script = folder, os.environ | own | {"OMP_NUM_THREADS": "1"}, ""

    def read(self, page: Path) -> None:
        for block in blocks(page):
            if not block.excuse:
                self.take(block)
        if self.script:  # all of a page's Python at once, so that torch is imported once
            (self.folder / "page.py").write_text(self.script, encoding="utf-8")
            self.run(f"{shlex.quote(sys.executable)} page.py")

    def take(self, block: Block) -> None:
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        getattr(self, block.language)(block)

    def console(self, block: Block) -> None:
        for command, expected in block.commands:
            printed = self.run(command)
            lines = {plain(line) for line in printed.splitlines()}
            missing = [line for line in expected if "…" not in line and plain(line) not in lines]
            assert not missing, f"$ {command}\nprinted\n{printed}\nand not\n" + "\n".join(missing)

    def python(self, block: Block) -> None:
        compile(block.text, block.file or "snippet", "exec")
        if block.file is None:
            self.script += block.text

    def yaml(self, block: Block) -> None:
        path = Path(block.file or "part.yaml")
        if block.file is None:
            rest = [f"{key}: {value}\n" for key, value in REST.items() if f"\n{key}:" not in f"\n{block.text}"]
            (self.folder / path).write_text("".join(rest) + block.text, encoding="utf-8")
        self.run(f"odebench validate {path}")

    def text(self, block: Block) -> None:
        assert not re.search(r"^\$ ", block.text, re.MULTILINE), "a command in a block of text is not run"

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"$ {command}\nended with {done.returncode}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def readers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[None]]]:
    """The pages that are asked for, each being read: two at a time, for most of it is waiting for processes."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = {call.params["page"] for call in calls if call is not None and "page" in call.params}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            page: pool.submit(Reader(tmp_path_factory.mktemp(page.stem)).read, page) for page in PAGES if page in wanted
        }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_who_does_what_the_page_says_gets_what_it_shows(page: Path, readers: dict[Path, Future[None]]) -> None:
    readers[page].result()


def test_every_block_is_run_or_says_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    found = [(page, block) for page in PAGES for block in blocks(page)]
    for page in PAGES:
        fences = re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), f"{page.name} has a block that is not seen here"
    known = ("console", "python", "yaml", "text")
    odd = [(page.name, block.language) for page, block in found if block.language not in known and not block.excuse]
    assert odd == []
    taken = Counter(block.language for _, block in found if not block.excuse)
    commands = sum(len(block.commands) for _, block in found if block.language == "console" and not block.excuse)
    left = [(page.name, block) for page, block in found if block.excuse]
    assert commands > 30
    with capsys.disabled():
        print(f"\n{commands} commands, {taken['python']} pieces of Python and {taken['yaml']} of YAML are run;")
        print(f"{len(left)} blocks are not:")
        for name, block in left:
            print(f"  {name}, {block.language}: {block.excuse}")


def spoken(page: Path) -> list[str]:
    """The commands in the prose of a page."""
    return re.findall(r"`(odebench [a-z][^`]*)`", BLOCK.sub("", page.read_text("utf-8")))


@pytest.mark.parametrize("page", [page for page in PAGES if spoken(page)], ids=lambda page: page.name)
def test_every_command_in_the_prose_is_taken_by_the_command_line(page: Path) -> None:
    for line in spoken(page):
        command: Any = get_command(app)
        words = shlex.split(line)[1:]
        while hasattr(command, "commands") and words:
            command, words = command.commands[words[0]], words[1:]
        command.make_context("odebench", words, resilient_parsing=not words)
