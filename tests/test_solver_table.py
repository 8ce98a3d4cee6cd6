"""docs/solvers.md: how its figures are computed, and that no solver is missing from it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from odebench.registry import load_shipped, solvers
from odebench.spec import Spec
from odebench.types import Stepper

load_shipped()
DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_solvers", DOCS / "solvers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("solver", "real", "imaginary"),
    [
        (Spec("euler"), 2.0, 0.0),
        (Spec("heun"), 2.0, 0.0),
        (Spec("rk4"), 2.7853, 2.8284),
        (Spec("dopri5"), 3.3066, 0.9972),  # where |1 + z + … + z⁵/120 + z⁶/600| = 1
        (Spec("alf"), 0.0, 1.0),
        (Spec.of("alf", {"eta": 0.8}), 0.5, 0.0),  # an ellipse of half axes 0.25 and 1, that touches the imaginary axis
        (Spec.of("adams_bashforth", {"order": 2}), 1.0, 0.0),
        (Spec.of("adams_bashforth", {"order": 3}), 6 / 11, 0.7236),
        (Spec("stormer_verlet"), None, 2.0),
    ],
    ids=str,
)
def test_stability_intervals_are_those_of_the_literature(
    table: ModuleType, solver: Spec, real: float | None, imaginary: float
) -> None:
    stepper = solvers.build(solver)
    if real is not None:
        assert table.interval(stepper, -1.0 + 0.0j) == pytest.approx(real, abs=2e-4)
    assert table.interval(stepper, 1.0j) == pytest.approx(imaginary, abs=2e-4)


def test_the_growth_of_a_runge_kutta_step_is_its_stability_function(table: ModuleType) -> None:
    rates = torch.tensor([0.3 - 1.2j, -1.0 + 0.5j], dtype=torch.complex128)
    polynomial = 1 + rates + rates**2 / 2 + rates**3 / 6 + rates**4 / 24
    assert torch.allclose(table.growth(solvers.build(Spec("rk4")), rates), polynomial.abs(), rtol=1e-13)


def test_every_scheme_has_its_line_in_the_table() -> None:
    listed = set(re.findall(r"^\| `([\w.]+)", (DOCS / "solvers.md").read_text(encoding="utf-8"), re.MULTILINE))
    shipped = {entry.name for entry in solvers if entry.source == "odebench" and isinstance(entry.build({}), Stepper)}
    assert shipped <= listed, "run make solvers"
