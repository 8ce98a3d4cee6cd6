"""docs/gradients.md: its tables are those of today's registry, and every gradient has its section."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from odebench.cli.explain_entry import LAWS
from odebench.controllers import Fixed
from odebench.measure.trial import NativePair
from odebench.registry import gradients, load_shipped, solvers
from odebench.spec import Spec

load_shipped()
DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "gradients.md").read_text(encoding="utf-8")
SHIPPED = [entry.name for entry in gradients if entry.source == "odebench"]


@pytest.fixture(scope="module")
def made() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        yield importlib.import_module("gradients")


@pytest.mark.parametrize("name", ["methods", "costs", "evaluations", "distances"])
def test_a_table_is_what_would_be_made_today(made: ModuleType, name: str) -> None:
    from marked import parts_of

    assert parts_of("gradients.md")[name] == made.part(name), "run docs/gradients.py"


def test_no_table_is_left_out_and_no_gradient(made: ModuleType) -> None:
    assert set(re.findall(r"<!-- made by docs/gradients\.py: (\w+) -->", PAGE)) == set(made.TABLES)
    assert set(SHIPPED) == set(LAWS)
    assert set(SHIPPED) <= set(re.findall(r"^### (\w+)", PAGE, re.MULTILINE))


def test_evaluations_going_back_are_told_as_a_formula(made: ModuleType) -> None:
    told = {
        ("symplectic", "rk4"): "7·N",
        ("aca", "dopri5"): "6·N + 1",
        ("reversible", "alf"): "N + 1",
        ("direct", "rk4"): "none",
    }
    for (how, solver), formula in told.items():
        assert made.counted(gradients.build(Spec(how)), solvers.build(Spec(solver))) == formula
    unfit = made.counted(gradients.build(Spec("recursive")), solvers.build(Spec("rk4")))
    assert re.fullmatch(r"\d+ at N = 12", unfit)


def test_what_is_called_a_second_derivative_is_one(made: ModuleType) -> None:
    def slope(y0: torch.Tensor) -> torch.Tensor:
        bound = made.swing()
        pair = NativePair(bound, solvers.build(Spec("rk4")), gradients.build(Spec("direct")), Fixed(steps=3))
        ys = pair.gradient.solve(lambda t, y: bound.f(t, y), bound.params, y0, bound.ts, pair.stepper, pair.control)
        return torch.autograd.grad(ys[-1].sin().sum(), y0, create_graph=True)[0]

    start = made.swing().y0.detach()
    assert torch.autograd.gradcheck(slope, start.clone().requires_grad_())
