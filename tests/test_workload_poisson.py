"""The Poisson process whose intensity is integrated in the solve that gives its states."""

from __future__ import annotations

from math import log, pi
from pathlib import Path

import pytest
import torch

from odebench import api, odeint
from odebench.errors import OptionError
from odebench.registry import workloads
from odebench.workloads import poisson_process
from odebench.workloads.poisson_process import PoissonProcess
from odebench.workloads.poisson_process_task import draw_events, true_integral, true_intensity

SUITE = f"""
name: events
kind: train
problems: [{{poisson_process: {{sequences: 100, points: 16}}}}]
solvers: [tsit5]
gradients: [aca]
stepping: [{{adaptive: {{rtol: 1e-3, atol: 1e-3, dense: true}}}}]
batches: [50]
regularisers: [none, kinetic]
train: {{steps: 80, lr: 0.02}}
plugins: [{poisson_process.__name__}]
"""


def built(**options: object) -> object:
    return PoissonProcess(**options).build(0, torch.float64, torch.device("cpu"))


def solve(f, y0, ts, params, leading=None):
    return odeint(f, y0, torch.tensor(ts, dtype=torch.float64), rtol=1e-9, atol=1e-9, params=params)


def test_it_learns_an_intensity_that_beats_a_constant_one(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_text(SUITE)
    records = api.run(path, output=tmp_path / "out")
    assert [each.status for each in records] == ["ok", "ok"], [each.reason for each in records]
    for each in records:
        metrics = each.metrics
        assert metrics["quality_reference"] < metrics["quality"] < metrics["constant_nats"]
        assert metrics["intensity_error"] < each.samples["evaluated_intensity_error"][0] / 1.5
        assert metrics["gradient_error_discrete"] < 1e-11


def test_a_constant_intensity_has_the_likelihood_on_paper() -> None:
    task = built(points=0, sequences=40)
    height = task.model.height
    with torch.no_grad():
        height[2].weight.zero_()
        height[2].bias.fill_(0.7)
    rate = task.mean_rate * (torch.tensor(0.7).double().exp().log1p().item() + 1e-6)
    rows = torch.tensor([3, 0, 3])
    wanted = task.train.holds[rows].sum(1).double() * log(rate) - rate * 5.0
    torch.testing.assert_close(task.log_likelihood(task.train, rows, solve), wanted)


def test_a_likelihood_is_the_sum_of_logarithms_less_the_integral_by_quadrature() -> None:
    task, rows = built(points=0, sequences=6, rate=2.0), torch.arange(3)
    grid = torch.linspace(0.0, 5.0, 201, dtype=torch.float64)

    def intensity(rows: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        z0 = task.model.start(task.train.waves[rows])
        zs = odeint(lambda t, z: task.model.field(z), z0, times, method="rk4")
        return task.mean_rate * task.model.intensity(zs).squeeze(2)

    with torch.no_grad():
        wanted = -torch.trapezoid(intensity(rows, grid), grid, dim=0)
        for row in rows.tolist():
            fine = torch.cat((grid, task.train.times[row][task.train.holds[row]])).sort()
            wanted[row] += intensity(rows[row : row + 1], fine.values)[fine.indices >= 201].log().sum()
        found = task.log_likelihood(task.train, rows, solve)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_the_true_integral_is_that_of_the_true_intensity() -> None:
    options = PoissonProcess(turns=1.3)
    waves = torch.tensor([[0.3, -0.6], [0.0, 0.0], [-0.5, 0.1]]).double()
    grid = torch.linspace(0.0, options.span, 20_001, dtype=torch.float64).unsqueeze(0)
    wanted = torch.trapezoid(true_intensity(options, waves, grid), grid)
    torch.testing.assert_close(true_integral(options, waves), wanted, rtol=1e-7, atol=0)


def test_events_come_at_the_true_rate_everywhere() -> None:
    options = PoissonProcess(rate=20.0, points=0)
    events = draw_events(options, 2000, torch.Generator().manual_seed(0))
    assert (events.times[events.holds] <= options.span).all()
    following = events.holds[:, 1:]
    assert (events.times.diff(dim=1)[following] > 0).all()
    # A quarter of a cycle at a time, those of like phase together: all that is left by chance is about 1 %.
    quarter = options.span / options.turns / 4
    early = (events.waves[:, 0] > 0.3).nonzero().squeeze(1)
    for part in range(6):
        low, high = part * quarter, (part + 1) * quarter
        inside = (events.times[early] >= low) & (events.times[early] < high) & events.holds[early]
        grid = torch.linspace(low, high, 401, dtype=torch.float64).unsqueeze(0)
        wanted = torch.trapezoid(true_intensity(options, events.waves[early], grid), grid).mean()
        assert float(inside.sum(1).double().mean()) == pytest.approx(float(wanted), rel=0.04)


def test_times_are_moved_to_the_middles_of_intervals_and_not_lost() -> None:
    exact, moved = (
        draw_events(PoissonProcess(points=points), 50, torch.Generator().manual_seed(0)) for points in (0, 10)
    )
    assert torch.equal(exact.holds, moved.holds)
    assert set(moved.times[moved.holds].tolist()) <= {(i + 0.5) * 0.5 for i in range(10)}
    assert (moved.times - exact.times).abs().max() <= 0.25 + 1e-12


def test_without_swing_the_reference_is_that_of_a_homogeneous_process() -> None:
    task = built(swing=0.0)
    count = float(task.test.holds.sum()) / 150
    with torch.no_grad():
        figures = task.evaluate(solve)
    assert figures["quality_reference"] == pytest.approx(8.0 * 5.0 - count * log(8.0))
    assert figures["constant_nats"] == pytest.approx(figures["quality_reference"], abs=0.1)


def test_the_solve_is_told_which_components_are_the_models_own() -> None:
    seen = []

    def told(f, y0, ts, params, leading=None):
        seen.append((y0.shape[1], leading, len(params)))
        return solve(f, y0, ts, params)

    built(latent=3).loss(0, 4, told)
    assert seen == [(4, 3, 8)]


def test_a_loss_depends_on_the_seed_and_the_step_alone() -> None:
    one, other = built(sequences=20), built(sequences=20)
    other.loss(3, 4, solve)
    assert one.loss(7, 4, solve) == other.loss(7, 4, solve)
    assert one.loss(7, 4, solve) != one.loss(8, 4, solve)


def test_phases_are_all_round() -> None:
    waves = draw_events(PoissonProcess(), 2000, torch.Generator().manual_seed(0)).waves
    assert waves.norm(dim=1).max() <= 0.9
    phases = torch.atan2(waves[:, 1], waves[:, 0])
    assert (torch.histc(phases, 4, -pi, pi) > 400).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"swing": 1.0}, "swing must be at least 0 and below 1"),
        ({"rate": 0.0}, "rate must be a positive number"),
        ({"rate": 0.1, "span": 1.0}, "the events to expect in a sequence, must be from 1 to 10000; got rate 0.1"),
        ({"points": -1}, "points must be at least 0"),
        ({"sequences": 1}, "sequences must be at least 2"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        workloads.get("poisson_process").build(options)
