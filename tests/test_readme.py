"""What the README points at is there; its blocks are run by test_docs_snippets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_a_link_of_the_readme_leads_to_a_page(target: str) -> None:
    assert (ROOT / target).is_file()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.(?:cff|toml|txt))`", README))))
def test_files_that_the_readme_mentions_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_readme_is_one_screen_to_the_first_result() -> None:
    lines = README.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("$ odebench run"))
    assert first <= 40
    assert len(lines) <= 120
