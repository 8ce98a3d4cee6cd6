"""Two annuli told apart: what each kind of field reads, that gradients through it are exact, and who parts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from odebench import api, registry
from odebench.errors import SuiteError
from odebench.measure.check import relative
from odebench.record import Record
from odebench.spec import Spec
from odebench.training.solving import Solving
from odebench.workloads.annuli import Annuli, Kind
from odebench.workloads.annuli_task import Parting
from odebench.workloads.workload import streams

SUITE = """
name: fields
kind: train
problems: [PROBLEMS]
solvers: [tsit5]
gradients: [aca]
stepping: [{adaptive: {rtol: 1e-3, atol: 1e-3}}]
batches: [64]
train: {steps: STEPS, lr: 0.02, evaluate_every: STEPS, checkpoint_every: 0}
plugins: [odebench.workloads.annuli]
"""
KINDS = get_args(Kind)
Field = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def _registered() -> None:
    registry.load_builtins()


def train(folder: Path, problems: str, steps: int = 2) -> list[Record]:
    path = folder / "fields.yaml"
    path.write_text(SUITE.replace("PROBLEMS", problems).replace("STEPS", str(steps)))
    return api.run(path, output=folder / "out")


def made(kind: str, seed: int = 0, spread: float = 0.0, **options: Any) -> Parting:
    """A model, moved from its start by `spread`: there its field is 0."""
    task = Annuli(**({"field": kind, "hidden": 8, "points": 256} | options)).build(
        seed, torch.float64, torch.device("cpu")
    )
    assert isinstance(task, Parting)
    draw = streams(seed, 9)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return task


def solving(gradient: Any = "direct", solver: str = "tsit5", tolerance: float = 1e-4, **more: Any) -> Solving:
    stepping = Spec.of("adaptive", {"rtol": tolerance, "atol": tolerance} | more)
    return Solving(
        registry.solvers.build(Spec(solver)), registry.gradients.build(Spec.from_data(gradient)),
        registry.steppings.build(stepping),
    )  # fmt: skip


def trained(kind: str, steps: int, seed: int = 0) -> Parting:
    task, solve = made(kind, seed, hidden=16), solving("aca", tolerance=1e-3)
    optimiser = torch.optim.Adam(task.model.parameters(), 2e-2)
    for step in range(steps):
        optimiser.zero_grad()
        task.loss(step, 128, solve).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return task


def accuracy(task: Parting) -> float:
    with torch.no_grad():
        return task.evaluate(solving(tolerance=1e-3))["quality"]


def held_out_loss(task: Parting) -> float:
    with torch.no_grad():
        return task.evaluate(solving(tolerance=1e-3))["test_loss"]


def seen(task: Parting, batch: int = 4) -> tuple[Field, Tensor, tuple[Tensor, ...]]:
    """(f, the start, the parameters) that the model asks a solve for."""
    kept = []

    def solve(
        f: Field, y0: Tensor, ts: Sequence[float], params: Sequence[Tensor], leading: int | None = None
    ) -> Tensor:
        kept.append((f, y0, tuple(params)))
        return torch.stack([y0] * len(ts))

    task.loss(0, batch, solve)
    ((f, y0, params),) = kept
    return f, y0, params


def gradient(task: Parting, solve: Solving) -> Tensor:
    found = torch.autograd.grad(task.loss(3, 16, solve), tuple(task.model.parameters()))
    return torch.cat([g.reshape(-1) for g in found])


def at(moment: float) -> Tensor:
    return torch.tensor(moment, dtype=torch.float64)


def test_a_field_that_has_a_way_out_parts_the_annuli_first() -> None:
    # The mean of three seeds: one of them may be about to find, or to lose, its way.
    reached = {
        kind: fmean(accuracy(trained(kind, 60, seed)) for seed in range(3))
        for kind in ("vanilla", "augmented", "data_controlled")
    }
    assert reached["augmented"] > reached["vanilla"] + 0.1, reached
    assert reached["data_controlled"] > reached["vanilla"] + 0.1, reached


@pytest.mark.parametrize("kind", ["second_order", "depth", "galerkin"])
def test_the_other_kinds_learn_too(kind: str) -> None:
    before, after = held_out_loss(made(kind, hidden=16)), held_out_loss(trained(kind, 40))
    assert after < 0.85 * before


def test_training_tells_accuracy_and_exact_gradients(tmp_path: Path) -> None:
    problems = "{annuli: {field: data_controlled, hidden: 16, loss: cross_entropy}}"
    (record,) = train(tmp_path, problems, steps=60)
    assert record.status == "ok", record.reason
    assert record.metrics["quality"] > 0.9 > record.samples["evaluated_quality"][0]
    assert record.metrics["test_loss"] < record.samples["evaluated_test_loss"][0]
    assert record.metrics["gradient_error_discrete"] < 1e-11


@pytest.mark.parametrize("kind", KINDS)
def test_exact_gradients_are_exact_with_every_field(kind: str) -> None:
    task = made(kind, spread=0.5)
    expected = gradient(task, solving())
    true = gradient(task, solving(tolerance=1e-9))
    for name in ("aca", "recursive", "symplectic"):
        assert relative(gradient(task, solving(name)), expected) < 1e-11, name
    reversible = gradient(task, solving("reversible", solver="alf"))
    assert relative(reversible, gradient(task, solving(solver="alf"))) < 1e-11
    assert 0 < relative(gradient(task, solving("adjoint", tolerance=1e-9)), true) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_samples_may_step_by_themselves(kind: str) -> None:
    task = made(kind, spread=0.5)
    alone = gradient(task, solving("aca", tolerance=1e-9, per_sample=True))
    assert relative(alone, gradient(task, solving(tolerance=1e-9))) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_starts_as_the_identity(kind: str) -> None:
    f, y0, _ = seen(made(kind))
    assert not f(at(0.3), y0).any()
    assert f(at(0.3), seen(made(kind, spread=0.5))[1]).shape == y0.shape


@pytest.mark.parametrize("kind", KINDS)
def test_only_fields_that_are_to_read_the_time_do(kind: str) -> None:
    f, y0, _ = seen(made(kind, spread=0.5))
    assert torch.equal(f(at(0.1), y0), f(at(0.6), y0)) == (kind not in ("depth", "galerkin"))


def test_galerkin_weights_are_fourier_series_in_time() -> None:
    terms, span = 3, 2.0
    f, y0, _ = seen(made("galerkin", spread=0.5, harmonics=terms, span=span, activation="softplus"))
    torch.testing.assert_close(f(at(0.0), y0), f(at(span), y0))
    layer = made("galerkin", spread=0.5, harmonics=terms, span=span).model["field"].layers[1]  # type: ignore[index, union-attr]
    x = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(3, 8)
    with torch.no_grad():
        values = torch.stack([layer(at(span * k / 16), x) for k in range(16)])
    spectrum = torch.fft.rfft(values, dim=0).abs().amax((1, 2))
    assert float(spectrum[: terms + 1].min()) > 1e-3
    assert float(spectrum[terms + 1 :].max()) < 1e-12
    torch.testing.assert_close(values.mean(0), layer.mean(x).detach())


def test_a_data_controlled_field_reads_where_its_path_began() -> None:
    task = made("data_controlled", spread=0.5)
    f, y0, params = seen(task)
    here = torch.zeros_like(y0)
    slopes = f(at(0.0), here)
    assert float((slopes - slopes[:1])[1:].detach().abs().min()) > 1e-6, "at one place paths go on as they began"
    assert len(params) == len(tuple(task.model["field"].parameters()))


def test_what_is_added_to_a_state_starts_at_zero_and_moves_it() -> None:
    f, y0, _ = seen(made("augmented", spread=0.5, augment=3))
    assert y0.shape == (4, 5)
    assert not y0[:, 2:].any()
    assert f(at(0.0), y0)[:, 2:].abs().min() > 0
    f, y0, _ = seen(made("second_order", spread=0.5))
    assert y0.shape == (4, 4)
    assert not y0[:, 2:].any()
    moving = y0 + 1.0
    assert torch.equal(f(at(0.0), moving)[:, :2], moving[:, 2:]), "q' is the velocity"


def test_points_lie_evenly_on_two_annuli_that_are_apart() -> None:
    task = made("vanilla", points=4000)
    radius, outer = task.x.norm(dim=1), task.label > 0
    assert set(task.label.tolist()) == {-1.0, 1.0}
    assert 0.45 < float(outer.double().mean()) < 0.55
    for ring, inner_radius in ((~outer, 0.25), (outer, 0.75)):
        squares = radius[ring].square()
        bounds = inner_radius**2, (inner_radius + 0.25) ** 2
        assert bounds[0] <= float(squares.min())
        assert float(squares.max()) <= bounds[1]
        assert float(squares.mean()) == pytest.approx(sum(bounds) / 2, rel=0.02), "even in area"
    assert float(task.x.mean(0).abs().max()) < 0.05
    assert not (task.x[:, None] == task.test[0][None]).all(2).any(), "none is trained on and tested"


def test_losses_are_those_of_a_score_and_a_label() -> None:
    def stays(f: Field, y0: Tensor, ts: Sequence[float], params: Any, leading: int | None = None) -> Tensor:
        return torch.stack([y0, y0])

    for loss in ("mse", "cross_entropy"):
        task = made("vanilla", loss=loss)
        with torch.no_grad():
            figures = task.evaluate(stays)
            score = task.model["readout"](task.test[0])[:, 0]
        label = task.test[1]
        each = (score - label).square() if loss == "mse" else torch.log1p(torch.exp(-label * score))
        assert figures["test_loss"] == pytest.approx(float(each.mean()))
        assert figures["quality"] == pytest.approx(float((score * label > 0).double().mean()))


def test_another_seed_is_another_model_on_other_points() -> None:
    first, second = made("vanilla"), made("vanilla", seed=1)
    assert not torch.equal(first.x, second.x)
    assert not torch.equal(*(next(task.model.parameters()) for task in (first, second)))
    assert torch.equal(first.x, made("depth").x), "all fields see the same points"


BAD = {
    "field: vanila": "one of 'vanilla', 'depth'",
    "loss: hinge": "one of 'mse', 'cross_entropy'",
    "activation: relu": "one of 'tanh', 'softplus'",
    "harmonics: 0": "harmonics must be at least 1; got 0",
    "field: galerkin, depth: 1": "take depth 2",
    "span: -1": "span must be a positive length of time",
    "augmnt: 1": "did you mean 'augment'",
}


def test_bad_options_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        train(tmp_path, ", ".join(f"{{annuli: {{{options}}}}}" for options in BAD))
    told = str(caught.value).splitlines()
    assert len(told) == len(BAD)
    assert all(said in line for said, line in zip(BAD.values(), told, strict=True)), told


def test_planning_needs_no_torch() -> None:
    code = "import sys, odebench.workloads.annuli as w; w.Annuli(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
