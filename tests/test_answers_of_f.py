"""What f returns: y itself, a view, a parameter, an expanded tensor. No scheme writes into that or into its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from matrix import SOLVERS
from torch import Tensor

from odebench import odeint, registry
from odebench.errors import Refusal
from odebench.integrate import timed
from odebench.spec import Spec
from odebench.types import Advancing, Continuous, Params, Reversible, Staged, State, Stepper, Unpulling

D = torch.float64
ALL = [*SOLVERS, *(Spec(name) for name in ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5"))]
SAMPLE = {"dopri5", "rk4", "alf", "reversible_heun", "coupled(base=rk4)", "leapfrog", "abm(order=3)", "implicit_euler"}
Field = Callable[[Tensor, Tensor], Tensor]
PARAMETER = torch.nn.Parameter(torch.linspace(0.2, 0.9, 8, dtype=D).reshape(2, 4))
ROW = torch.nn.Parameter(torch.linspace(-0.3, 0.4, 4, dtype=D))
ANSWERS: dict[str, Field] = {
    "y itself": lambda t, y: y,
    "a view of y": lambda t, y: y.view(-1).view(y.shape),
    "y turned": lambda t, y: y.flip(0).t().contiguous().t(),
    "y through a slice": lambda t, y: torch.cat((y, y))[: len(y)],
    "its parameter": lambda t, y: PARAMETER,
    "a view of its parameter": lambda t, y: PARAMETER[:],
    "an expanded parameter": lambda t, y: ROW.expand(2, 4),
    "an expanded number": lambda t, y: t.to(D).expand(2, 4),
    "an expanded slice of y": lambda t, y: y[:, :1].expand(2, 4),
    "the conjugate's real part": lambda t, y: torch.view_as_real(torch.complex(y, y).conj().resolve_conj())[..., 0],
}


def start() -> Tensor:
    return torch.linspace(0.5, -0.7, 8, dtype=D).reshape(2, 4)


def done(stepper: Stepper, f: Field, params: Params) -> list[tuple[str, tuple[Tensor, ...]]]:
    """Everything a scheme can be asked, with what it gave."""
    field, t, dt = timed(f, start()), 0.3, 0.05
    with torch.no_grad():
        state = stepper.init(field, t, start())
        for _ in range(3):  # past the start-up steps of multistep schemes
            state, t = stepper.step(field, t, dt, state).state, t + dt
        bar = tuple(torch.ones_like(leaf) * (i + 1) for i, leaf in enumerate(state))
        found = [("state", state)]
        given = [leaf.clone() for leaf in (*state, *bar, *params)]
        for name, what in asked(stepper, field, t, dt, state, bar, params):
            found.append((name, what))
            for before, now in zip(given, (*state, *bar, *params), strict=True):
                assert torch.equal(
                    before,
                    now,
                ) or bool(before.isnan().any()), f"{name} changed what it was given"
    return found


def asked(
    stepper: Stepper, f: Field, t: float, dt: float, state: State, bar: State, params: Params
) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    step = stepper.step(f, t, dt, state)
    yield "step", (*step.state, *([] if step.error is None else [step.error]))
    if isinstance(stepper, Advancing):
        yield "advance", stepper.advance(f, t, dt, state)
    if isinstance(stepper, Continuous):
        _, inside = stepper.extend(f, t, dt, state)
        yield "extend", tuple(inside([0.25, 0.5]))
    if isinstance(stepper, Reversible):
        yield "unstep", stepper.unstep(f, t - dt, dt, state)
    if isinstance(stepper, Staged):
        before, shares = stepper.pull(f, t, dt, state, bar, params)
        yield "pull", (*before, *shares)
    if isinstance(stepper, Unpulling):
        with torch.enable_grad():
            before, cotangents, shares = stepper.unpull(f, t - dt, dt, state, bar, params)
        yield "unpull", tuple(x.detach() for x in (*before, *cotangents, *shares))


def same(a: Tensor, b: Tensor, name: str) -> bool:
    """To the bit; of other strides torch's loops round otherwise, in the last place of every term."""
    if name in ("y turned", "an expanded parameter", "an expanded number", "an expanded slice of y"):
        return torch.allclose(a, b, rtol=1e-12, atol=1e-13)
    return torch.equal(a, b)


@pytest.mark.parametrize("solver", ALL, ids=str)
@pytest.mark.parametrize("name", ANSWERS)
def test_a_scheme_gives_what_it_gives_for_fresh_answers_and_writes_into_none(name: str, solver: Spec) -> None:
    stepper, answer = registry.solvers.build(solver), ANSWERS[name]
    handed: list[tuple[Tensor, Tensor]] = []

    def remembered(t: Tensor, y: Tensor) -> Tensor:
        out = answer(t, y)
        handed.append((out, out.detach().clone()))
        return out

    params = (PARAMETER, ROW)
    wanted = done(stepper, lambda t, y: answer(t, y).clone(), params)
    for (what, got), (_, fresh) in zip(done(stepper, remembered, params), wanted, strict=True):
        for a, b in zip(got, fresh, strict=True):
            assert same(a.nan_to_num(7.0), b.nan_to_num(7.0), name), what
    assert all(torch.equal(out, kept) for out, kept in handed)


@pytest.mark.parametrize(
    "solver", [pytest.param(s, marks=[] if str(s) in SAMPLE else pytest.mark.slow) for s in ALL], ids=str
)
def test_gradients_through_such_answers_are_those_through_fresh_ones(solver: Spec) -> None:
    for name, answer in ANSWERS.items():
        for gradient in ("direct", "aca", "reversible", "symplectic", "forward"):
            found = []
            for f in (answer, lambda t, y, answer=answer: answer(t, y).clone()):
                y0 = start().requires_grad_()
                try:
                    ys = odeint(f, y0, torch.tensor([0.0, 0.1], dtype=D), method=solver, gradient=gradient,
                                params=(PARAMETER, ROW), options={"dt": 0.1})  # fmt: skip
                except Refusal:
                    continue
                found.append([ys, *torch.autograd.grad(ys[-1].square().sum(), (y0, PARAMETER, ROW), allow_unused=True)])
            for a, b in zip(*found, strict=True) if found else ():
                assert (a is None) is (b is None)
                # autograd adds the cotangents of one tensor in another order than those of its copies.
                assert a is None or torch.allclose(a, b, rtol=1e-13, atol=1e-14), (name, gradient)
