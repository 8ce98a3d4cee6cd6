"""The latent ODE of spirals, and the recurrent network beside it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import pi
from pathlib import Path

import pytest
import torch

from odebench import api
from odebench.errors import OptionError
from odebench.registry import workloads
from odebench.workloads import latent_ode
from odebench.workloads.latent_ode import LatentOde
from odebench.workloads.recognition import kl_divergence, kl_weight, log_normal
from odebench.workloads.spirals import draw_spirals

SUITE = f"""
name: spirals
kind: train
problems:
  - {{latent_ode: {{trajectories: 200, points: 20, later: 10, observed: 10}}}}
  - {{latent_ode: {{model: rnn, trajectories: 200, points: 20, later: 10, observed: 10}}}}
solvers: [tsit5]
gradients: [aca]
stepping: [{{adaptive: {{rtol: 1e-3, atol: 1e-3, dense: true}}}}]
batches: [50]
train: {{steps: 100, lr: 0.03}}
plugins: [{latent_ode.__name__}]
"""


def built(**options: object) -> object:
    return LatentOde(**options).build(0, torch.float64, torch.device("cpu"))


def standing(f, y0, ts, params, leading=None):
    """A solve of a state that never moves."""
    return y0.expand(len(ts), *y0.shape)


def test_both_models_learn_and_the_ode_goes_on_better(tmp_path: Path) -> None:
    path = tmp_path / "spirals.yaml"
    path.write_text(SUITE)
    records = api.run(path, output=tmp_path / "out")
    assert [each.status for each in records] == ["ok", "ok"], [each.reason for each in records]
    for each in records:
        losses = each.samples["trained_loss"]
        assert sum(losses[-10:]) < sum(losses[:10]) / 3
    ode, rnn = (each.metrics for each in records)
    assert ode["quality"] < 0.6 * ode["quality_reference"]
    assert ode["quality_reference"] == rnn["quality_reference"]
    assert ode["quality"] < rnn["quality"]
    assert ode["interpolation_rmse"] < ode["quality"]
    assert ode["gradient_error_discrete"] < 1e-11
    assert ode["nfe_forward"] > 0
    assert rnn["nfe_forward"] == 0


def test_the_recurrent_network_has_as_many_parameters_and_no_solve() -> None:
    for cell in ("gru", "rnn"):
        ode, rnn = (
            sum(p.numel() for p in built(cell=cell, model=model).model.parameters()) for model in ("ode", "rnn")
        )
        assert rnn == pytest.approx(ode, rel=0.05)
    assert LatentOde().solves
    assert not LatentOde(model="rnn").solves


def test_half_of_the_spirals_run_clockwise_and_all_widen() -> None:
    spirals = draw_spirals(torch.Generator().manual_seed(0), 10, points=50, later=150, observed=7, noise=0.3)
    x, y = spirals.clean.unbind(2)
    angle = torch.atan2(y, x)
    turned = torch.remainder(angle.diff(dim=1) + pi, 2 * pi) - pi
    assert (turned[:5] < 0).all()
    assert (turned[5:] > 0).all()
    radius = spirals.clean.norm(dim=2)
    torch.testing.assert_close(radius.diff(dim=1), 0.3 * spirals.times.diff().expand(10, -1))
    torch.testing.assert_close(turned.abs(), spirals.times.diff().expand(10, -1))
    assert radius.max() <= 0.3 * 6 * pi
    assert spirals.times[50] == pytest.approx(1.2 * pi)


def test_observations_lie_at_places_of_their_own_in_the_window() -> None:
    spirals = draw_spirals(torch.Generator().manual_seed(0), 200, points=50, later=10, observed=7, noise=0.3)
    assert (spirals.seen.diff(dim=1) > 0).all()
    assert 0 <= spirals.seen.min() < spirals.seen.max() < 50
    assert len(spirals.seen.unique(dim=0)) == 200
    exact = torch.stack([row[places] for row, places in zip(spirals.clean, spirals.seen, strict=True)])
    assert float((spirals.values - exact).std()) == pytest.approx(0.3, rel=0.05)


def test_one_solve_goes_through_the_union_of_the_minibatch_times() -> None:
    task, calls = built(observed=3), []

    def solve(f, y0, ts, params, leading=None):
        calls.append((tuple(y0.shape), list(ts), len(params)))
        return standing(f, y0, ts, params)

    task.loss(0, 4, solve)
    ((shape, ts, params),) = calls
    assert shape == (4, 4)
    assert ts[0] == 0
    assert all(a < b for a, b in pairwise(ts))
    assert 4 <= len(ts) <= 1 + 3 * 4
    assert params == 4


def test_a_loss_depends_on_the_seed_and_the_step_alone() -> None:
    one, other = built(), built()
    other.loss(3, 8, standing)
    assert one.loss(7, 8, standing) == other.loss(7, 8, standing)
    assert one.loss(7, 8, standing) != one.loss(8, 8, standing)


def test_the_bound_has_the_terms_of_gaussians() -> None:
    mean, spread = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[0.3, -0.4]]).double()
    start = torch.distributions.Normal(mean, (0.5 * spread).exp())
    wanted = torch.distributions.kl_divergence(start, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, spread), wanted)
    torch.testing.assert_close(log_normal(mean, spread, 0.3), torch.distributions.Normal(spread, 0.3).log_prob(mean))
    assert [kl_weight(step, 0.5, 2) for step in (0, 2, 3, 4)] == [0, 0, 0.5, 0.75]
    assert kl_weight(0, 0.0) == 1


def test_a_prediction_of_the_network_knows_nothing_of_what_comes() -> None:
    task = built(model="rnn", points=20, later=5, observed=10)
    last = int(task.test.seen[:, -1].min())
    # `interpolation_rmse` is then of the times up to where nobody has made the last observation yet.
    task.test = replace(task.test, points=last + 1)
    with torch.no_grad():
        before = task.evaluate(standing)
        task.test.values[:, -1] += 100.0
        after = task.evaluate(standing)
    assert after["interpolation_rmse"] == before["interpolation_rmse"]
    assert after["quality"] != before["quality"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"observed": 50}, "observed must be at least 2 and at most points; got observed 50 of points 40"),
        ({"observed": 1}, "at least 2"),
        ({"later": 161}, "later must be at most 4 times points"),
        ({"noise": 0.0}, "noise must be positive"),
        ({"kl_decay": 1.0}, "kl_decay must be at least 0 and below 1"),
        ({"latent": 0}, "latent must be at least 1"),
        ({"model": "lstm"}, "model must be one of ode, rnn; got 'lstm'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        workloads.get("latent_ode").build(options)
