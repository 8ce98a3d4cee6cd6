"""A field that couples the halves of its state, under a scheme that takes it for separable, is noticed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from matrix import SEPARABLE, relative
from torch import Tensor, nn

import odebench
from odebench import odeint, registry
from odebench.errors import Refusal
from odebench.spec import Spec

D = torch.float64
T = torch.tensor([0.0, 2.0], dtype=D)
HOW = {"method": "leapfrog", "options": {"dt": 0.1}}


def halves(first: Callable[..., Tensor], second: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def f(t: Tensor, y: Tensor) -> Tensor:
        q, p = y.chunk(2, -1)
        return torch.cat((first(t, q, p), second(t, q, p)), -1)

    return f


G = torch.tensor(0.5, dtype=D, requires_grad=True)
COUPLED = {
    "a damped oscillator": (halves(lambda t, q, p: p, lambda t, q, p: -q - G * p), "p' depends on p"),
    "a drifting place": (halves(lambda t, q, p: p - G * q, lambda t, q, p: -q), "q' depends on q"),
    "both": (halves(lambda t, q, p: p - G * q, lambda t, q, p: -q - p), "q' depends on q, and p' depends on p"),
    "a dependence that vanishes at y0": (
        halves(lambda t, q, p: p, lambda t, q, p: -q - G * (p - START.chunk(2, -1)[1]) ** 3), "p' depends on p"
    ),
    "a dependence without a graph": (halves(lambda t, q, p: p, lambda t, q, p: -q - 0.1 * p.detach()), "p' depends"),
    "rows that see one another": (halves(lambda t, q, p: p, lambda t, q, p: -q - p.mean(0, True)), "p' depends"),
    "a product": (halves(lambda t, q, p: p, lambda t, q, p: -q * torch.cos(p)), "p' depends on p"),
}  # fmt: skip
START = torch.tensor([[1.0, 0.0, 0.3, 0.5], [0.2, -0.4, 0.0, 0.0]], dtype=D)
SPLIT = {
    "a pendulum": halves(lambda t, q, p: p, lambda t, q, p: -G * torch.sin(q)),
    "driven": halves(lambda t, q, p: p * torch.cos(t), lambda t, q, p: -q + torch.sin(3 * t)),
    "one that cancels": halves(lambda t, q, p: (p + 3 * q) - 3 * q, lambda t, q, p: -q),
    "one that is singular beside": halves(lambda t, q, p: p, lambda t, q, p: -q / (q * q).sum(-1, keepdim=True)),
    "a matrix": lambda t, y: y @ torch.cat((torch.cat((torch.zeros(2, 2), torch.eye(2)), 1),
                                            torch.cat((-torch.eye(2), torch.zeros(2, 2)), 1))).to(D).T,
}  # fmt: skip


@pytest.mark.parametrize("solver", SEPARABLE, ids=str)
@pytest.mark.parametrize("name", COUPLED)
def test_reversible_refuses_a_field_that_couples_the_halves(name: str, solver: Spec) -> None:
    f, words = COUPLED[name]
    y0 = START.clone().requires_grad_()
    with pytest.raises(Refusal, match=words) as said:
        odeint(f, y0, T, gradient="reversible", params=(G,), **{**HOW, "method": solver})
    assert "use gradient aca" in str(said.value)


@pytest.mark.parametrize("gradient", ["direct", "aca", "symplectic"])
@pytest.mark.parametrize("name", COUPLED)
def test_other_gradients_are_those_of_the_steps_and_warn(name: str, gradient: str) -> None:
    f, words = COUPLED[name]
    y0, found = START.clone().requires_grad_(), []
    for how in ("direct", gradient):
        with pytest.warns(UserWarning, match=words):
            ys = odeint(f, y0, T, gradient=how, params=(G,), **HOW)
        found.append(torch.autograd.grad(ys[-1].square().sum(), y0)[0])
    assert relative(found[1], found[0]) < 1e-13


@pytest.mark.parametrize("solver", SEPARABLE, ids=str)
@pytest.mark.parametrize("name", SPLIT)
def test_a_field_that_splits_is_solved_without_a_word(name: str, solver: Spec) -> None:
    y0, found = START.clone().requires_grad_(), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for gradient in ("direct", "reversible"):
            ys = odeint(SPLIT[name], y0, T, gradient=gradient, params=(G,), **{**HOW, "method": solver})
            found.append(torch.autograd.grad(ys[-1].square().sum(), y0)[0])
    assert relative(found[1], found[0]) < 1e-9


def test_a_pair_of_tensors_that_couples_is_noticed_too() -> None:
    y0 = (torch.ones(2, dtype=D, requires_grad=True), torch.zeros(2, dtype=D))
    with pytest.raises(Refusal, match="p' depends on p"):
        odeint(lambda t, y: (y[1], -y[0] - 0.1 * y[1]), y0, T, gradient="reversible", params=(), **HOW)


class Counted(nn.Module):
    """Separable; counts its calls, draws random numbers, and keeps statistics of what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.calls = nn.Parameter(torch.tensor(1.0, dtype=D)), 0
        self.norm = nn.BatchNorm1d(2).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        q, p = y.chunk(2, -1)
        self.norm(q)
        return torch.cat((p, -self.k * q + 0.01 * torch.randn(2, dtype=D)), -1)


