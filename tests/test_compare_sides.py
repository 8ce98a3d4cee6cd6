"""Whose code a comparison measures: where sources keep their modules, what each side loads, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from odebench.compare.arms import Arm
from odebench.compare.belonging import require_own_code
from odebench.compare.loaded import Loaded, look_at
from odebench.compare.package import find_package, read_package
from odebench.compare.sameness import same_code
from odebench.compare.trees import Tree, open_tree
from odebench.errors import UsageError
from tests.gated_packages import FAULTS, SUITE, commit, git, make_machine, make_package, plant, steps_of
from tests.test_cli import call

PROJECT = '[project]\nname = "mine"\nversion = "1"\n'
SOLVER = """\
from odebench import Step, solver

@solver("{name}")
class Scheme:
    order, error_order = 1, None
    def init(self, f, t, y):
        return (y,)
    def step(self, f, t, dt, state):
        return Step((state[0] + dt * f(t, state[0]),))
"""
# It imports the package only when something is solved.
LATE = SOLVER.format(name="mine").replace(
    "        return Step",
    "        from gated_solvers.steps import halve\n        halve(f, t, dt, state[0])\n        return Step",
)
POINTS = {"odebench.solvers": {"mine": "mine.solvers:Mine"}}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


# --- where sources keep their modules ---


@pytest.mark.parametrize(
    ("place", "files"),
    [
        ("src", {"pyproject.toml": '[tool.hatch.build.targets.wheel]\npackages = ["src/mine"]'}),
        ("code", {"pyproject.toml": '[tool.hatch.build.targets.wheel]\nsources = ["code"]'}),
        ("code", {"pyproject.toml": '[tool.hatch.build.sources]\n"code" = ""'}),
        ("lib", {"pyproject.toml": '[tool.setuptools]\npackage-dir = {"" = "lib"}'}),
        ("lib", {"pyproject.toml": '[tool.setuptools.package-dir]\n"mine" = "lib/mine"'}),
        ("py", {"pyproject.toml": '[tool.setuptools.packages.find]\nwhere = ["py"]'}),
        ("lib", {"setup.cfg": "[options]\npackage_dir =\n    = lib\n"}),
        ("lib", {"setup.cfg": "[options]\npackages = find:\n[options.packages.find]\nwhere = lib\n"}),
        ("lib", {"setup.py": 'from setuptools import setup\nsetup(name="mine", package_dir={"": "lib"})'}),
        ("lib", {"setup.py": 'import setuptools as s\ns.setup(packages=s.find_packages(where="lib"), name=NAME)'}),
        ("lib", {"setup.py": 'setup(packages=find_packages("lib"))', "pyproject.toml": PROJECT}),
        ("python", {"pyproject.toml": '[tool.poetry]\npackages = [{include = "mine", from = "python"}]'}),
        ("lib", {"pyproject.toml": '[tool.pdm.build]\npackage-dir = "lib"'}),
        ("lib", {"pyproject.toml": '[tool.uv.build-backend]\nmodule-root = "lib"'}),
        ("python", {"pyproject.toml": '[tool.maturin]\npython-source = "python"'}),
        ("lib", {"pyproject.toml": '[tool.scikit-build]\nwheel.packages = ["lib/mine"]'}),
        ("src", {"pyproject.toml": PROJECT}),
        ("src", {"pyproject.toml": '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"'}),
        ("src", {"pyproject.toml": "this is no TOML", "setup.cfg": "nor is this"}),
        ("", {"pyproject.toml": PROJECT}),
        ("", {"pyproject.toml": '[tool.hatch.build.targets.wheel]\npackages = ["mine"]'}),
        ("", {"pyproject.toml": '[tool.setuptools]\npackages = ["mine"]', "src/kernel.c": "int x;"}),
        ("", {"setup.py": "from setuptools import setup\nsetup(**WHATEVER)"}),
    ],
)
def test_a_package_is_found_where_its_build_description_or_else_convention_puts_it(
    tmp_path: Path, place: str, files: dict[str, str]
) -> None:
    write(tmp_path, {**files, f"{place}/mine/__init__.py".lstrip("/"): ""})
    assert read_package(tmp_path).roots == (tmp_path / place,)


@pytest.mark.parametrize(
    ("files", "points"),
    [
        ({"pyproject.toml": PROJECT + '[project.entry-points."odebench.solvers"]\nmine = "mine.solvers:Mine"'}, POINTS),
        ({"pyproject.toml": PROJECT}, {}),
        ({"pyproject.toml": PROJECT + 'dynamic = ["entry-points"]'}, None),
        (
            {"pyproject.toml": PROJECT + 'dynamic = ["entry-points"]',
             "setup.cfg": '[options.entry_points]\nodebench.solvers =\n    mine = mine.solvers:Mine'},
            POINTS,
        ),
        (
            {"pyproject.toml": '[tool.poetry]\nname = "mine"\nversion = "1"\n[tool.poetry.plugins."odebench.solvers"]\n'
                               'mine = "mine.solvers:Mine"'},
            POINTS,
        ),
        (
            {"setup.py": 'setup(name="mine", version="1", entry_points={"odebench.solvers": '
                         '["mine = mine.solvers:Mine"]})'},
            POINTS,
        ),
        ({"setup.py": 'setup(name="mine", entry_points=read("points"))'}, None),
    ],
)  # fmt: skip
def test_a_side_offers_the_entry_points_that_its_own_build_description_has(
    tmp_path: Path, files: dict[str, str], points: dict[str, dict[str, str]] | None
) -> None:
    package = read_package(write(tmp_path / "side", files))
    assert (package.name, package.entry_points) == ("mine", points)
    # Installed, and of another version: what a pull request has brought along.
    info = tmp_path / "site" / "mine-2.dist-info"
    write(info, {"METADATA": "Metadata-Version: 2.1\nName: Mine\nVersion: 2\n"})
    write(info, {"entry_points.txt": "[odebench.solvers]\nlater = mine.later:Later\n"})
    written = package.write_metadata(tmp_path / "metadata")
    assert written is (points is not None)
    code = "from importlib.metadata import entry_points as e; print([x.name for x in e(group='odebench.solvers')])"
    path = os.pathsep.join([str(tmp_path / "metadata"), str(tmp_path / "site")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(["later"] if points is None else [*points.get("odebench.solvers", ())])


def test_the_package_of_a_subfolder_is_the_nearest_above_and_never_one_outside(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": PROJECT, "top/packages/mine/pyproject.toml": PROJECT, "top/bench/x.py": ""})
    top = tmp_path / "top"
    found = find_package(top / "packages" / "mine" / "tests", top)
    assert found is not None
    assert found.folder == top / "packages" / "mine"
    assert find_package(top / "bench", top) is None


# --- what each side loads ---


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in `src/`, with a second commit that takes an evaluation more; nothing of it is installed."""
    folder = make_package(tmp_path / "package", "src")
    plant(folder, "evaluation")
    monkeypatch.chdir(folder)
    return folder


