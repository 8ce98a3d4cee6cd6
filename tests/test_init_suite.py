"""`init suite` asks nothing and writes a suite that runs as it is, explains every key, and brings its schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.suite.grammar import KEYS, MEASURES
from odebench.suite.yaml_source import read_documents

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*words: str) -> Any:
    return CliRunner().invoke(app, words, prog_name="odebench")


def test_it_asks_nothing_and_says_what_to_do_next() -> None:
    result = call("init", "suite")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.strip() == (
        "my_suite.yaml is written, with odebench.schema.json for editors; try: odebench run my_suite.yaml"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["my_suite.yaml", "odebench.schema.json"]


def test_the_suite_validates_and_a_cell_of_it_runs() -> None:
    call("init", "suite")
    checked = call("validate", "my_suite.yaml")
    assert checked.exit_code == 0
    assert checked.stdout.startswith("my_suite: 16 cells, 14 to measure, 2 refused")
    ran = call(
        "run", "my_suite.yaml", "-k", "solver=alf and gradient=direct and stepping=fixed", "--repeats", "1", "-q"
    )
    assert ran.exit_code == 0, ran.stderr


def test_an_editor_finds_the_schema_beside_the_suite_and_the_suite_follows_it() -> None:
    Path("below").mkdir()
    call("init", "suite", "-o", "below/mine.yaml")
    first = Path("below/mine.yaml").read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    schema = json.loads(Path("below", named[1]).read_text())
    assert schema == json.loads(call("schema").stdout)
    (document,) = read_documents(Path("below/mine.yaml"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document.data)] == []
    assert document.data["name"] == "mine"


def test_every_key_is_there_or_in_a_comment_and_what_is_commented_out_is_valid_too() -> None:
    call("init", "suite")
    text = Path("my_suite.yaml").read_text()
    for key in (*KEYS, *MEASURES):
        assert re.search(rf"^\s*(# )?{key}:", text, re.MULTILINE), key
    everything = re.sub(r"^( *)# (?=(?:- |[a-z0-9_]+: |exclude:))", r"\1", text, flags=re.MULTILINE)
    everything = re.sub(r"^#   (?=- )", "  ", everything, flags=re.MULTILINE)
    Path("my_solver.py").write_text("")
    Path("everything.yaml").write_text(everything)
    (document,) = read_documents(Path("everything.yaml"))
    assert set(document.data) == set(KEYS)
    assert set(document.data["measure"]) == set(MEASURES)
    checked = call("validate", "everything.yaml")
    assert checked.exit_code == 0, checked.stderr


def test_nothing_is_overwritten() -> None:
    call("init", "suite", "mine")
    Path("mine.yaml").write_text("mine\n")
    Path("odebench.schema.json").write_text("{}\n")
    again = call("init", "suite", "mine")
    assert again.exit_code == 2
    assert "mine.yaml is there already, and is not overwritten" in again.stderr
    assert call("init", "suite", "other").exit_code == 0
    assert Path("mine.yaml").read_text() == "mine\n"
    assert Path("odebench.schema.json").read_text() == "{}\n"  # it may know of plugins


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quickstart"], "odebench ships a suite called quickstart"),
        (["a/b"], "is no name for a suite"),
        (["mine", "-o", "mine.txt"], "let its name end in .yaml"),
        (["mine", "-o", "no/such/folder.yaml"], "cannot be written"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(words: list[str], message: str) -> None:
    result = call("init", "suite", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(Path().iterdir()) == []
