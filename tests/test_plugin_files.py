"""Plugins named by path find what lies beside them, and hide nothing of anybody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import odebench

HOME = str(Path(odebench.__file__).parents[1])


def load(folder: Path, *plugins: str, then: str = "", path: str = "") -> str:
    """What a fresh process prints that loads `plugins` from another folder, and then does `then`."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    code = "import sys; from odebench import registry\n" + "".join(
        f"registry.load_plugin({str(folder / each)!r})\n" for each in plugins
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*([path] if path else []), HOME])}
    line = [sys.executable, "-c", code + dedent(then)]
    done = subprocess.run(line, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=100)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(dedent(text))


def test_a_plugin_imports_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path, plug="import helper; print(helper.x)", helper="x = 'beside'")
    assert load(tmp_path, "plug.py") == "beside"


def test_a_neighbour_imports_its_neighbours_and_packages(tmp_path: Path) -> None:
    write(
        tmp_path,
        plug="import a; print(a.x)",
        a="from kit.deep import x",
        **{"kit/__init__": "", "kit/deep": "from .more import x", "kit/more": "x = 'more'"},
    )
    assert load(tmp_path, "plug.py") == "more"


def test_an_import_inside_a_function_finds_the_neighbour_later(tmp_path: Path) -> None:
    plug = """
    import builtins
    def late():
        import helper
        return helper.x
    builtins.late = late
    """
    write(tmp_path, plug=plug, helper="x = 'late'")
    assert load(tmp_path, "plug.py", then="print(late())") == "late"


def test_relative_imports_work_in_a_package(tmp_path: Path) -> None:
    files = {
        "kit/__init__": "y = 'package'", "kit/helper": "x = 'sibling'", "kit/sub/__init__": "",
        "kit/sub/plug": "from ..helper import x\nfrom .. import y\nfrom . import near\nprint(x, y, near.z)",
        "kit/sub/near": "z = 'near'",
    }  # fmt: skip
    write(tmp_path, **files)
    assert load(tmp_path, "kit/sub/plug.py") == "sibling package near"


def test_a_package_that_imports_the_plugin_itself_is_no_circle(tmp_path: Path) -> None:
    files = {
        "kit/__init__": "from .plug import X",
        "kit/plug": "from .helper import x\nX = x\nprint(X)",
        "kit/helper": "x = 1",
    }
    write(tmp_path, **files)
    assert load(tmp_path, "kit/plug.py") == "1"


def test_a_package_by_its_own_name_is_found_from_inside(tmp_path: Path) -> None:
    write(
        tmp_path, **{"kit/__init__": "", "kit/plug": "from kit.helper import x\nprint(x)", "kit/helper": "x = 'named'"}
    )
    assert load(tmp_path, "kit/plug.py") == "named"


def test_a_package_is_not_imported_for_a_plugin_that_needs_none_of_it(tmp_path: Path) -> None:
    write(tmp_path, **{"kit/__init__": "raise RuntimeError('not asked for')", "kit/plug": "print('alone')"})
    assert load(tmp_path, "kit/plug.py") == "alone"


@pytest.mark.parametrize("name", ["torch", "json", "yaml", "numpy", "typing", "odebench"])
def test_a_neighbour_hides_neither_the_standard_library_nor_what_is_installed(tmp_path: Path, name: str) -> None:
    write(tmp_path, plug=f"import helper, {name}; print({name}.__file__)", helper="", **{name: "raise RuntimeError"})
    said = load(tmp_path, "plug.py")
    assert said.endswith((f"{name}/__init__.py", f"{name}.py")), said
    assert not said.startswith(str(tmp_path))


def test_a_neighbour_goes_before_a_module_of_the_working_folder_and_of_pythonpath(tmp_path: Path) -> None:
    write(tmp_path, plug="import helper; print(helper.x)", helper="x = 'beside'")
    write(tmp_path / "elsewhere", helper="x = 'working folder'")
    write(tmp_path / "path", helper="x = 'PYTHONPATH'")
    assert load(tmp_path, "plug.py", path=str(tmp_path / "path")) == "beside"


def test_what_lies_in_the_working_folder_alone_is_found_as_before(tmp_path: Path) -> None:
    write(tmp_path, plug="import other; print(other.x)")
    write(tmp_path / "elsewhere", other="x = 'working folder'")
    assert load(tmp_path, "plug.py") == "working folder"


def test_a_folder_beside_it_hides_no_module_of_the_working_folder(tmp_path: Path) -> None:
    write(tmp_path, plug="import other; print(other.x)")
    write(tmp_path / "elsewhere", other="x = 'working folder'")
    (tmp_path / "other").mkdir()
    assert load(tmp_path, "plug.py") == "working folder"


def test_two_plugins_with_neighbours_of_one_name_have_each_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, plug="import helper; print(helper.x, end=' ')", helper=f"x = '{name}'")
    assert load(tmp_path, "a/plug.py", "b/plug.py") == "a b"


def test_two_neighbours_of_one_name_that_cannot_be_told_apart_later_are_refused(tmp_path: Path) -> None:
    late = "def late():\n    import helper\n"
    for name in ("a", "b"):
        write(tmp_path / name, plug=f"import helper\n{late}", helper=f"x = '{name}'")
    said = load(tmp_path, "a/plug.py", "b/plug.py")
    assert "imports helper beside it" in said
    assert "from . import helper" in said


def test_plugins_that_are_neighbours_of_one_another_are_imported_once(tmp_path: Path) -> None:
    write(tmp_path, a="import b\nprint(b.x, end=' ')", b="x = 'b'\nprint('once', end=' ')")
    assert load(tmp_path, "a.py", "b.py") == "once b"
    assert load(tmp_path, "b.py", "a.py") == "once b"


def test_an_edit_that_keeps_size_and_time_of_a_file_is_seen(tmp_path: Path) -> None:
    write(tmp_path, plug="import helper; print(helper.x)", helper="x = 1")
    assert load(tmp_path, "plug.py") == "1"
    for name in ("plug", "helper"):
        before = (tmp_path / f"{name}.py").stat()
        write(tmp_path, **{name: (tmp_path / f"{name}.py").read_text().replace("1", "2")})
        os.utime(tmp_path / f"{name}.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(tmp_path, "plug.py") == "2"


def test_a_missing_neighbour_is_told_with_the_plugin(tmp_path: Path) -> None:
    write(tmp_path, plug="import nowhere_to_be_found")
    said = load(tmp_path, "plug.py")
    assert "plug.py: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in said


def test_check_knows_what_a_neighbour_of_the_plugin_registers(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "odebench", "init", "solver", "mine", "-o", str(tmp_path / "scheme.py")]
    subprocess.run(line, check=True, capture_output=True)
    write(tmp_path, plug="import scheme")
    line = [sys.executable, "-m", "odebench", "check", str(tmp_path / "plug.py"), "--only", "order"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "pass" in done.stdout
