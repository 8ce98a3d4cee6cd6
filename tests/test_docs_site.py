"""The site of docs/: that it builds without a warning, reads without a network, and that no link in it is dead."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

for package in ("mkdocs", "material", "latex2mathml"):
    pytest.importorskip(package, reason=f"the site is built by {package}: pip install '.[docs]'")

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "docs").glob("*.md"))
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
EQUATION = re.compile(r"\$\$.+?\$\$|(?<![\\$\w])\$(?=\S)[^$\n]+(?<=\S)\$(?![\d$])", re.DOTALL)
# What a browser fetches by itself; the others are for a reader to follow.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}


@dataclass
class Page(HTMLParser):
    """A page, as far as it loads, links and can be linked to; and its equations."""

    path: Path
    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    equations: int = 0
    symbols: str = ""  # all text within equations
    depth: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.text = self.path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if LOADED.get(tag) in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "math":
            self.equations, self.depth = self.equations + 1, self.depth + 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "math"

    def handle_data(self, data: str) -> None:
        self.symbols += data if self.depth else ""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(the site, what was said while it was built)."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ".mkdocs.yml", "-d", str(folder)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pages(built: tuple[Path, str]) -> dict[str, Page]:
    return {path.name: Page(path) for path in built[0].glob("*.html")}


def sheets(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of every style sheet, and of what pages have of their own."""
    for path in (*folder.rglob("*.css"), *folder.glob("*.html")):
        yield path.name, path.read_text(encoding="utf-8")


def test_the_site_builds_without_a_warning_and_has_every_page(built: tuple[Path, str], pages: dict[str, Page]) -> None:
    assert not re.search(r"warn|error", built[1], re.IGNORECASE), built[1]
    assert {f"{path.stem}.html" for path in SOURCES} <= set(pages)
    assert [str(path) for path in built[0].rglob("*.py*")] == []


def test_every_equation_became_mathml(pages: dict[str, Page]) -> None:
    expected = {f"{path.stem}.html": EQUATION.findall(CODE.sub("", path.read_text("utf-8"))) for path in SOURCES}
    assert sum(map(len, expected.values())) > 5
    for name, equations in expected.items():
        page = pages[name]
        assert page.equations == len(equations), (name, equations)
        assert "arithmatex" not in page.text
        assert not re.search(r"[\\$]", page.symbols), f"{name}: a command that was not understood"


def test_no_page_loads_anything_from_elsewhere(built: tuple[Path, str], pages: dict[str, Page]) -> None:
    foreign = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
    assert all(page.loaded for page in pages.values())
    assert {(name, url) for name, page in pages.items() for url in page.loaded if foreign.match(url)} == set()
    style = re.compile(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
    assert [(name, url) for name, text in sheets(built[0]) for url in style.findall(text)] == []


def test_what_the_pages_load_and_link_to_is_there(built: tuple[Path, str], pages: dict[str, Page]) -> None:
    dead = []
    for name, page in pages.items():
        for url in (*page.loaded, *page.links):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            # The page of a missing address does not know where it will stand, and begins at the root.
            path = built[0] / unquote(parts.path.lstrip("/")) if parts.path else page.path
            target = path / "index.html" if path.is_dir() else path
            there = target.is_file() and (not parts.fragment or _has(target, unquote(parts.fragment), pages))
            dead += [] if there else [(name, url)]
    assert dead == []


def _has(target: Path, place: str, pages: dict[str, Page]) -> bool:
    return target.name not in pages or place in pages[target.name].places