def test_the_look_leaves_random_numbers_and_buffers_alone() -> None:
    f, stepper = Counted(), registry.solvers.build(Spec("leapfrog"))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert stepper.structure_fault(lambda t, y: f(torch.tensor(t), y), 0.0, START) is None
    assert torch.equal(torch.get_rng_state(), before)
    assert f.calls == 3
    f = Counted()
    with torch.no_grad():
        odeint(f, START, torch.tensor([0.0, 0.1], dtype=D), **HOW)
    assert int(f.norm.num_batches_tracked) == f.calls - 3 == 3  # one to start with and two of a step


def test_a_field_is_looked_at_once_where_only_the_order_is_at_stake() -> None:
    f = Counted()
    calls = []
    for _ in range(3):
        f.calls = 0
        odeint(f, START, torch.tensor([0.0, 0.1], dtype=D), **HOW)
        calls.append(f.calls)
    assert calls == [6, 3, 3]


def test_a_field_that_cannot_be_asked_beside_y0_is_solved() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        if float(y.norm()) > 1.0 + 1e-6:
            raise ValueError("off the circle")
        return torch.stack((y[1], -y[0])) * 0.0

    y0 = torch.tensor([1.0, 0.0], dtype=D)
    assert torch.equal(odeint(f, y0, T, **HOW)[-1], y0)


def test_a_plugin_that_declares_it_wrongly_gets_a_note(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "wrong.py").write_text(PLUGIN)
    (tmp_path / "wrong.yaml").write_text(SUITE)
    records = odebench.run(str(tmp_path / "wrong.yaml"), output=tmp_path / "results")
    noted = {r.cell.problem.name: [n for n in r.notes if "separable" in n] for r in records}
    assert "p' depends on p" in noted["damped"][0]
    assert noted["pendulum"] == []


SUITE = """
name: wrong
problems: [damped, pendulum]
solvers: [leapfrog]
gradients: [reversible]
stepping: [{fixed: {steps: 10}}]
measure: {repeats: 1, warmup: 0}
plugins: [wrong.py]
"""

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np

from odebench import problem


@problem("damped")
@dataclass(frozen=True)
class Damped:
    \"\"\"A damped oscillator that says it splits.\"\"\"

    default_span: ClassVar = (0.0, 2.0)
    separable: ClassVar = True

    def start(self, seed):
        return np.array([1.0, 0.5])

    def parameters(self, seed):
        return {"g": np.array(0.5)}

    def field(self, xp, t, y, theta):
        q, p = xp.unstack(y)
        return xp.stack((p, -q - theta[0] * p))
"""


def test_a_friction_of_nothing_splits_and_its_derivative_does_not() -> None:
    g = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def damped(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack((y[1], -y[0] - g * y[1]))

    y0, t = torch.tensor([1.0, 0.5], dtype=torch.float64), torch.tensor([0.0, 10.0], dtype=torch.float64)
    given: dict[str, Any] = {"method": "leapfrog", "params": (g,), "options": {"dt": 0.1}}
    with pytest.raises(Refusal, match="derivative of f in a parameter does not split"):
        odeint(damped, y0, t, gradient="reversible", **given)
    found = [
        torch.autograd.grad(odeint(damped, y0, t, gradient=how, **given)[-1].sum(), g)[0]
        for how in ("direct", "aca", "symplectic")
    ]
    torch.testing.assert_close(found[1:], [found[0]] * 2, rtol=1e-12, atol=0)
