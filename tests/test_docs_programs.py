"""docs/programs.md: its tables are what docs/programs/measured.json says, and say it rightly."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The runner's modules, found as its own script finds them."""
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        names = (
            "marked",
            "programs.comparing",
            "programs.listing",
            "programs.records",
            "programs.tables",
            "programs.worker",
        )
        return {name.removeprefix("programs."): importlib.import_module(name) for name in names}


def test_the_page_says_what_was_measured(modules: dict[str, ModuleType]) -> None:
    found = modules["records"].read(modules["records"].MEASURED)
    assert modules["marked"].parts_of("programs.md") == modules["tables"].parts(found)


def test_every_program_has_a_driver_and_was_measured(modules: dict[str, ModuleType]) -> None:
    names = set(modules["listing"].PROGRAMS)
    assert names == {each.program for each in modules["records"].read(modules["records"].MEASURED)}
    assert all((DOCS / "programs" / f"{name}.py").exists() for name in names)


def test_a_distance_is_relative_to_the_largest_entry(modules: dict[str, ModuleType]) -> None:
    distance = modules["comparing"].distance
    assert distance(np.array([4.0, 1.0]), np.array([4.0, 2.0])) == 0.25
    assert distance(np.array([1.0]), np.array([1.0, 1.0])) == np.inf
    assert distance(np.array([np.nan, 2.0]), np.array([1.0, 2.0])) == np.inf
    assert distance(np.array([np.nan, 2.0]), np.array([np.nan, 1.0])) == 0.5


@pytest.mark.parametrize(
    ("there", "here", "truth", "rtol", "verdict"),
    [
        (1.0, 1.0 + 1e-9, 1.0, None, "torchdiffeq nearer"),
        (1.0, 1.0 + 1e-13, 1.0, None, "equal"),
        (1.0, 1.002, 1.0, 1e-2, "equal"),
        (1.0, 1.002, 1.0, 1e-3, "torchdiffeq nearer"),
        (1.0, 1.002, 1.002, 1e-3, "odebench nearer"),
        (1.0, 1.002, None, 1e-3, "not equal"),
    ],
)
def test_a_verdict_is_by_the_distance_and_the_truth(
    modules: dict[str, ModuleType], there: float, here: float, truth: float | None, rtol: float | None, verdict: str
) -> None:
    answers = [
        None if value is None else modules["worker"].Answer({"y": np.array([value])}, 6, 0.1, "", "", ())
        for value in (there, here, truth)
    ]
    case = modules["comparing"].Compared.of("sit", "case", rtol, *answers, pairs=[])
    assert modules["tables"].verdict(case) == verdict


def test_a_case_that_fails_says_on_which_side(modules: dict[str, ModuleType]) -> None:
    answer = modules["worker"].Answer
    good = answer({"y": np.array([1.0])}, 6, 0.1, "", "", ())
    bad = answer({}, 0, 0.1, "ValueError: no", "", ())
    of, tables = modules["comparing"].Compared.of, modules["tables"]
    case = of("sit", "case", None, good, bad, None, [])
    assert tables.verdict(case) == "torchdiffeq alone runs"
    assert "willisma/SiT, case; odebench: ValueError: no" in tables.parts([case])["failures"]
    assert tables.verdict(of("sit", "case", None, bad, bad, None, [])) == "neither runs"


def test_records_come_back_as_they_were(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    answer = modules["worker"].Answer({"y": np.array([1.0, 2.0])}, 6, 0.1, "", "", ("a warning",))
    pairs = [modules["comparing"].Pair(2.0, 1.0)]
    case = modules["comparing"].Compared.of("sit", "case", 1e-3, answer, answer, None, pairs)
    records, file = modules["records"], tmp_path / "measured.json"
    records.replace(file, "sit", [case, case])
    records.replace(file, "ffjord", [])
    records.replace(file, "sit", [case])
    assert records.read(file) == [case]
