"""Fields that users write: what `odeint` says of odd ones, and gradients that must be neither lost nor doubled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench import registry
from odebench.spec import Spec

D = torch.float64
T = torch.linspace(0.0, 1.0, 3, dtype=D)
PAIRS = [
    ("rk4", "adjoint"), ("dopri5", "aca"), ("rk4", "recursive"), ("dopri5", "symplectic"), ("alf", "reversible"),
    ("reversible_heun", "reversible"), ("coupled", "reversible"),
]  # fmt: skip


def gradients(f: Any, y0: Any, wrt: tuple[Tensor, ...], method: str, gradient: str, params: Any) -> tuple[Tensor, ...]:
    ys = odebench.odeint(f, y0, T, method=method, gradient=gradient, params=params, options={"dt": 0.05})
    return torch.autograd.grad((ys.abs() ** 2).sum() + ys.real.sum(), wrt)


def start(*shape: int) -> Tensor:
    return torch.linspace(0.5, 1.5, 6, dtype=D).reshape(shape or (2, 3)).requires_grad_()


W = (torch.linspace(-1.0, 1.0, 9, dtype=D).reshape(3, 3)).requires_grad_()
LEAF = torch.linspace(-1.0, 1.0, 6, dtype=D).reshape(2, 3).requires_grad_()
NUMBER = torch.tensor(-0.7, dtype=D, requires_grad=True)

FIELDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[Tensor, ...]]] = {
    "a parameter named twice": (lambda t, y: torch.tanh(y @ W.T) * torch.cos(t), (W, W)),
    "its input as it is": (lambda t, y: y, ()),
    "a view of its input": (lambda t, y: y[:], ()),
    "a constant": (lambda t, y: torch.ones_like(y), ()),
    "a parameter as it is": (lambda t, y: LEAF, (LEAF,)),
    "a parameter expanded": (lambda t, y: NUMBER.expand_as(y), (NUMBER,)),
}


@pytest.mark.parametrize(("method", "gradient"), PAIRS)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_may_return(name: str, method: str, gradient: str) -> None:
    f, params = FIELDS[name]
    y0 = start()
    wrt = (y0, *params[:1])
    reference = gradients(f, y0, wrt, method, "direct", params)
    got = gradients(f, y0, wrt, method, gradient, params)
    tolerance = 1e-2 if gradient == "adjoint" else 1e-11
    for a, b in zip(got, reference, strict=True):
        assert float((a - b).norm() / b.norm()) < tolerance


@pytest.mark.parametrize(("method", "gradient"), PAIRS)
def test_a_complex_state_takes_gradients_of_real_parameters(method: str, gradient: str) -> None:
    y0 = torch.tensor([1.0 + 0.5j, 0.3 - 1.0j], dtype=torch.complex128, requires_grad=True)

    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.complex(NUMBER, torch.ones_like(NUMBER)) * y

    reference = gradients(f, y0, (y0, NUMBER), method, "direct", (NUMBER,))
    got = gradients(f, y0, (y0, NUMBER), method, gradient, (NUMBER,))
    for a, b in zip(got, reference, strict=True):
        assert a.dtype == b.dtype
        assert float((a - b).norm() / b.norm()) < (1e-2 if gradient == "adjoint" else 1e-11)


@pytest.mark.parametrize(("method", "gradient"), PAIRS)
@pytest.mark.parametrize("kind", ["a number", "expanded", "not contiguous", "backwards"])
def test_a_start_may_be(kind: str, method: str, gradient: str) -> None:
    leaf, y0 = {
        "a number": lambda: (NUMBER, NUMBER),
        "expanded": lambda: ((row := start(6)), row.expand(2, 6)),
        "not contiguous": lambda: ((table := start(3, 2)), table.T),
        "backwards": lambda: ((table := start(3, 2)), table),
    }[kind]()
    times = T.flip(0) if kind == "backwards" else T
    rate = torch.tensor(0.8, dtype=D, requires_grad=True)
    found = []
    for how in ("direct", gradient):
        ys = odebench.odeint(
            lambda t, y: rate * torch.sin(y) * torch.cos(t), y0, times,
            method=method, gradient=how, params=(rate,), options={"dt": 0.05},
        )  # fmt: skip
        found.append(torch.autograd.grad(ys.square().sum(), (leaf, rate)))
    for b, a in zip(*found, strict=True):
        assert float((a - b).norm() / b.norm()) < (1e-2 if gradient == "adjoint" else 1e-11)


@pytest.mark.parametrize(("method", "gradient"), PAIRS)
def test_parameters_that_another_network_made_pass_their_gradient_on(method: str, gradient: str) -> None:
    seed = torch.full((3, 3), -1.0, dtype=D, requires_grad=True)
    found = []
    for how in ("direct", gradient):
        made = seed.exp()
        ys = odebench.odeint(
            lambda t, y, w=made: torch.tanh(y @ w), start(), T,
            method=method, gradient=how, params=(made,), options={"dt": 0.02},
        )  # fmt: skip
        found.append(torch.autograd.grad(ys.square().sum(), seed)[0])
    assert float((found[1] - found[0]).norm() / found[0].norm()) < (1e-2 if gradient == "adjoint" else 1e-11)


class Conditioned(nn.Module):
    """Depends on a tensor that is no parameter of its own, as a decoder does on what an encoder said."""

    def __init__(self, context: Tensor) -> None:
        super().__init__()
        self.layer, self.context = nn.Linear(3, 3).double(), context

    def forward(self, t: Tensor, y: Any) -> Any:
        if isinstance(y, tuple):
            return tuple(self(t, part) for part in y)
        return torch.tanh(self.layer(y) + self.context)


@pytest.mark.parametrize("y0", [start(), (start(), start())], ids=["tensor", "tuple"])
def test_a_module_that_depends_on_more_than_its_parameters_is_told_so_before_a_gradient_is_lost(y0: Any) -> None:
    context = torch.ones(3, dtype=D, requires_grad=True)
    f = Conditioned(2 * context)
    with pytest.raises(odebench.UsageError, match=r"shape \(3,\) that requires a gradient and is none of its param"):
        odebench.odeint(f, y0, T, gradient="aca")
    with torch.no_grad():
        odebench.odeint(f, y0, T, gradient="aca")
    for gradient, params in (("direct", None), ("aca", (*f.parameters(), f.context))):
        ys = odebench.odeint(f, y0, T, gradient=gradient, params=params)
        assert torch.autograd.grad(ys[-1].sum(), context, retain_graph=True)[0].abs().sum() > 0


@pytest.mark.parametrize("gradient", ["direct", "aca"])
@pytest.mark.parametrize(
    ("f", "y0", "message"),
    [
        (lambda t, y: y.mul_(-1.0), torch.ones(2), "changed y in place"),
        (lambda t, y: (y[1], y[0]), (torch.ones(2), torch.ones(3)), "shaped like y"),
        (lambda t, y: torch.zeros(2, 2), (torch.ones(2), torch.ones(2)), "a tuple of tensors shaped like y"),
        (lambda t, y: 1.0, torch.ones(2), "must return a tensor"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_refused_at_the_first_call(
    f: Any, y0: Any, message: str, gradient: str
) -> None:
    with pytest.raises(odebench.UsageError, match=message):
        odebench.odeint(f, y0, T.float(), gradient=gradient, params=())


def test_a_field_may_keep_what_it_was_given() -> None:
    kept: list[tuple[Tensor, Tensor]] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        kept.append((y, y.detach().clone()))
        return W[0] * y

    for method, gradient in PAIRS:
        gradients(f, start(), (W,), method, gradient, (W,))
    stepper = registry.solvers.build(Spec("alf"))
    with torch.no_grad():
        stepper.unstep(lambda t, y: f(torch.tensor(t), y), 0.0, 0.1, (start().detach(), start().detach()))
    assert all(torch.equal(given, copy) for given, copy in kept)


def test_times_must_be_finite() -> None:
    with pytest.raises(odebench.UsageError, match="finite"):
        odebench.odeint(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, float("inf")]))


def test_an_empty_batch_and_a_component_at_rest_are_solved() -> None:
    assert odebench.odeint(lambda t, y: -y, torch.ones(0, 2, dtype=D), T).shape == (3, 0, 2)
    rates = torch.tensor([-1.0, 0.0], dtype=D)
    got = odebench.odeint(lambda t, y: rates * y, torch.tensor([1.0, 0.0], dtype=D), T, rtol=1e-8, atol=0.0)
    assert got[-1].tolist() == pytest.approx([0.36787944, 0.0], abs=1e-7)
