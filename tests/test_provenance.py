"""Every row tells which plugin sources are behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import odebench
from odebench.compare.baseline import COLUMNS as BASELINE
from odebench.execute.planning import prepare_plan
from odebench.provenance import digest_of
from odebench.record import ABOUT
from odebench.store import read_results

SOLVER = """
from odebench import Step, solver
{imports}

@solver("{name}")
class {title}:
    order, error_order = 1, None

    def init(self, f, t, y):
        return (y,)

    def step(self, f, t, dt, state):
        {inside}
        return Step((state[0] + {factor} * dt * f(t, state[0]),))
"""
ONE_STEP = """
from odebench import solver
from odebench.solvers import RungeKutta
from odebench.solvers.tableaus import HEUN

@solver("mine")
def mine():
    return RungeKutta(HEUN)
"""
SUITE = """
name: own
problems: [linear_decay]
solvers: [{solvers}]
gradients: [direct]
stepping: [{{fixed: {{steps: 4}}}}]
measure: {{repeats: 1, warmup: 0}}
plugins: [{plugins}]
"""


def scheme(name: str = "mine", factor: str = "1", imports: str = "", inside: str = "pass") -> str:
    title = name.title().replace("_", "")
    return SOLVER.format(name=name, title=title, factor=factor, imports=imports, inside=inside)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


PACKAGE = {
    "kit/mine": scheme(imports="from . import part"),
    "kit/__init__": "",
    "kit/part": "",
    "kit/sub/deep": "",
}


def suite(folder: Path, solvers: str = "mine", plugins: str = "mine.py") -> Path:
    path = folder / "own.yaml"
    path.write_text(SUITE.format(solvers=solvers, plugins=plugins))
    return path


def planned(path: Path) -> dict[str, Any]:
    """Plugin -> its provenance, as the plan of a suite has it."""
    return {Path(each.plugin).name: each for each in prepare_plan({"suites": [str(path)]}).plugins}


def test_a_row_of_a_plugin_has_its_digest_and_other_rows_have_none(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    rows = {str(each.cell.solver): each for each in odebench.run(suite(tmp_path, "mine, rk4"), output=tmp_path / "R")}
    assert rows["mine"].plugin_digest == digest_of(tmp_path, ["mine.py"])
    assert rows["rk4"].plugin_digest == ""
    stored = [json.loads(line) for line in (tmp_path / "R" / "records.jsonl").read_text().splitlines()]
    assert [each["file"] for line in stored for each in line["plugins"]] == ["mine.py", "mine.py"]
    assert str(tmp_path) not in json.dumps([line["plugins"] for line in stored])
    read = {str(each.cell.solver): each.plugin_digest for each in read_results(tmp_path / "R" / "results.csv")}
    assert read == {name: each.plugin_digest for name, each in rows.items()}


def test_a_refused_row_tells_the_plugin_that_refused_it(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme())
    path = suite(tmp_path)
    path.write_text(path.read_text().replace("[direct]", "[direct, symplectic]"))
    measured, refused = odebench.run(path, output=tmp_path / "R")
    assert (measured.status, refused.status) == ("ok", "refused")
    assert refused.plugin_digest == measured.plugin_digest != ""


def test_a_worker_that_dies_while_it_loads_leaves_the_digest_of_what_the_plan_loaded(tmp_path: Path) -> None:
    trap = "import os, sys\nif os.path.exists(__file__ + '.armed'): os._exit(3)\nopen(__file__ + '.armed', 'w').close()"
    write(tmp_path, mine=scheme(imports=trap))
    (record,) = odebench.run(suite(tmp_path), output=tmp_path / "R")
    assert record.status == "crashed"
    assert record.plugin_digest == digest_of(tmp_path, ["mine.py"])


def test_a_solver_nested_in_another_is_behind_the_row_too(tmp_path: Path) -> None:
    write(tmp_path, mine=ONE_STEP)
    (record,) = odebench.run(suite(tmp_path, "{coupled: {base: mine}}"), output=tmp_path / "R")
    assert record.plugin_digest == digest_of(tmp_path, ["mine.py"])


@pytest.mark.parametrize("text", ["import odebench\n@odebench.metric\ndef one(trial): return 1.0\n", "import torch\n"])
def test_a_metric_or_a_plugin_that_registers_nothing_is_behind_every_row(tmp_path: Path, text: str) -> None:
    write(tmp_path, other=text)
    (record,) = odebench.run(suite(tmp_path, "rk4", "other.py"), output=tmp_path / "R")
    assert record.plugin_digest == digest_of(tmp_path, ["other.py"])


@pytest.mark.parametrize(
    ("files", "plugin", "edited"),
    [
        ({"mine": scheme(imports="import helper"), "helper": ""}, "mine.py", "helper.py"),
        ({"mine": scheme(inside="import helper"), "helper": ""}, "mine.py", "helper.py"),
        ({"mine": scheme(imports="import helper"), "helper": "import deeper", "deeper": ""}, "mine.py", "deeper.py"),
        ({"mine": scheme(imports="import kit.part"), "kit/part": "", "kit/__init__": ""}, "mine.py", "kit/part.py"),
        (PACKAGE, "kit/mine.py", "kit/part.py"),
        (PACKAGE, "kit/mine.py", "kit/sub/deep.py"),
    ],
)
def test_an_edit_of_a_helper_changes_the_digest(
    tmp_path: Path, files: dict[str, str], plugin: str, edited: str
) -> None:
    write(tmp_path, **files)
    path = suite(tmp_path, plugins=plugin)
    before = planned(path)["mine.py"]
    (tmp_path / edited).write_text((tmp_path / edited).read_text() + "\n")
    after = planned(path)["mine.py"]
    assert edited in before.files
    assert before.digest != after.digest
    assert before.path == tmp_path / plugin


def test_a_file_that_is_not_imported_does_not_change_the_digest(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme(), stranger="")
    before = planned(suite(tmp_path))["mine.py"]
    write(tmp_path, stranger="1")
    assert planned(suite(tmp_path))["mine.py"].digest == before.digest


def test_equal_code_at_two_places_has_one_digest(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        write(tmp_path / name, mine=scheme(imports="import helper"), helper="")
        found.append(planned(suite(tmp_path / name))["mine.py"])
    assert found[0].digest == found[1].digest
    assert found[0].root != found[1].root


def test_a_plugin_has_the_same_digest_whichever_others_are_loaded(tmp_path: Path) -> None:
    write(tmp_path, mine=scheme(imports="import helper"), helper="", other=scheme("other", imports="import helper"))
    alone = planned(suite(tmp_path))["mine.py"]
    together = planned(suite(tmp_path, "mine, other", "other.py, mine.py"))
    assert together["mine.py"].digest == alone.digest
    assert set(together["other.py"].names) == {"other", "Other"}


def test_a_module_is_known_by_its_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{"kit/__init__": "", "kit/mine": scheme(), "kit/part": "x = 1"})
    monkeypatch.chdir(tmp_path)
    before = planned(suite(tmp_path, plugins="kit.mine"))["kit.mine"]
    assert (before.file, before.files) == ("kit/mine.py", ("kit/__init__.py", "kit/mine.py", "kit/part.py"))
    assert before.root == str(tmp_path)
    write(tmp_path, **{"kit/part": "x = 2"})
    assert planned(suite(tmp_path, plugins="kit.mine"))["kit.mine"].digest != before.digest


def test_an_installed_package_tells_its_name_and_version(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    write(site, **{"wheeled/__init__": "", "wheeled/scheme": scheme("wheeled")})
    about = site / "wheeled_schemes-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wheeled-schemes\nVersion: 2.5\n")
    (about / "RECORD").write_text("wheeled/__init__.py,,\nwheeled/scheme.py,,\n")
    (about / "entry_points.txt").write_text("[odebench.solvers]\nwheeled = wheeled.scheme:Wheeled\n")
    code = (
        "from odebench import registry; registry.load_builtins(); (one,) = registry.loaded_plugins();"
        "print(one.plugin, one.file, one.distribution, one.version, *one.names, one.everywhere)"
    )
    home = str(Path(odebench.__file__).parents[1])
    environment = {"PYTHONPATH": f"{site}:{home}", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    words = "wheeled = wheeled.scheme:Wheeled wheeled/scheme.py wheeled-schemes 2.5 wheeled Wheeled False\n"
    assert done.stdout == words, done.stderr


def test_a_baseline_does_not_hold_where_rows_come_from() -> None:
    assert not set(BASELINE) & set(ABOUT)
