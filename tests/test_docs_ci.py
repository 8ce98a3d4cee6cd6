"""docs/ci.md is checked: its YAML, its shell, and every odebench command in it against the real command line."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from odebench.cli.app import app
from odebench.compare.policy import Policy

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text()
ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "2>", "&"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def workflow() -> dict[str, Any]:
    """The one by hand; before it stands the short one, which uses the action."""
    _, block = (each for each in blocks("yaml") if "\njobs:" in each)
    # `on` is a boolean in YAML 1.1, which is what this library reads and GitHub does not.
    return yaml.load(block, yaml.BaseLoader)


def steps() -> Iterator[dict[str, Any]]:
    for job in workflow()["jobs"].values():
        yield from job["steps"]


def scripts() -> list[str]:
    typed = (block.replace("$ ", "") for block in blocks("console"))
    return [*typed, *(step["run"] for step in steps() if "run" in step and step.get("shell") != "python")]


def commands() -> list[list[str]]:
    """The words of every `odebench …` of the page, without what the shell does with its output."""
    found = []
    lines = [line for script in scripts() for line in script.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(odebench [^`]*)`", PAGE)
    for line in lines:
        words = shlex.split(line)
        if words[1:4] == ["-P", "-m", "odebench"]:
            words = words[3:]
        if words[:1] == ["odebench"]:
            end = next((index for index, word in enumerate(words) if word in ENDS), len(words))
            found.append(words[1:end])
    return found


def test_the_workflow_is_one() -> None:
    flow = workflow()
    assert set(flow) == {"name", "on", "permissions", "env", "jobs"}
    assert set(flow["on"]) == {"push", "pull_request"}
    for job in flow["jobs"].values():
        assert set(job) <= {"needs", "if", "runs-on", "timeout-minutes", "permissions", "env", "steps"}
        assert all(("run" in step) is not ("uses" in step) for step in job["steps"])


def test_the_workflow_may_read_and_who_may_write_runs_nothing_of_a_pull_request() -> None:
    flow = workflow()
    assert flow["permissions"] == {"contents": "read"}
    writing = {name: job for name, job in flow["jobs"].items() if "permissions" in job}
    assert {name: job["permissions"] for name, job in writing.items()} == {
        "charts": {"contents": "write"}, "comment": {"pull-requests": "write"},
    }  # fmt: skip
    assert writing["charts"]["if"] == "github.event_name == 'push'"
    used = [step.get("uses", step.get("shell")) for step in writing["comment"]["steps"]]
    assert used == ["actions/download-artifact@v8", "python"]


def test_the_comment_is_posted_by_the_same_lines_as_in_the_action() -> None:
    (posting,) = [step["run"] for step in workflow()["jobs"]["comment"]["steps"] if "run" in step]
    action = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
    ours = action["runs"]["steps"][-1]["run"]
    assert posting == ours.rstrip("\n") + "\n"


def test_every_action_is_pinned_to_a_version() -> None:
    used = {step["uses"] for step in steps() if "uses" in step}
    assert {each.partition("@")[0] for each in used} >= {"actions/checkout", "actions/cache", "actions/upload-artifact"}
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", each) for each in used)


def test_the_base_is_cached_under_its_commit() -> None:
    (cache,) = [step for step in steps() if step.get("uses", "").startswith("actions/cache@")]
    assert "base.sha" in cache["with"]["key"]
    assert any(f"steps.{cache['id']}.outputs.cache-hit" in step.get("if", "") for step in steps())


def test_nothing_that_a_stranger_named_is_put_into_a_script() -> None:
    assert not any("${{" in script for script in scripts())


@pytest.mark.parametrize("script", scripts())
def test_every_script_is_shell(script: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def parse(words: list[str]) -> dict[str, Any]:
    """What the command line makes of these words; nothing is run."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    return command.make_context("odebench", list(words)).params


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_taken_by_the_command_line(words: list[str]) -> None:
    given = parse(words)
    if given.get("fail_on"):
        assert Policy.parse(given["fail_on"])


def test_the_page_has_the_commands_of_a_gate() -> None:
    assert {words[0] for words in commands()} == {"run", "show", "compare", "baseline"}
    assert len(commands()) > 10


def test_the_page_tells_every_exit_code_that_the_help_tells() -> None:
    from odebench.cli.app import EXIT_CODES

    told = re.search(r"## Exit codes\n(.*?)\n## ", PAGE, re.DOTALL)
    assert told is not None
    assert re.findall(r"^\| (\d+) \|", told.group(1), re.MULTILINE) == re.findall(
        r"^ +(\d+) ", EXIT_CODES, re.MULTILINE
    )
