"""Regularisers: what they add is what their papers say, every exact gradient differentiates it, and steps stay as they
were.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odebench import registry
from odebench.spec import Spec
from odebench.training.solving import Solving
from odebench.workloads.workload import streams

registry.load_shipped()
ADAPTIVE = Spec.of("adaptive", {"rtol": 1e-5, "atol": 1e-5})
ADDING = ["ernode", "srnode", "local_unbiased", "local_biased", "kinetic", "jacobian", "rnode", "taynode"]


class Field(nn.Module):
    """y' = Linear(tanh(Linear(y, t))) on three components."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.inner, self.outer = nn.Linear(4, 8).double(), nn.Linear(8, 3).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(torch.cat((y, t.expand(len(y), 1)), 1))))


def solving(regulariser: Any, solver: str = "tsit5", gradient: Any = "direct", stepping: Spec = ADAPTIVE) -> Solving:
    """As a training run builds it."""
    spec = Spec.from_data(regulariser) if regulariser else None
    term = None if spec is None else registry.regularisers.build(spec)
    made = Solving(
        registry.solvers.build(Spec.from_data(solver)), registry.gradients.build(Spec.from_data(gradient)),
        registry.steppings.build(stepping), term,
    )  # fmt: skip
    made.begin(streams(0, 1))
    return made


def start() -> Tensor:
    return torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(5, 3)


def gradients(regulariser: Any, solver: str, gradient: Any) -> tuple[float, Tensor]:
    """(penalty, gradient of loss and penalty) of one step of training, all parameters in one."""
    f, solve = Field(), solving(regulariser, solver, gradient)
    params = tuple(f.parameters())
    loss = solve(f, start(), (0.0, 0.4, 1.0), params)[-1].square().mean()
    assert solve.penalty is not None
    (loss + solve.penalty).backward()
    return float(solve.penalty.detach()), torch.cat([p.grad.reshape(-1) for p in params if p.grad is not None])


@pytest.mark.parametrize("gradient", ["aca", {"recursive": {"checkpoints": 2}}])
@pytest.mark.parametrize("regulariser", ADDING)
def test_exact_gradients_agree_on_loss_and_penalty(regulariser: str, gradient: Any) -> None:
    penalty, expected = gradients(regulariser, "tsit5", "direct")
    same, found = gradients(regulariser, "tsit5", gradient)
    assert penalty > 0
    assert same == pytest.approx(penalty, rel=1e-13)
    assert float((found - expected).norm() / expected.norm()) < 1e-12


@pytest.mark.parametrize("solver", ["alf", "reversible_heun"])
@pytest.mark.parametrize("regulariser", ["ernode", "kinetic", "jacobian", "local_biased", "taynode"])
def test_reversible_schemes_take_regularisers_without_storing_states(regulariser: str, solver: str) -> None:
    _, expected = gradients(regulariser, solver, "direct")
    _, found = gradients(regulariser, solver, "reversible")
    assert float((found - expected).norm() / expected.norm()) < 1e-11


def test_every_penalty_has_a_gradient() -> None:
    for regulariser in ADDING:
        f, solve = Field(), solving(regulariser)
        solve(f, start(), (0.0, 0.4, 1.0), tuple(f.parameters()))
        assert solve.penalty is not None
        shares = torch.autograd.grad(solve.penalty, tuple(f.parameters()), allow_unused=True)
        assert any(share is not None and bool(share.abs().sum() > 0) for share in shares), regulariser


@pytest.mark.parametrize("regulariser", ADDING)
def test_what_is_added_does_not_shorten_steps(regulariser: str) -> None:
    f, plain, more = Field(), solving(None), solving(regulariser)
    ts = (0.0, 1.0)
    expected = plain(f, start(), ts, tuple(f.parameters()))
    found = more(f, start(), ts, tuple(f.parameters()))
    if regulariser == "local_unbiased":  # it lands on the time it draws
        assert torch.allclose(found[-1], expected[-1], rtol=1e-4, atol=1e-5)
    else:
        assert more.counts.steps == plain.counts.steps
        assert torch.allclose(found, expected, rtol=0, atol=1e-15)


def test_kinetic_energy_of_a_decay_is_its_integral() -> None:
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    solve = solving({"kinetic": {"weight": 3.0}}, "dopri8", stepping=Spec.of("fixed", {"steps": 20}))
    y0 = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    solve(lambda t, y: -rate * y, y0, (0.0, 1.0), (rate,))
    # ∫ 3·½·mean((r·y)²) dt, y = y0·exp(−r·t)
    r = float(rate.detach())
    expected = 3.0 * 0.5 * r**2 * (1 + 4) / 2 * (1 - torch.exp(torch.tensor(-2 * r, dtype=torch.float64))) / (2 * r)
    assert float(solve.penalty.detach()) == pytest.approx(float(expected), rel=1e-12)  # type: ignore[union-attr]