def sides(base: str, new: str, *plugins: str) -> tuple[Loaded, Loaded]:
    """What each loads, if that is its own."""
    files = [os.path.abspath(each) for each in plugins]
    with open_tree(base) as one, open_tree(new) as two:
        first, second = look_at((one, two), files)
        require_own_code(first, second)
        SAME[:] = [same_code(first, second)]  # while both are there
    return first, second


SAME: list[bool] = []  # what the last two sides were


def file_of(side: Loaded, module: str = "gated_solvers.steps") -> str:
    return side.modules[module].relative_to(side.tree.homes[0]).as_posix()


def test_each_revision_is_imported_from_its_own_sources_though_nothing_is_installed(package: Path) -> None:
    base, new = sides("HEAD~1", "HEAD")
    assert file_of(base) == file_of(new) == "src/gated_solvers/steps.py"
    assert base.modules["gated_solvers.steps"] != new.modules["gated_solvers.steps"]
    assert SAME == [False]
    base, new = sides("HEAD~1", ".")
    assert new.modules["gated_solvers.steps"] == package / "src/gated_solvers/steps.py"


@pytest.mark.parametrize("backend", ["setuptools", "hatchling"])
@pytest.mark.parametrize("layout", ["src", "flat"])
def test_equal_sources_at_two_places_are_the_same_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, backend: str
) -> None:
    package = make_package(tmp_path / "package", layout, backend)
    monkeypatch.chdir(package)
    write(package, {"README.md": "Better words.\n", "docs/page.md": "More of them.\n"})
    commit(package)
    sides("HEAD~1", "HEAD")
    assert SAME == [True]
    sides("HEAD~1", ".")
    assert SAME == [True]


