"""The README is run: its code blocks, its suite, its commands, its links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import odebench
from odebench.peers.roster import LIBRARIES
from odebench.registry import load_builtins, registries
from odebench.suite.loading import load_suites, shipped_suites

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def solver_block() -> str:
    (block,) = [each for each in blocks("python") if each.startswith("# ssprk3.py")]
    return block


def test_the_solver_of_the_readme_is_short_and_measured_with_every_gradient_it_is_capable_of(tmp_path: Path) -> None:
    assert len(solver_block().splitlines()) < 40
    plugin = tmp_path / "ssprk3.py"
    plugin.write_text(solver_block())
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: readme\nproblems: [{pendulum: {span: [0, 2]}}]\nsolvers: [ssprk3]\n"
        "gradients: [direct, adjoint, aca, recursive, reversible, symplectic]\n"
        "stepping: [{fixed: {steps: 40}}, adaptive]\nmeasure: {repeats: 1, warmup: 0}\nplugins: [ssprk3.py]\n"
    )
    records = odebench.run(suite, output=tmp_path / "results")
    statuses = {(record.cell.gradient.name, record.cell.stepping.name): record.status for record in records}
    for (gradient, _), status in statuses.items():
        assert status == ("refused" if gradient in ("reversible", "symplectic") else "ok")
    assert len(statuses) == 12
    exact = [record for record in records if record.status == "ok" and record.cell.gradient.name != "adjoint"]
    assert all(record.metrics["gradient_error_discrete"] < 1e-12 for record in exact)
    assert all(record.metrics["solution_error"] < 1e-4 for record in exact)


def test_the_other_python_blocks_of_the_readme_run() -> None:
    others = [each for each in blocks("python") if each != solver_block()]
    assert others
    for block in others:
        exec(compile(block, "README.md", "exec"), {})


def test_the_suite_of_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(block)
    (suite,) = load_suites([path])
    assert suite.name == "mine"


def test_the_readme_names_every_shipped_suite_and_every_solver_and_gradient() -> None:
    load_builtins()
    entries = [entry for kind in ("solver", "gradient") for entry in registries[kind]]
    own = {entry.name for entry in entries if entry.source == "odebench"}
    names = {name for name in own if "." not in name} | set(shipped_suites())
    assert [name for name in sorted(names) if f"`{name}`" not in README] == []


def test_the_readme_names_methods_of_every_library_and_only_such_as_there_are() -> None:
    load_builtins()
    known = {entry.name for entry in registries["solver"]}
    named = {name for name in re.findall(r"`(\w+\.\w+)`", README) if name.partition(".")[0] in LIBRARIES}
    assert named <= known
    assert {name.partition(".")[0] for name in named} == set(LIBRARIES)


def test_every_odebench_command_of_the_readme_is_one() -> None:
    from typer.main import get_command

    from odebench.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = [shlex.split(each)[1] for each in re.findall(r"`(odebench [a-z][^`]*)`", README)]
    used += [
        shlex.split(line)[2] for block in blocks("console") for line in block.splitlines() if line[:10] == "$ odebench"
    ]
    assert used
    assert set(used) <= known


@pytest.mark.parametrize("path", re.findall(r"`([\w/]+\.(?:yaml|cff|toml))`", README))
def test_files_that_the_readme_mentions_exist(path: str) -> None:
    if path != "mine.yaml":
        assert (Path(__file__).resolve().parent.parent / path).exists()
