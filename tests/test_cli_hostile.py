"""The command line among files, streams, plugins and packages that mean no good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from odebench.errors import UsageError
from odebench.registry import NAME, Registry
from odebench.spec import Spec
from odebench.store import RECORDS, record_to_data
from odebench.suite.spelling import parse
from tests.test_cli import SUITE, call
from tests.test_report import MANY

ROOT = Path(__file__).parent.parent
LONG = "x" * 300  # no file can be called so
PARTIAL = '''\
print("noise")
import odebench
@odebench.solver("partial")
class Partial:
    """A solver without a single method."""
'''
INSTALLED = '''\
import torch
from odebench import Step
class Mine:
    """An Euler of one's own."""
    order, error_order = 1, None
    def init(self, f, t, y): return (y,)
    def step(self, f, t, dt, state): return Step((state[0] + dt * f(t, state[0]),))
'''


def shell(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line in bash: `$ODE` is odebench."""
    path = os.pathsep.join(filter(None, (str(ROOT), environment.pop("more_path", ""))))
    known = {**os.environ, "PYTHONPATH": path, "ODE": f"{sys.executable} -m odebench", **environment}
    command = ["bash", "-c", script, "bash", *words]
    return subprocess.run(command, capture_output=True, text=True, env=known, timeout=120, check=False)


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "partial.py"
    path.write_text(PARTIAL)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [["show", LONG], ["show", "/dev/zero"], ["show", ""], ["validate", LONG], ["run", "quickstart", "-o", LONG],
     ["run", "--resume", LONG], ["run", "quickstart", "-o", "a", "--resume", "a"]],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_wrong_usage(words: list[str]) -> None:
    result = call(*words)
    assert result.exit_code == 2, result.stderr
    assert result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data["cell"].update(suite=["a"]), "suite ['a']"),
        (lambda data: data["cell"].update(batch="x"), "batch 'x'"),
        (lambda data: data["metrics"].update(wall_seconds="abc"), "wall_seconds 'abc'"),
        (lambda data: data.update(reason=5), "reason 5"),
        (lambda data: data.update(mesh="x"), "mesh 'x'"),
    ],
)
def test_a_record_of_wrong_types_is_an_invalid_results_file(tmp_path: Path, change, told: str) -> None:
    data = record_to_data(MANY[0])
    change(data := json.loads(json.dumps(data)))
    (tmp_path / RECORDS).write_text(json.dumps(data) + "\n")
    result = call("show", str(tmp_path))
    assert result.exit_code == 2
    assert f"{RECORDS}:1: not a whole record: {told}" in result.stderr


@pytest.mark.parametrize("words", [["list", "solvers", "--json"], ["schema"]])
def test_what_a_plugin_prints_is_not_mixed_into_data(words: list[str], plugin: str) -> None:
    result = call(*words, "--plugin", plugin)
    assert result.exit_code == 0
    assert "partial" in json.dumps(json.loads(result.stdout))


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "import os; os._exit(0)", "def (:", "1 / 0"])
def test_a_plugin_that_ends_python_or_raises_is_wrong_usage_for_every_page(code: str, tmp_path: Path) -> None:
    path = tmp_path / "ends.py"
    path.write_text(code)
    for words in (["list", "solvers"], ["explain", "rk4"], ["validate", "quickstart"]):
        result = call(*words, "--plugin", str(path))
        assert result.exit_code == 2, words
        assert "plugin" in result.stderr


def test_a_plugin_that_lacks_methods_is_told_of_and_fails_cell_by_cell(plugin: str, suite: str, tmp_path: Path) -> None:
    explained = call("explain", "partial", "--plugin", plugin)
    assert explained.exit_code == 2
    assert "AttributeError" in explained.stderr
    folder = str(tmp_path / "out")
    ran = call("run", suite, "--solver", f"{plugin}:partial", "-k", "gradient=direct", "-o", folder, "--format", "csv")
    assert ran.exit_code == 3
    assert [line.split(",")[10] for line in ran.stdout.splitlines()[1:]] == ["ok", "failed"]


@pytest.mark.parametrize("name", ["=cmd|'x'!A1", "[red]x", "a b", "f(x=1)", "a/b", "x\x1b[31m", "1e5", "x" * 101])
def test_a_name_that_keys_and_tables_cannot_hold_is_not_registered(name: str) -> None:
    assert not NAME.fullmatch(name)
    with pytest.raises(UsageError, match="a name starts with a letter"):
        Registry("solver").register(name)(type("Mine", (), {}))


def test_two_plugins_whose_paths_differ_by_a_sign_are_two(tmp_path: Path) -> None:
    for file, name in (("a-b.py", "one"), ("a_b.py", "two")):
        (tmp_path / file).write_text(PARTIAL.replace("partial", name))
    result = call("list", "solvers", "--plugin", str(tmp_path / "a-b.py"), "--plugin", str(tmp_path / "a_b.py"))
    assert {"one", "two"} <= {line.split()[0] for line in result.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize(
    "value", ["a,b", "it's", "'\"", "1e-5", "None", None, True, float("inf"), "", "a b", "a\nb", "\\"]
)
def test_an_option_of_any_value_is_spelled_so_that_it_reads_back(value: object) -> None:
    spec = Spec.of("mine", {"x": value, "y": [value, 2.5]})
    assert Spec.from_data(parse(str(spec))) == spec


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder to put on the path: an installed package that offers a solver and imports torch."""
    about = tmp_path / "site" / "mine-1.0.dist-info"
    about.mkdir(parents=True)
    (about.parent / "mine.py").write_text(INSTALLED)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[odebench.solvers]\nmy_euler = mine:Mine\n")
    return about.parent


def test_an_installed_solver_is_listed_and_run_and_its_code_stays_out_of_the_parent(
    package: Path, suite: str, tmp_path: Path
) -> None:
    code = (
        "import sys; from odebench.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "finally: print('mine' in sys.modules, 'torch' in sys.modules, file=sys.stderr)"
    )
    script = f'{sys.executable} -c "$1" "${{@:2}}"'
    run = ["run", suite, "--solver", "my_euler", "-k", "my_euler and direct", "-o", str(tmp_path / "out"), "-q"]
    for words in (["list", "solvers"], [*run, "--format", "csv"]):
        result = shell(script, code, *words, more_path=str(package))
        assert result.returncode == 0, result.stderr
        assert "my_euler" in result.stdout
        assert result.stderr.splitlines()[-1] == "False False"


def test_an_installed_package_that_is_broken_is_named(package: Path, suite: str) -> None:
    (package / "mine.py").write_text("1 / 0")
    result = shell("$ODE validate $1", suite, more_path=str(package))
    assert result.returncode == 2
    assert "my_euler = mine:Mine: ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("$ODE --help | true; exit ${PIPESTATUS[0]}", 141),
        ("$ODE list problems | true; exit ${PIPESTATUS[0]}", 141),
        ("$ODE list problems >&-", 0),
        ("$ODE list problems 2>&-", 0),
        ("$ODE list problems > /dev/full", 70),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback_and_no_regression(script: str, code: int) -> None:
    result = shell(script)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "fault of odebench" not in result.stderr


def test_a_solver_is_found_in_its_file_by_the_name_of_its_class(tmp_path: Path) -> None:
    (tmp_path / "my_solver.py").write_text(
        "from odebench import Step, solver\n\n\n@solver('mine')\nclass MyScheme:\n    order, error_order = 1, None\n\n"
        "    def init(self, f, t, y):\n        return (y,)\n\n"
        "    def step(self, f, t, dt, state):\n        return Step((state[0] + dt * f(t, state[0]),))\n"
    )
    suite = tmp_path / "my.yaml"
    suite.write_text("name: my\nproblems: [growth]\nsolvers: [euler]\nstepping: [{fixed: {steps: 4}}]\n")
    name = f"{tmp_path / 'my_solver.py'}:MyScheme"
    done = call("run", str(suite), "--solver", name, "--dry-run", "--format", "csv")
    assert done.exit_code == 0, done.stderr
    assert ",mine," in done.stdout
