"""The workload `identification`: its systems, their structure, interventions, and that it trains with a penalty."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from odebench import api
from odebench.errors import OptionError
from odebench.record import Record
from odebench.suite.options import canonical
from odebench.workloads.identifiable_systems import GeneNetwork, Hold, LotkaVolterra, Springs, System, system_of
from odebench.workloads.identification import Identification
from odebench.workloads.identification_task import SUBSTEPS, LayeredField, auroc, recall
from odebench.workloads.true_paths import true_path
from odebench.workloads.workload import streams

SUITE = """
name: structure
kind: train
problems: [PROBLEMS]
solvers: [tsit5]
gradients: [GRADIENTS]
regularisers: [REGULARISERS]
stepping: [{adaptive: {rtol: 1e-3, atol: 1e-4}}]
batches: [8]
train: {steps: STEPS, checkpoint_every: 0, evaluate_every: 1000}
plugins: [odebench.workloads.identification]
"""
SMALL = {"hidden": 12, "samples": 16, "saves": 4}
SYSTEMS = [("lotka_volterra", 4), ("gene_network", 6), ("springs", 4)]


def train(folder: Path, *problems: dict[str, Any], **words: str) -> list[Record]:
    known = {
        "PROBLEMS": str([{"identification": SMALL | each} for each in problems])[1:-1],
        "GRADIENTS": "aca",
        "REGULARISERS": "none",
        "STEPS": "3",
    }
    text = SUITE
    for word, value in (known | words).items():
        text = text.replace(word, value)
    path = folder / "structure.yaml"
    path.write_text(text)
    return api.run(path, output=folder / "out")


def states(system: System, count: int = 40) -> Tensor:
    return system.starts(7, 0, count)


def test_every_system_trains_and_tells_of_its_structure(tmp_path: Path) -> None:
    records = train(tmp_path, *({"system": name} for name, _ in SYSTEMS), STEPS="60")
    assert len(records) == 3
    for record in records:
        assert record.status == "ok", record.reason
        metrics = record.metrics
        assert metrics["quality"] < 0.8 * record.samples["evaluated_quality"][0]
        assert metrics["gradient_error_discrete"] < 1e-11
        assert metrics["intervention_rmse"] > 0
        assert all(0 <= metrics[name] <= 1 for name in ("adjacency_auroc", "adjacency_recall", "jacobian_auroc"))


def test_exact_gradients_agree(tmp_path: Path) -> None:
    for record in train(tmp_path, {"system": "springs"}, GRADIENTS="direct, recursive, symplectic"):
        assert record.status == "ok", record.reason
        assert record.metrics["gradient_error_discrete"] < 1e-11


def test_the_path_penalty_is_applied_and_costs_no_evaluations(tmp_path: Path) -> None:
    without, with_it = train(tmp_path, {}, REGULARISERS="none, {path: {weight: 0.1}}", STEPS="50")
    assert with_it.status == "ok", with_it.reason
    penalty = with_it.samples["trained_penalty"]
    assert penalty[-1] == pytest.approx(with_it.metrics["path_mean"], rel=0.2)
    assert 0 < with_it.metrics["path_mean"] < 0.7 * without.metrics["path_mean"]
    assert with_it.metrics["regulariser_nfe"] == 0


def test_the_path_penalty_makes_the_weights_tell_of_the_structure() -> None:
    system = LotkaVolterra(4)
    y = states(system, 256)

    def fitted(weight: float) -> Tensor:
        """The path matrix of a field fitted to true derivatives."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = LayeredField(4, 4, 16, 2).double()
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(300):
            adam.zero_grad()
            loss = (model(y) - system.slope(y)).square().mean()
            (loss + weight * model.path_matrix().mean()).backward()
            adam.step()
        assert float(loss.detach()) < 0.01
        return model.path_matrix().detach()

    assert auroc(fitted(0.0), system.adjacency) < 0.8
    assert auroc(fitted(0.03), system.adjacency) > 0.9


def test_the_simulated_lotka_volterra_is_the_certified_one() -> None:
    y0 = torch.zeros((1, 2), dtype=torch.float64)
    path = true_path(LotkaVolterra(2).slope, y0, range(11), 250)[:, 0].exp()
    # Certified: two extrapolation runs in 28 to 34 digits.
    assert path[1].tolist() == pytest.approx([2.7728509018411121, 0.2587108781425640], rel=1e-8)
    assert path[10].tolist() == pytest.approx([1.0263447675750893, 0.9096910781360416], rel=1e-8)


def test_the_simulated_springs_are_those_of_the_matrix_exponential() -> None:
    system, n = Springs(3), 3
    y0, ts = states(system), (0.0, 0.5, 2.0)
    whole = torch.cat((torch.cat((torch.zeros(n, n), torch.eye(n)), 1).double(), system.matrix))
    for t, y in zip(ts, true_path(system.slope, y0, ts, 200), strict=True):
        assert torch.allclose(y, y0 @ torch.matrix_exp(t * whole).T, atol=1e-8)


@pytest.mark.parametrize(("name", "size"), SYSTEMS)
def test_the_simulation_has_converged(name: str, size: int) -> None:
    system = system_of(name, size, 0)
    ts = [system.span * i / 30 for i in range(31)]
    whole, halved = (true_path(system.slope, states(system), ts, n) for n in (SUBSTEPS, 2 * SUBSTEPS))
    assert float((whole - halved).abs().max()) < 1e-6
    assert float(whole.abs().max()) < 20


