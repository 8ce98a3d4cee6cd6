"""What is shipped: metadata, pins, suites, and nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from odebench.plan import make_plan
from odebench.suite.loading import load_suites, shipped_suites

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named_by_pyproject() -> set[str]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = {canonical(re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]) for group in groups for line in group}
    return names - {"odebench"}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): version for name, version in pairs}


def tracked_texts() -> dict[Path, str]:
    """What git tracks or would track; without git, what an sdist holds."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode != 0 or not listing.stdout:
        pytest.skip("this is not a git checkout")
    paths = [ROOT / line for line in listing.stdout.splitlines()]
    return {path: path.read_text(errors="replace") for path in paths if path.is_file()}


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "odebench" / "py.typed").exists()


def test_constraints_pin_everything_that_pyproject_names_once_and_without_local_versions() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert named_by_pyproject() <= set(pins())
    assert len(lines) == len(pins())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)


def test_pins_are_no_older_than_what_pyproject_asks_for() -> None:
    requirement = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for name, least in (requirement.fullmatch(line).groups() for group in groups for line in group if ">=" in line):
        pinned = tuple(int(part) for part in re.findall(r"\d+", pins()[canonical(name)])[:3])
        assert pinned >= tuple(int(part) for part in least.split(".")), name


def test_the_extras_of_the_interface_exist_and_peers_is_all_of_them() -> None:
    extras = PROJECT["optional-dependencies"]
    peers = {"torchdiffeq", "torchode", "torchsde", "torchdiffeqpack", "diffrax"}
    assert {"peers", "report", "docs", "test"} | peers <= set(extras)
    (everything,) = extras["peers"]
    assert set(re.findall(r"\[(.*)\]", everything)[0].split(",")) == peers


def test_nothing_names_a_path_of_the_machine_or_a_package_index() -> None:
    texts = tracked_texts()
    forbidden = [f"{ROOT.parent}/", f"{Path.home()}/", "/.lib" + "rary", "index" + "-url", "find" + "-links"]
    found = [f"{path}: {needle}" for path, text in texts.items() for needle in forbidden if needle in text]
    assert found == []


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_shipped_suite_plans(path: Path) -> None:
    plan = make_plan(load_suites([path]), cuda_devices=int(path.stem.endswith("_gpu")))
    assert any(planned.refusal is None for planned in plan.cells)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_shipped_suite_is_called_like_its_file_or_begins_so_and_begins_with_an_explanation(path: Path) -> None:
    text = path.read_text()
    assert all(document["name"].startswith(path.stem) for document in yaml.safe_load_all(text))
    assert text.startswith("# ")


def test_the_shipped_suites_are_found_by_name() -> None:
    assert set(shipped_suites()) == {path.stem for path in SUITES}
    assert {"quickstart", "mali_toy", "reverse_accuracy", "memory_vs_steps", "work_precision", "long_horizon"} <= set(
        shipped_suites()
    )


def test_a_wheel_holds_the_suites_and_finds_them_without_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    build = "import sys, hatchling.build; hatchling.build.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    assert (unpacked / "odebench" / "py.typed").exists()
    shipped = {path.name for path in (unpacked / "odebench" / "page" / "assets").iterdir()}
    assert shipped == {path.name for path in (ROOT / "odebench" / "page" / "assets").iterdir()}
    ask = "from odebench.suite.loading import shipped_suites; print(*shipped_suites().values(), sep='\\n')"
    found = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked)},
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [Path(line) for line in found.stdout.splitlines()]
    assert {path.stem for path in paths} == {path.stem for path in SUITES}
    assert all(path.is_relative_to(unpacked) for path in paths)
