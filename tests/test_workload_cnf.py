"""Continuous normalising flows: what they learn is a density, their gradients are exact, and their data are as said."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from odebench import api, registry
from odebench.errors import DataError, SuiteError
from odebench.measure.check import relative
from odebench.record import Record
from odebench.spec import Spec
from odebench.training.solving import Solving
from odebench.workloads.cnf import Cnf
from odebench.workloads.cnf_task import Flow
from odebench.workloads.densities import PLANE, mixture_nats, split
from odebench.workloads.workload import streams

SUITE = """
name: densities
kind: train
problems: [PROBLEMS]
solvers: [SOLVERS]
gradients: [GRADIENTS]
stepping: [{adaptive: {rtol: 1e-4, atol: 1e-4}}]
batches: [64]
train: {steps: STEPS, evaluate_every: STEPS, checkpoint_every: 0}
plugins: [odebench.workloads.cnf]
"""
SMALL: dict[str, Any] = {"hidden": 8, "depth": 1, "points": 64}
NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # nats of a component under the standard normal it begins near


@pytest.fixture(autouse=True)
def _registered() -> None:
    registry.load_builtins()


def train(folder: Path, problems: str, **words: str) -> list[Record]:
    """The records of the suite with its words filled in."""
    text = SUITE.replace("PROBLEMS", problems)
    for word, value in ({"SOLVERS": "tsit5", "GRADIENTS": "aca", "STEPS": "2"} | words).items():
        text = text.replace(word, value)
    path = folder / "densities.yaml"
    path.write_text(text)
    return api.run(path, output=folder / "out")


def made(seed: int = 0, **options: Any) -> Flow:
    return Cnf(**(SMALL | options)).build(seed, torch.float64, torch.device("cpu"))


def solving(gradient: Any = "direct", solver: str = "tsit5", tolerance: float = 1e-4, **more: Any) -> Solving:
    stepping = Spec.of("adaptive", {"rtol": tolerance, "atol": tolerance} | more.pop("stepping", {}))
    term = registry.regularisers.build(Spec(more["regulariser"])) if "regulariser" in more else None
    solve = Solving(
        registry.solvers.build(Spec(solver)), registry.gradients.build(Spec.from_data(gradient)),
        registry.steppings.build(stepping), term,
    )  # fmt: skip
    solve.begin(streams(0, 9))
    return solve


def trained(steps: int, **options: Any) -> Flow:
    """A flow after a few steps, whose density is no longer a Gaussian."""
    flow, solve = made(**options), solving("aca")
    optimiser = torch.optim.Adam(flow.model.parameters(), 2e-2)
    for step in range(steps):
        optimiser.zero_grad()
        flow.loss(step, 128, solve).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return flow


def nats(flow: Flow, solve: Solving) -> Tensor:
    return flow.log_density(flow.test, solve).neg().mean()


def gradient(flow: Flow, solve: Solving) -> Tensor:
    """Of loss and penalty, all parameters in one."""
    loss = flow.loss(3, 16, solve)
    total = loss if solve.penalty is None else loss + solve.penalty
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(total, tuple(flow.model.parameters()))])


def test_a_flow_learns_more_than_a_gaussian_and_is_told_beside_a_mixture(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    options = "{data: eight_gaussians, hidden: 16, points: 512}"
    (record,) = train(tmp_path, f"{{cnf: {options}}}", STEPS="50")
    assert record.status == "ok", record.reason
    metrics = record.metrics
    assert metrics["quality"] < 2 * NORMAL - 0.2
    assert metrics["quality"] < record.samples["evaluated_quality"][0]
    assert metrics["quality_reference"] == mixture_nats("eight_gaussians", 512, 0)
    assert metrics["bits_per_dim"] == pytest.approx(metrics["quality"] / (2 * math.log(2)))
    assert 0 < metrics["inverse_error"] < 1e-2
    assert metrics["gradient_error_discrete"] < 1e-11


EXACT = [("tsit5", g) for g in ("aca", "recursive", "symplectic")] + [("alf", g) for g in ("aca", "reversible")]


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
@pytest.mark.parametrize(("solver", "name"), EXACT)
def test_exact_gradients_are_exact_with_either_trace(solver: str, name: str, trace: str) -> None:
    flow = made(trace=trace)
    expected = gradient(flow, solving(solver=solver))
    assert relative(gradient(flow, solving(name, solver=solver)), expected) < 1e-11


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_the_adjoint_comes_to_the_same_gradient_as_its_tolerance_falls(trace: str) -> None:
    flow = made(trace=trace)
    with torch.no_grad():
        for parameter in flow.model.parameters():
            parameter *= 4  # a field for which steps of a loose tolerance are too long
    errors = [
        relative(gradient(flow, solving("adjoint", tolerance=tol)), gradient(flow, solving(tolerance=tol)))
        for tol in (1e-3, 1e-6, 1e-9)
    ]
    assert errors[0] > 1e-4 > 1e-5 > errors[1] > 1e-7 > errors[2]


REGULARISERS = (
    "kinetic",
    "jacobian",
    "rnode",
    "taynode",
    "ernode",
    "srnode",
    "local_unbiased",
    "local_biased",
    "steer",
)


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
@pytest.mark.parametrize("regulariser", REGULARISERS)
def test_gradients_stay_exact_with_a_regulariser(regulariser: str, trace: str) -> None:
    flow = made(trace=trace)
    expected = gradient(flow, solving(regulariser=regulariser))
    assert relative(gradient(flow, solving()), expected) > 1e-6, "the regulariser changes the gradient"
    assert relative(gradient(flow, solving("aca", regulariser=regulariser)), expected) < 1e-11
    if regulariser in ("kinetic", "jacobian", "rnode", "taynode"):
        assert relative(gradient(flow, solving("symplectic", regulariser=regulariser)), expected) < 1e-11


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_samples_may_step_by_themselves(trace: str) -> None:
    flow = made(trace=trace)
    alone = solving("aca", tolerance=1e-9, stepping={"per_sample": True})
    assert relative(gradient(flow, alone), gradient(flow, solving(tolerance=1e-9))) < 1e-6


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_trace_is_that_of_the_jacobian(depth: int) -> None:
    flow = made(depth=depth)
    t, z = torch.tensor(0.3, dtype=torch.float64), flow.test[:5]
    units = torch.eye(2, dtype=torch.float64)[None]
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(lambda x: flow.model(t, x[None], units)[0][0], row) for row in z]
    )
    _, exact = flow.model(t, z, units)
    torch.testing.assert_close(exact[:, 0], jacobians.diagonal(dim1=1, dim2=2).sum(1), rtol=1e-13, atol=1e-14)
    # vᵀJv of one probe a row; over all four of ±1 its mean is the trace.
    corners = torch.tensor(list(product((-1.0, 1.0), repeat=2)), dtype=torch.float64)
    each = [flow.model(t, z, v.expand(5, 1, 2))[1][:, 0] for v in corners]
    torch.testing.assert_close(each[1], torch.einsum("i,nij,j->n", corners[1], jacobians, corners[1]))
    torch.testing.assert_close(torch.stack(each).mean(0), exact[:, 0], rtol=1e-13, atol=1e-14)


def test_the_log_density_is_that_of_the_change_of_variables() -> None:
    flow, solve = trained(20, data="moons", hidden=16), solving(tolerance=1e-10)
    units, row = torch.eye(2, dtype=torch.float64)[None], flow.test[0]

    def flowed(x: Tensor) -> Tensor:
        def field(t: Tensor, z: Tensor) -> Tensor:
            slope: Tensor = flow.model(t, z, units)[0]
            return slope

        return solve(field, x[None], (0.0, flow.cnf.span), tuple(flow.model.parameters()))[-1, 0]

    jacobian = torch.autograd.functional.jacobian(flowed, row)
    normal = -0.5 * flowed(row).square().sum() - math.log(2 * math.pi)
    expected = normal + torch.linalg.slogdet(jacobian).logabsdet
    with torch.no_grad():
        assert float(flow.log_density(row[None], solve)[0]) == pytest.approx(float(expected), abs=1e-8)
        assert abs(float(expected - normal)) > 0.1


def test_a_learnt_density_integrates_to_one() -> None:
    flow, side = trained(40, data="moons", hidden=16, depth=2, points=512), 0.08
    axis = torch.arange(-8, 8, side, dtype=torch.float64)
    with torch.no_grad():
        density = flow.log_density(torch.cartesian_prod(axis, axis), solving(tolerance=1e-5)).exp()
        assert float(nats(flow, solving())) < 2 * NORMAL - 0.1, "it has learnt something"
    assert float(density.sum() * side**2) == pytest.approx(1.0, abs=1e-3)


def test_quality_is_by_the_exact_trace_whatever_training_takes() -> None:
    exact, hutchinson = made(), made(trace="hutchinson")
    with torch.no_grad():
        assert hutchinson.evaluate(solving())["quality"] == exact.evaluate(solving())["quality"]
        assert hutchinson.loss(0, 16, solving()) != exact.loss(0, 16, solving())


def test_a_probe_depends_on_the_step_alone() -> None:
    whole = {"points": 16}  # a batch of 16 is the same samples in every step
    for probe in ("rademacher", "normal"):
        flow = made(trace="hutchinson", probe=probe, **whole)
        with torch.no_grad():
            losses = [float(flow.loss(step, 16, solving(tolerance=1e-9))) for step in (0, 1, 0)]
        assert losses[0] == losses[2]
        assert losses[0] != pytest.approx(losses[1], rel=1e-6)
    with torch.no_grad():
        same = [float(made(**whole).loss(step, 16, solving(tolerance=1e-9))) for step in (0, 1)]
    assert same[0] == pytest.approx(same[1], rel=1e-7)


def test_a_solve_backwards_comes_back_as_the_tolerance_falls() -> None:
    flow = trained(20, data="moons", hidden=16)
    with torch.no_grad():
        loose, tight = (flow.evaluate(solving(solver="bosh3", tolerance=tol))["inverse_error"] for tol in (1e-2, 1e-8))
    assert tight < 1e-7 < 1e-6 < loose < 1e-1


def test_breast_cancer_is_split_alike_for_every_seed() -> None:
    pytest.importorskip("sklearn")
    train_part, test = split("breast_cancer", 1, 0)
    again = split("breast_cancer", 1, 1)
    assert (train_part.shape, test.shape) == ((455, 30), (114, 30))
    assert torch.equal(train_part, again[0])
    assert torch.equal(test, again[1])
    assert len(torch.cat((train_part, test)).unique(dim=0)) == 569
    torch.testing.assert_close(train_part.mean(0), torch.zeros(30, dtype=torch.float64))
    torch.testing.assert_close(train_part.std(0), torch.ones(30, dtype=torch.float64))


def test_breast_cancer_trains() -> None:
    pytest.importorskip("sklearn")
    flow = trained(20, data="breast_cancer", trace="hutchinson", hidden=32)
    with torch.no_grad():
        assert flow.evaluate(solving())["quality"] < 30 * NORMAL - 5


@pytest.fixture
def _no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mixture_nats.cache_clear()
    for name in ("sklearn.datasets", "sklearn.mixture"):
        monkeypatch.setitem(sys.modules, name, None)
    yield
    mixture_nats.cache_clear()


@pytest.mark.usefixtures("_no_scikit_learn")
def test_without_scikit_learn_the_plane_has_no_reference_and_the_rest_no_data() -> None:
    with torch.no_grad():
        figures = made().evaluate(solving())
    assert "quality" in figures
    assert "quality_reference" not in figures
    with pytest.raises(DataError, match=r"pip install 'odebench\[train\]'"):
        made(data="breast_cancer")


def test_a_mixture_is_fitted_to_the_training_samples() -> None:
    pytest.importorskip("sklearn")
    found = mixture_nats("eight_gaussians", 1024, 0)
    _, test = split("eight_gaussians", 1024, 0)
    # Eight Gaussians of deviation 1/8 on a circle whose components have deviation √(1/2 + 1/64), overlapping little.
    truth = math.log(8) + 2 * (NORMAL + math.log(1 / 8 / math.sqrt(0.5 + 1 / 64)))
    assert found == pytest.approx(truth, abs=0.1)
    assert found < -float(torch.distributions.Normal(0, 1).log_prob(test).sum(1).mean()) - 1


def test_every_density_of_the_plane_is_drawn_from_the_seed_and_standardised() -> None:
    for data in PLANE:
        first, second = split(data, 2000, 0), split(data, 2000, 0)
        assert torch.equal(first[0], second[0])
        assert not torch.equal(first[0], split(data, 2000, 1)[0])
        assert [len(part) for part in first] == [2000, 1000]
        torch.testing.assert_close(first[0].std(0), torch.ones(2, dtype=torch.float64))
        assert float(first[1].mean(0).abs().max()) < 0.15, "test samples are of the same density"
        assert not (first[0][:, None] == first[1][None]).all(2).any()


def test_densities_are_what_their_names_say() -> None:
    def drawn(data: str) -> Tensor:
        return PLANE[data](4000, streams(0))

    squares = (drawn("checkerboard") * 2 + 2).floor()
    assert set(squares.sum(1).remainder(2).tolist()) == {0.0}
    assert len(squares.unique(dim=0)) == 8
    radii = drawn("rings").norm(dim=1) * 4
    assert float((radii - radii.round()).abs().mean()) < 0.12
    assert set(radii.round().tolist()) >= {1.0, 2.0, 3.0, 4.0}
    inner = drawn("circles").norm(dim=1) < 0.75
    assert 0.45 < float(inner.double().mean()) < 0.55
    gaussians = drawn("eight_gaussians")
    sectors = (torch.atan2(gaussians[:, 1], gaussians[:, 0]) / (math.pi / 4)).round().remainder(8)
    assert sectors.unique(return_counts=True)[1].min() > 400
    spirals = drawn("two_spirals")
    swapped = torch.cdist(-spirals, spirals).min(1).values  # turned by 180 degrees it is itself
    assert float(swapped.median()) < 0.05


BAD = {
    "data: moon": "one of 'moons', 'circles'",
    "trace: huchinson": "one of 'exact', 'hutchinson'",
    "probe: uniform": "one of 'rademacher', 'normal'",
    "hidden: 0": "hidden must be at least 1; got 0",
    "points: 5": "points must be at least 10; got 5",
    "span: 0": "span must be a positive length of time",
    "spam: 1": "did you mean 'span'",
}


def test_bad_options_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        train(tmp_path, ", ".join(f"{{cnf: {{{options}}}}}" for options in BAD))
    told = str(caught.value).splitlines()
    assert len(told) == len(BAD)
    assert all(said in line for said, line in zip(BAD.values(), told, strict=True)), told


def test_planning_needs_no_torch() -> None:
    code = "import sys, odebench.workloads.cnf as w; w.Cnf(); assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