@pytest.mark.parametrize(("name", "size"), [*SYSTEMS, ("lotka_volterra", 6), ("gene_network", 9), ("springs", 2)])
def test_the_adjacency_is_that_of_the_true_jacobian(name: str, size: int) -> None:
    system = system_of(name, size, 5)
    outputs = slice(size, None) if system.second_order else slice(None)
    some = states(system).requires_grad_()
    slope = system.slope(some)[:, outputs].sum(0)
    rows = [torch.autograd.grad(each, some, retain_graph=True)[0].abs().amax(0) for each in slope]
    assert torch.equal(torch.stack(rows) > 1e-9, system.adjacency)
    assert bool(system.adjacency.any())
    assert not bool(system.adjacency.all()) or size == 2


def test_networks_follow_the_seed() -> None:
    wirings = [GeneNetwork.drawn(8, seed).wiring for seed in (0, 0, 1)]
    assert torch.equal(wirings[0], wirings[1])
    assert not torch.equal(wirings[0], wirings[2])
    assert torch.equal(wirings[0][:3], wirings[2][:3]), "the ring is always there"
    assert set(wirings[0][3:].abs().sum(1).tolist()) <= {1.0, 2.0}


def test_a_gene_is_made_as_its_regulators_have_it() -> None:
    wiring = torch.zeros((4, 4), dtype=torch.float64)
    wiring[3, 0], wiring[3, 1] = 1, -1
    y = torch.tensor([[0.9, 1.2, 0.3, 0.5]], dtype=torch.float64)
    made = float(GeneNetwork(4, wiring).slope(y)[0, 3])
    assert made == pytest.approx(3 * 0.9**4 / (1 + 0.9**4) / (1 + 1.2**4) - 0.5)


def test_what_is_held_stays_and_the_others_follow() -> None:
    system = LotkaVolterra(4)
    hold, y0 = Hold(system, 1), states(system)
    start = hold.start(y0)
    path = true_path(hold.slope(system.slope, start), start, (0.0, 1.0, 2.0), 50)
    assert bool((path[..., 1] == system.held(1)).all())
    # Of prey whose predators are held, logarithms grow by the clock: u' = 1.5·(1 − e^−0.3).
    grown = path[:, :, 0] - y0[:, 0]
    assert torch.allclose(grown, torch.tensor([[0.0], [1.0], [2.0]]).double() * 1.5 * (1 - torch.tensor(-0.3).exp()))
    free = true_path(system.slope, y0, (0.0, 1.0, 2.0), 50)
    assert torch.allclose(path[..., 2:], free[..., 2:]), "the other pair knows nothing of it"
    assert system.held(0) == pytest.approx(log(3.0) - 0.3)


def test_a_mass_that_is_held_is_at_rest() -> None:
    system = Springs(3)
    start = Hold(system, 2).start(states(system))
    path = true_path(Hold(system, 2).slope(system.slope, start), start, (0.0, 1.0), 50)
    assert bool((path[..., 2] == 1).all())
    assert not bool(path[..., 5].any())
    assert bool(path[-1, :, 4].any())


def test_the_path_matrix_bounds_the_jacobian() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LayeredField(4, 4, 9, 2).double()
    with torch.no_grad():
        model.weights[0][:, 2] = 0  # nothing reads component 2
        model.weights[2][1] = 0  # output 1 reads nothing
    y = torch.randn((50, 4), generator=streams(3), dtype=torch.float64, requires_grad=True)
    rows = [torch.autograd.grad(each, y, retain_graph=True)[0].abs().amax(0) for each in model(y).sum(0)]
    paths = model.path_matrix()
    assert bool((torch.stack(rows) <= paths + 1e-12).all()), "no slope of ELU is above 1"
    assert not bool(paths[:, 2].any())
    assert not bool(paths[1].any())
    assert bool((paths[[0, 2, 3]][:, [0, 1, 3]] > 0).all())


def test_a_field_of_second_order_gives_accelerations() -> None:
    model = LayeredField(6, 3, 5, 1)
    y = torch.randn((4, 6), generator=streams(4))
    assert torch.equal(model(y)[:, :3], y[:, 3:])
    assert torch.equal(model(y)[:, 3:], model.learnt(y))
    assert model.path_matrix().shape == (3, 6)


def test_auroc_counts_pairs_in_order_and_ties_by_half() -> None:
    truth = torch.tensor([[True, True], [False, False]])
    assert auroc(torch.tensor([[3.0, 4.0], [1.0, 2.0]]), truth) == 1
    assert auroc(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), truth) == 0
    assert auroc(torch.tensor([[1.0, 3.0], [1.0, 2.0]]), truth) == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_recall_looks_at_as_many_entries_as_there_are_edges() -> None:
    truth = torch.tensor([[True, True], [False, False]])
    assert recall(torch.tensor([[3.0, 4.0], [1.0, 2.0]]), truth) == 1
    assert recall(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), truth) == 0.5


def test_noise_is_on_what_is_learnt_from_alone() -> None:
    clean, noisy = (Identification(noise=noise).build(0, torch.float64, torch.device("cpu")) for noise in (0.0, 0.1))
    assert torch.equal(clean.train[0], noisy.train[0])
    assert float((noisy.train - clean.train)[1:].std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(clean.test, noisy.test)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"system": "lotka"}, "one of 'lotka_volterra', 'gene_network', 'springs', got 'lotka'"),
        ({"size": 3}, "size must be even for lotka_volterra, whose populations come in pairs; got 3"),
        ({"size": 3, "system": "gene_network"}, "size must be at least 4 for gene_network; got 3"),
        ({"size": 1, "system": "springs"}, "size must be at least 2 for springs; got 1"),
        ({"hidden": 0}, "hidden must be at least 1; got 0"),
        ({"saves": 1}, "saves must be at least 2"),
        ({"noise": -0.1}, "noise must be at least 0 and finite; got -0.1"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        canonical("workload", {"identification": options})
    assert said in str(caught.value)