@pytest.mark.parametrize(
    "files",
    [
        {"src/gated_solvers/later.py": "# imported when something is solved\n"},
        {"src/gated_solvers/table.json": "{}"},
        {"src/helpers.py": ""},
        {"pyproject.toml": '[project]\nname = "gated-solvers"\nversion = "1"\n'
                           '[project.entry-points."odebench.solvers"]\nhalves = "gated_solvers.halves:Halves"\n'
                           'again = "gated_solvers.halves:Halves"\n'},
    ],
)  # fmt: skip
def test_what_may_be_imported_at_any_time_counts_as_code(package: Path, files: dict[str, str]) -> None:
    write(package, files)
    commit(package)
    sides("HEAD~1", "HEAD")
    assert SAME == [False]


def test_a_namespace_beside_documents_counts_as_code_where_it_was_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = "import company.parts.more\n" + SOLVER.format(name="mine")
    point = '[project.entry-points."odebench.solvers"]\nmine = "company.solvers.mine:Scheme"\n'
    write(tmp_path, {"pyproject.toml": PROJECT + point, "company/solvers/__init__.py": "", "notes/x.txt": ""})
    write(tmp_path, {"company/solvers/mine.py": solver, "company/parts/more.py": "X = 1\n"})
    git("init", "-q", "-b", "main", where=tmp_path)
    commit(tmp_path)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"notes/x.txt": "more"})
    sides("HEAD", ".")
    assert SAME == [True]
    write(tmp_path, {"company/parts/more.py": "X = 2\n"})
    sides("HEAD", ".")
    assert SAME == [False]


def test_neighbours_of_a_plugin_file_count_as_code(package: Path) -> None:
    write(package, {"bench/mine.py": "import beside\n" + SOLVER.format(name="mine"), "bench/beside.py": "X = 1\n"})
    commit(package)
    write(package, {"README.md": "x"})
    commit(package)
    sides("HEAD~1", "HEAD", "bench/mine.py")
    assert SAME == [True]
    write(package, {"bench/beside.py": "X = 2\n"})
    commit(package)
    sides("HEAD~1", "HEAD", "bench/mine.py")
    assert SAME == [False]


def test_a_package_in_a_subfolder_of_the_repository_is_found_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "top"
    inner = make_package(top / "packages" / "one", "src")
    for each in (inner / ".git").rglob("*"):
        each.chmod(0o755)
    subprocess.run(["rm", "-rf", str(inner / ".git")], check=True)
    git("init", "-q", "-b", "main", where=top)
    commit(top)
    plant_in = steps_of(inner)
    plant_in.write_text(FAULTS["evaluation"])
    monkeypatch.chdir(inner)
    base, new = sides("HEAD", ".")
    assert file_of(base) == file_of(new) == "packages/one/src/gated_solvers/steps.py"
    assert SAME == [False]


