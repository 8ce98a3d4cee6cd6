"""What a shell is offered, asked as bash, zsh and fish ask; and that none of it imports torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from odebench.cli.app import app
from odebench.figures.kinds import KINDS
from odebench.registry import load_builtins, registries
from odebench.report.screen import Format
from odebench.rows import write_csv
from tests.test_report import MANY

ROOT = Path(__file__).parent.parent


def offered(*words: str) -> list[str]:
    """What bash is offered for the last of the words after `odebench`."""
    environment = {
        "_ODEBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("odebench", *words)),
        "COMP_CWORD": str(len(words)),
    }
    return CliRunner().invoke(app, env=environment, prog_name="odebench").stdout.strip("\n").splitlines()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two runs, a CSV, a suite and what is none of these."""
    monkeypatch.chdir(tmp_path)
    for name in ("results/first", "results/second"):
        Path(name).mkdir(parents=True)
        Path(name, "records.jsonl").write_text("")
    os.utime("results/first", (1, 1))
    Path("other").mkdir()
    Path("mine.yaml").write_text("name: mine\n")
    Path("notes.txt").write_text("")
    Path("my_solver.py").write_text("")
    write_csv(Path("base.csv"), MANY)
    return tmp_path


@pytest.mark.parametrize("kind", ["solver", "gradient", "problem", "stepping"])
def test_every_name_is_offered_as_a_value_of_its_axis(kind: str) -> None:
    load_builtins()
    names = [f"{kind}={entry.name}" for entry in registries[kind]]
    assert offered("run", "quickstart", "-k", f'"{kind}=') == names


def test_a_filter_is_completed_piece_by_piece() -> None:
    def last(text: str) -> list[str]:
        return offered("show", "x", "-k", f'"{text}')

    assert last("sol") == ["solver="]
    assert last("solver=alf and grad") == ["solver=alf and gradient="]
    assert last("solver=alf and gradient!=adj") == ["solver=alf and gradient!=adjoint"]
    assert last("not (dtype=") == ["not (dtype=float64", "not (dtype=float32"]
    assert last("solver=alf ") == ["solver=alf and ", "solver=alf or "]
    assert last("solver=alf and n") == ["solver=alf and not "]
    assert "suite=quickstart" in last("suite=q")
    assert last("device=cu") == ["device=cuda", "device=cuda:1"]
    assert last("batch=") == []


def test_a_filter_without_quotes_is_completed_though_bash_takes_it_apart() -> None:
    assert offered("run", "quickstart", "-k", "solver", "=", "al") == ["alf"]
    assert offered("validate", "qui") == ["quickstart"]


def test_columns_are_completed_one_after_another_and_not_twice() -> None:
    assert offered("show", "x", "--columns", "wall,mem") == ["wall,memory"]
    assert "wall,memory" not in offered("show", "x", "--columns", "wall,memory,mem")
    assert {"solver", "status", "peak_memory_bytes", "nfe", "errors"} <= set(offered("show", "x", "--columns", ""))
    assert offered("show", "x", "--sort", "peak_m") == ["peak_memory_bytes"]


def test_options_with_a_few_values_offer_them() -> None:
    assert offered("show", "x", "--format", "") == [form.value for form in Format]
    assert offered("run", "x", "--device", "c") == ["cpu", "cuda", "cuda:1"]
    assert offered("plot", "x", "--kind", "") == list(KINDS)
    assert offered("list", "so") == ["solvers"]
    assert offered("run", "x", "--solver", "coup") == ["coupled"]


def test_results_are_offered_newest_first_then_files_and_folders(folders: Path) -> None:
    assert offered("compare", "results/")[:2] == ["results/second", "results/first"]
    assert set(offered("compare", "")) == {"results/second", "results/first", "results/", "base.csv", "other/"}
    assert offered("run", "--resume", "results/f") == ["results/first"]
    assert offered("run", "mine", "--baseline", "ba") == ["base.csv"]
    for command in ("show", "report", "plot"):
        assert offered(command, "results/f") == ["results/first"]


def test_suites_are_files_folders_and_what_ships(folders: Path) -> None:
    found = offered("run", "")
    assert {"quickstart", "mine.yaml", "other/"} <= set(found)
    assert not {"notes.txt", "base.csv"} & set(found)
    assert offered("check", "my") == ["my_solver.py"]
    assert offered("check", "adj") == ["adjoint"]


def test_explain_offers_all_it_can_explain() -> None:
    wanted = {
        "dopri5",
        "mlp",
        "torchode",
        "measure.match_error",
        "timed_out",
        "work-precision",
        "suite:overhead",
        "130",
    }
    assert wanted <= set(offered("explain", ""))


def test_nothing_is_offered_and_nothing_said_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odebench.suite.loading.shipped_suites", lambda: 1 / 0)
    assert offered("run", "qui") == []


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`odebench` in a process of its own; the names of all imported modules are the last line of stderr."""
    code = (
        f"import sys\nfrom odebench.cli.app import app\ntry: app({list(words)!r}, prog_name='odebench')\n"
        "except SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("_ODEBENCH", "COMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=inherited | environment, check=False
    )


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": 'odebench run q -k "solver=do', "COMP_CWORD": "4"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": 'odebench run q -k "solver=do'}),
        ("fish", {"_TYPER_COMPLETE_ARGS": 'odebench run q -k "solver=do', "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("bash", {"COMP_WORDS": "odebench explain do", "COMP_CWORD": "2"}),
        ("bash", {"COMP_WORDS": "odebench compare do", "COMP_CWORD": "2"}),
    ],
)
def test_every_shell_is_answered_without_torch(shell: str, environment: dict[str, str]) -> None:
    done = process(_ODEBENCH_COMPLETE=f"complete_{shell}", **environment)
    assert "docs/" in done.stdout if "compare do" in json.dumps(environment) else "dopri5" in done.stdout
    imported = done.stderr.split()
    assert "odebench.cli.app" in imported
    assert not {"torch", "numpy", "jax", "matplotlib", "plotly"} & set(imported)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_can_be_shown_its_script(shell: str) -> None:
    # Else typer looks at what started this process, and takes no name.
    shown = process("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    assert f"_ODEBENCH_COMPLETE=complete_{shell}" in shown
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=shown, text=True, check=False).returncode == 0