def test_the_jacobian_term_estimates_the_frobenius_norm() -> None:
    a = torch.tensor([[0.1, 2.0], [-2.0, 0.3]], dtype=torch.float64, requires_grad=True)
    totals = []
    for seed in range(400):
        solve = solving({"jacobian": {"weight": 1.0}}, "rk4", stepping=Spec.of("fixed", {"steps": 1}))
        solve.begin(streams(seed))
        solve(lambda t, y: y @ a.T, torch.zeros(8, 2, dtype=torch.float64), (0.0, 1.0), (a,))
        totals.append(float(solve.penalty.detach()))  # type: ignore[union-attr]
    # Mean over the two components of (εᵀA)², whose expectation is ‖A‖²/2; 3,200 probes.
    assert sum(totals) / len(totals) == pytest.approx(float(a.detach().square().sum()) / 2, rel=0.05)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_along_the_path_are_those_of_the_solution(order: int) -> None:
    """y' = −a·y + sin t: the k-th derivative has a closed form by the equation itself."""
    a = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    term = registry.regularisers.build(Spec.of("taynode", {"order": order}))
    t = torch.tensor(0.4, dtype=torch.float64)
    y = torch.tensor([[0.7]], dtype=torch.float64)

    def f(t: Tensor, y: Tensor) -> Tensor:
        return -a * y + torch.sin(t)

    value = f(t, y)
    # y'' = −a·y' + cos t, y''' = −a·y'' − sin t, y'''' = −a·y''' − cos t
    for more in (torch.cos(t), -torch.sin(t), -torch.cos(t))[: order - 1]:
        value = -a * value + more
    found = term.integrand(f, t, y, f(t, y), y)
    assert float(found) == pytest.approx(float(value) ** 2, rel=1e-12)
    (slope,) = torch.autograd.grad(found, a)
    assert bool(torch.isfinite(slope))


def test_the_error_term_is_the_sum_over_the_accepted_steps() -> None:
    from odebench.controllers import Adaptive
    from odebench.integrate import timed, walk

    f, solve = Field(), solving({"ernode": {"weight": 1.0}})
    solve(f, start(), (0.0, 1.0), tuple(f.parameters()))
    control = Adaptive(1e-5, 1e-5)
    stepper = solve.stepper
    seen = walk(timed(f, start()), stepper, control, (0.0, 1.0), stepper.init(timed(f, start()), 0.0, start()))
    state, total = stepper.init(timed(f, start()), 0.0, start()), 0.0
    for t, dt, _ in seen.mesh:
        step = stepper.step(timed(f, start()), t, dt, state)
        total += float(control.error(state, step).detach()) * dt
        state = step.state
    assert float(solve.penalty.detach()) == pytest.approx(total, rel=1e-12)  # type: ignore[union-attr]


def test_stiffness_of_a_linear_problem_is_its_eigenvalue() -> None:
    rate = torch.tensor(40.0, dtype=torch.float64, requires_grad=True)
    solve = solving({"srnode": {"form": "code"}})
    solve(lambda t, y: -rate * y, torch.ones(1, 1, dtype=torch.float64), (0.0, 1.0), (rate,))
    assert float(solve.penalty.detach()) == pytest.approx(40.0 / 3.5068, rel=1e-9)  # type: ignore[union-attr]


def test_steer_moves_the_end_and_prediction_does_not() -> None:
    f, moved, plain = Field(), solving("steer"), solving(None)
    ts = (0.0, 1.0)
    params = tuple(f.parameters())
    drawn = {round(moved.regulariser.times(ts, streams(k))[-1], 12) for k in range(20)}  # type: ignore[union-attr]
    assert len(drawn) == 20
    assert all(0.5 <= end <= 1.5 for end in drawn)
    assert not torch.equal(moved(f, start(), ts, params)[-1], plain(f, start(), ts, params)[-1])
    inner = moved.regulariser.times((0.0, 1.0, 1.5, 4.0), streams(5))  # type: ignore[union-attr]
    assert list(inner) == sorted(inner)


def test_a_local_term_costs_one_step() -> None:
    f, plain, local = Field(), solving(None), solving("local_biased")
    plain(f, start(), (0.0, 1.0), tuple(f.parameters()))
    local(f, start(), (0.0, 1.0), tuple(f.parameters()))
    # Its slope at the start, Hairer's probe, and the six other stages of tsit5.
    assert local.counts.calls - plain.counts.calls == 8


def test_what_a_regulariser_needs_is_asked_before() -> None:
    euler, tsit5 = (registry.solvers.build(Spec(name)) for name in ("euler", "tsit5"))
    adaptive, fixed = registry.steppings.build(ADAPTIVE), registry.steppings.build(Spec.of("fixed", {"steps": 3}))
    ernode, srnode, local = (registry.regularisers.build(Spec(name)) for name in ("ernode", "srnode", "local_biased"))
    assert "estimates no error" in ernode.refusal(euler, fixed)
    assert "fixed steps have none" in ernode.refusal(tsit5, fixed)
    assert "fixed steps have none" in local.refusal(tsit5, fixed)
    assert "two stages at one time" in srnode.refusal(registry.solvers.build(Spec("midpoint")), fixed)
    assert ernode.refusal(tsit5, adaptive) is None
    assert srnode.refusal(tsit5, fixed) is None
