"""The workload `hybrid_pharmacology`: its patients, its field, its doses, and that it trains."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Any

import pytest
import torch

import odebench
from odebench import api
from odebench.errors import OptionError
from odebench.record import Record
from odebench.suite.options import canonical
from odebench.workloads.hybrid_pharmacology import HybridPharmacology
from odebench.workloads.hybrid_pharmacology_task import HybridTask
from odebench.workloads.pharmacology_data import DOSE_MAX, SUBSTEPS, World, draw_cohorts, expert_slope, simulate_states
from odebench.workloads.shuffled import shuffled
from odebench.workloads.workload import streams

SUITE = """
name: patients
kind: train
problems: [PROBLEMS]
solvers: [tsit5]
gradients: [GRADIENTS]
stepping: [{adaptive: {rtol: 1e-3, atol: 1e-4, per_sample: APART}}]
batches: [4]
train: {steps: STEPS, checkpoint_every: 0, evaluate_every: 1000}
plugins: [odebench.workloads.hybrid_pharmacology]
"""
SMALL = {"samples": 24, "channels": 6, "end": 4, "observed": 2}


def train(folder: Path, *problems: dict[str, Any], steps: int = 3, gradients: str = "aca", apart: bool = False) -> Any:
    """Records of the workload with these options, by the first two of them."""
    spelled = [{"hybrid_pharmacology": SMALL | each} for each in problems]
    words = {
        "PROBLEMS": str(spelled)[1:-1],
        "GRADIENTS": gradients,
        "STEPS": str(steps),
        "APART": str(apart).lower(),
    }
    text = SUITE
    for word, value in words.items():
        text = text.replace(word, value)
    path = folder / "patients.yaml"
    path.write_text(text)
    return api.run(path, output=folder / "out")


def option(record: Record, name: str) -> Any:
    return dict(record.cell.problem.options)[name]


def made(**options: Any) -> HybridTask:
    return HybridPharmacology(**(SMALL | options)).build(0, torch.float64, torch.device("cpu"))


def tight(f: Any, y0: torch.Tensor, ts: Any, params: Any, leading: int | None = None) -> torch.Tensor:
    times = torch.tensor(ts, dtype=torch.float64)
    return odebench.odeint(f, y0, times, method="dopri8", rtol=1e-8, atol=1e-8, params=params)


def test_every_field_trains_with_exact_gradients(tmp_path: Path) -> None:
    records = train(tmp_path, *({"dynamics": name} for name in ("hybrid", "neural", "expert")), steps=25)
    assert len(records) == 3
    for record in records:
        assert record.status == "ok", record.reason
        curve = record.samples["trained_loss"]
        assert sum(curve[-5:]) < 0.9 * sum(curve[:5])
        assert record.metrics["quality"] < record.samples["evaluated_quality"][0]
        assert record.metrics["gradient_error_discrete"] < 1e-11
        assert ("rmse_states" in record.metrics) == (option(record, "dynamics") != "neural")
        assert record.metrics["rmse_truth"] < record.metrics["quality"]


def test_gradients_are_exact_through_jumps_and_by_stages(tmp_path: Path) -> None:
    (record,) = train(tmp_path, {"jumps": "through", "end": 2}, steps=1, gradients="symplectic")
    assert record.status == "ok", record.reason
    assert record.metrics["gradient_error_discrete"] < 1e-11


def test_patients_may_step_by_themselves(tmp_path: Path) -> None:
    for record in train(tmp_path, {"end": 2}, {"jumps": "through", "end": 2}, steps=1, apart=True):
        assert record.status == "ok", record.reason
        assert record.metrics["gradient_error_discrete"] < 1e-11


def test_going_through_jumps_costs_more_than_restarting_at_them() -> None:
    calls = {}
    for jumps in ("restart", "through"):
        task, count = made(jumps=jumps), [0]

        def solve(f: Any, y0: Any, ts: Any, params: Any, leading: int | None = None, count: list[int] = count) -> Any:
            def counted(t: Any, y: Any) -> Any:
                count[0] += 1
                return f(t, y)

            times = torch.tensor(ts, dtype=torch.float64)
            return odebench.odeint(counted, y0, times, method="tsit5", rtol=1e-3, atol=1e-4, params=params)

        with torch.no_grad():
            task.loss(0, 8, solve)
        calls[jumps] = count[0]
    assert calls["through"] > 1.5 * calls["restart"]


def test_the_expert_s_equations_are_those_of_the_source() -> None:
    d, r, i, x, dose = 0.7, 1.3, 0.4, 2.0, 5.0
    (found,) = expert_slope(torch.tensor([[d, r, i, x, 9.0]]).double(), torch.tensor([[dose]]).double())
    reaction = d - r + d * r + r**2 / (1 + r**2) - x * r
    assert found.tolist() == pytest.approx([d - d * i**2 - d * r, reaction, r, dose - x])


def world(latent: int = 6) -> World:
    hidden = torch.randn((latent, latent - 4), generator=streams(1), dtype=torch.float64) / latent
    return World(hidden, torch.zeros((latent + 1, 1), dtype=torch.float64))


def test_the_effect_of_a_dose_is_that_of_two_compartments() -> None:
    y0 = torch.full((2, 6), 0.01, dtype=torch.float64)
    doses = torch.tensor([[2.0], [0.0]]).double(), torch.tensor([[10.0], [3.0]]).double()
    states = simulate_states(world(), y0, doses, 5, SUBSTEPS)
    for row, (when, size) in enumerate(zip(*(each.flatten().tolist() for each in doses), strict=True)):
        for t in range(6):
            since = max(0.0, t - when)
            assert float(states[t, row, 3]) == pytest.approx(
                0.01 * exp(-t) + size * since * exp(-since), rel=1e-6, abs=1e-9
            )


def test_the_simulation_has_converged() -> None:
    y0 = torch.empty((50, 6), dtype=torch.float64).exponential_(generator=streams(2)) / 100
    when = torch.randint(14, (50, 1), generator=streams(3)).double()
    size = DOSE_MAX * torch.rand((50, 1), generator=streams(4), dtype=torch.float64)
    whole, halved = (simulate_states(world(), y0, (when, size), 14, n) for n in (SUBSTEPS, 2 * SUBSTEPS))
    assert float((whole - halved).abs().max()) < 1e-6


@pytest.mark.parametrize("jumps", ["restart", "through"])
def test_a_field_with_the_true_weights_gives_the_true_states(jumps: str) -> None:
    task = made(jumps=jumps, samples=12)
    hidden = streams(0, 1)
    latent = 6
    values = torch.randn((latent, 2), generator=hidden, dtype=torch.float64)
    values = values * (torch.rand((latent, 2), generator=hidden, dtype=torch.float64) < 0.5) / latent
    with torch.no_grad():
        task.model.learnt[0].weight.copy_(values.T)
        task.model.learnt[0].bias.zero_()
        truth = task.train.states
        found = task.paths(truth[0], task.train, tight)
    assert float((found - truth).abs().max()) < 1e-5


def test_restarting_and_going_through_mean_the_same() -> None:
    ways = [made(jumps=jumps) for jumps in ("restart", "through")]
    losses = [float(task.loss(0, 8, tight).detach()) for task in ways]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_observations_are_standardised_and_held_back_at_random() -> None:
    workload = HybridPharmacology(samples=300, kept=0.5, noise=0.0)
    cohort, other = draw_cohorts(workload, 3)
    assert float(cohort.mask.mean()) == pytest.approx(0.5, abs=0.01)
    assert not bool(cohort.observations[cohort.mask == 0].any())
    seen = cohort.mask > 0
    assert torch.equal(cohort.observations[seen], cohort.clean[seen]), "without noise"
    assert float(cohort.clean.mean((0, 1)).abs().max()) < 1e-6
    assert not torch.equal(cohort.dose_time[:200], other.dose_time)
    assert torch.equal(draw_cohorts(workload, 3)[1].observations, other.observations)


def test_minibatches_are_functions_of_their_number_and_cover_an_epoch() -> None:
    drawn = torch.cat([shuffled(0, 4, 10, step, 4) for step in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()
    assert torch.equal(shuffled(0, 4, 10, 3, 4), drawn[12:16])
    assert len(shuffled(0, 4, 3, 7, 20)) == 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"observed": 15}, "at most end, so that a time is left to predict; got observed 15 and end 14"),
        ({"latent": 4}, "latent must be at least 5"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"kept": 0.0}, "kept is a probability above 0; got 0.0"),
        ({"noise": -1.0}, "noise must be at least 0 and finite; got -1.0"),
        ({"dynamics": "hybrids"}, "did you mean 'hybrid'"),
        ({"jumps": "over"}, "expected one of 'restart', 'through'"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        canonical("workload", {"hybrid_pharmacology": options})
    assert said in str(caught.value)