def test_another_checkout_is_a_side_with_plugins_of_its_own(package: Path, tmp_path: Path) -> None:
    write(package, {"bench/mine.py": SOLVER.format(name="mine")})
    commit(package)
    git("worktree", "add", "-q", "--detach", str(tmp_path / "base"), "HEAD", where=package)
    write(package, {"bench/mine.py": SOLVER.format(name="mine") + "# changed\n"})
    base, new = sides("../base", ".", "bench/mine.py")
    assert SAME == [False]
    (one,) = [file for name, file in base.modules.items() if name.startswith("odebench_plugin_")]
    (two,) = [file for name, file in new.modules.items() if name.startswith("odebench_plugin_")]
    assert (one, two) == (tmp_path / "base/bench/mine.py", package / "bench/mine.py")


# --- what is refused ---


def test_a_plugin_that_lies_outside_a_side_is_refused(package: Path, tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/mine.py": SOLVER.format(name="mine")})
    told = (
        rf"HEAD~1 .*: plugin .*mine\.py is loaded from {tmp_path}/elsewhere/mine\.py, which is not in .*--base path/to"
    )
    with pytest.raises(UsageError, match=told):
        sides("HEAD~1", "HEAD", "../elsewhere/mine.py")


def test_a_module_that_another_finder_takes_from_the_working_tree_is_refused(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As editable installations of some build backends do, whatever the module path says."""
    finder = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "class Finder:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        return PathFinder.find_spec(name, [{str(package / 'src')!r}]) if name == 'gated_solvers' else None\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    write(tmp_path, {"site/sitecustomize.py": finder})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(UsageError, match=r"gated_solvers.* is loaded from .*/package/src/.*, which is not in"):
        sides("HEAD~1", "HEAD")


def test_a_link_in_a_side_that_leads_out_of_it_is_refused(package: Path, tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/mine.py": SOLVER.format(name="mine")})
    (package / "mine.py").symlink_to(tmp_path / "elsewhere" / "mine.py")
    commit(package)
    with pytest.raises(UsageError, match=r"HEAD .*mine\.py: there is no such Python file"):
        sides("HEAD", ".", "mine.py")
    with pytest.raises(UsageError, match=r"HEAD~1 .*mine\.py: there is no such Python file"):
        sides("HEAD~1", ".", "mine.py")
    (package / "mine.py").unlink()
    write(package, {"mine.py": SOLVER.format(name="mine")})
    commit(package)
    (package / "mine.py").unlink()
    (package / "mine.py").symlink_to(tmp_path / "elsewhere" / "mine.py")
    with pytest.raises(UsageError, match=r"is loaded from .*/elsewhere/mine\.py"):
        sides("HEAD", ".", "mine.py")


@pytest.mark.parametrize("new", [".", "../package", "{}/package"])
def test_one_folder_on_both_sides_is_refused(package: Path, new: str) -> None:
    with pytest.raises(UsageError, match="are one and the same folder"):
        sides(".", new.format(package.parent))


def test_a_side_of_which_nothing_is_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"README.md": "no plugins here\n"})
    git("init", "-q", "-b", "main", where=tmp_path)
    commit(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="nothing of it is loaded: odebench is that of"):
        sides("HEAD", ".")


def test_what_has_to_be_built_first_is_refused_with_what_to_do(package: Path) -> None:
    steps_of(package).write_text("from gated_solvers._fast import halve\n")
    commit(package)
    with pytest.raises(UsageError, match=r"HEAD .*cannot be loaded: .*_fast.*needs environments: install each side"):
        sides("HEAD~1", "HEAD")


def test_an_installed_package_that_is_no_part_of_a_side_may_be_there(
    package: Path, tmp_path: Path, monkeypatch
) -> None:
    write(tmp_path, {
        "site-packages/stranger/__init__.py": SOLVER.format(name="strange"),
        "site-packages/stranger-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: stranger\nVersion: 1\n",
        "site-packages/stranger-1.dist-info/entry_points.txt": "[odebench.solvers]\nstrange = stranger:Scheme\n",
    })  # fmt: skip
    path = [str(tmp_path / "site-packages"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    base, _ = sides("HEAD~1", "HEAD")
    assert base.modules["stranger"].parent == tmp_path / "site-packages" / "stranger"


@pytest.mark.slow
def test_two_environments_that_share_the_package_are_refused_and_two_that_do_not_are_taken(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", "src")
    outer = make_machine(tmp_path / "outer")
    outer.install(package)
    for name in ("one", "two"):
        outer.run(
            "python", "-m", "venv", "--without-pip", "--system-site-packages", str(tmp_path / name), where=tmp_path
        )
    with pytest.raises(UsageError, match=r"both sides load one and the same file for installed plugin halves = "):
        sides(str(tmp_path / "one"), str(tmp_path / "two"))
    for name in ("one", "two"):
        outer.run(str(tmp_path / name / "bin" / "python"), "-m", "pip", "install", "-q", str(package), where=tmp_path)
    base, new = sides(str(tmp_path / "one"), str(tmp_path / "two"))
    assert base.modules["gated_solvers"].is_relative_to(tmp_path / "one")
    assert new.modules["gated_solvers"].is_relative_to(tmp_path / "two")
    assert SAME == [True]
    steps_of(package).write_text(FAULTS["leak"])
    outer.run(str(tmp_path / "two/bin/python"), "-m", "pip", "install", "-q", "--force-reinstall", str(package),
              where=tmp_path)  # fmt: skip
    sides(str(tmp_path / "one"), str(tmp_path / "two"))
    assert SAME == [False]
    # As an editable installation: a path, and metadata.
    outer.run(str(tmp_path / "one/bin/python"), "-m", "pip", "uninstall", "-q", "-y", "gated-solvers", where=tmp_path)
    (library,) = (tmp_path / "one" / "lib").glob("python*/site-packages")
    (library / "gated.pth").write_text(str(package / "src"))
    assert read_package(package).write_metadata(library)
    with pytest.raises(UsageError, match=r"is loaded from .*, which is of the other side"):
        sides(str(tmp_path / "one"), str(package))


def test_a_process_that_loads_other_sources_later_is_noticed(package: Path) -> None:
    write(package, {"mine.py": SOLVER.format(name="mine")})
    commit(package)
    with open_tree("HEAD") as one, open_tree(".") as two:
        _, new = look_at((one, two), [str(package / "mine.py")])
        tree = Tree(**{**vars(two), "sources": new.sources})
        write(package, {"mine.py": SOLVER.format(name="mine") + "# edited meanwhile\n"})
        arm = Arm(tree, [str(package / "mine.py")], {"repeats": 1})
        try:
            with pytest.raises(UsageError, match=r"a process loaded mine\.py with other sources"):
                arm.open()
        finally:
            arm.close()


# --- through the command line ---


def test_the_command_finds_a_fault_in_src_and_refuses_what_it_cannot_measure(package: Path, tmp_path: Path) -> None:
    suite = SUITE.replace("[halves]", "[rk4, mine]") + "plugins: [mine.py]\n"
    write(package, {"mine.py": LATE, "s.yaml": suite})
    git("checkout", "-q", "HEAD~1", "--", "src", where=package)
    commit(package)
    plant(package, "evaluation")
    words = ("compare", "--suite", "s.yaml", "--base", "HEAD~1", "--fail-on", "exact", "-k", "solver=mine")
    done = call(*words, "--new", "HEAD", "--format", "csv")
    assert done.exit_code == 1, done.output
    assert ",nfe_forward,worse,30,40," in done.stdout
    (tmp_path / "mine.py").write_text((package / "mine.py").read_text())
    (package / "s.yaml").write_text(suite.replace("mine.py", "../mine.py"))
    done = call(*words)
    assert done.exit_code == 2
    assert "is loaded from" in done.stderr
    done = call("compare", "--suite", "s.yaml", "--base", ".", "--fail-on", "exact")
    assert done.exit_code == 2
    assert "one and the same folder" in done.stderr
