"""Suites and training runs with fields that draw random numbers at every call: exact as ever, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench import registry
from odebench.controllers import Fixed
from odebench.spec import Spec
from odebench.training.solving import Solving

SUITE = """
name: dropped
problems: [dropped]
solvers: [rk4, alf]
gradients: [direct, aca, {{recursive: {{checkpoints: 2}}}}, symplectic, reversible, adjoint]
stepping: [{{fixed: {{steps: 4}}}}]
batches: [4]
exclude:
  - {{solver: rk4, gradient: reversible}}
  - {{solver: alf, gradient: symplectic}}
measure: {{repeats: 1, warmup: 0}}
plugins: [{plugin}]
"""


def test_a_suite_draws_the_same_masks_on_the_way_back_and_refuses_what_keeps_nothing(tmp_path: Path) -> None:
    suite = tmp_path / "dropped.yaml"
    suite.write_text(SUITE.format(plugin=Path(__file__).parent / "plugins" / "dropped.py"))
    records = odebench.run(suite, output=tmp_path / "results")
    found = {(str(each.cell.solver), each.cell.gradient.name): each for each in records}
    for key, record in found.items():
        if key[1] in ("reversible", "adjoint"):
            assert record.status == "refused"
            assert "draws random numbers" in record.reason
        else:
            assert record.status == "ok", record.reason
            assert record.metrics["gradient_error_discrete"] < 1e-14
    assert len(found) == 10


@pytest.mark.parametrize("gradient", ["aca", "recursive", "symplectic"])
def test_a_training_run_draws_the_same_masks_on_the_way_back(gradient: str) -> None:
    found = []
    for how in ("direct", gradient):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)).double()

        def f(t: Tensor, y: Tensor, net: nn.Module = net) -> Tensor:
            out: Tensor = net(y)
            return out

        stepper, exact = registry.solvers.build(Spec("rk4")), registry.gradients.build(Spec(how))
        solving = Solving(stepper, exact, Fixed(steps=5))
        params, y0 = tuple(net.parameters()), torch.ones(3, 2, dtype=torch.float64)
        for _ in range(2):
            ys = solving(f, y0, (0.0, 1.0), params)
            ys[-1].square().sum().backward()
        assert solving.counts.solves == 2
        found.append(torch.cat([p.grad.flatten() for p in params if p.grad is not None]))
    assert float((found[1] - found[0]).norm() / found[0].norm()) < 1e-13
