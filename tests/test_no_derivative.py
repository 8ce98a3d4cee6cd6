"""An f whose derivative autograd does not have, under implicit schemes: a sentence before the work, or differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matrix import relative
from torch import Tensor

from odebench import odeint
from odebench.errors import Refusal, SolveError
from odebench.solvers.jacobian import linearise

D = torch.float64
T = torch.tensor([0.0, 1.0], dtype=D)
IMPLICIT = ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5")
RATES = torch.tensor([1e3, 20.0], dtype=D)
WEIGHT = torch.nn.Parameter(torch.ones((), dtype=D))
Field = Callable[[Tensor, Tensor], Tensor]
ADAPTIVE, FIXED = {"rtol": 1e-6, "atol": 1e-8}, {"options": {"dt": 0.1}}


def plain(t: Tensor, y: Tensor) -> Tensor:
    return -RATES * (y - torch.cos(t))


def by_numpy(t: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(-RATES.numpy() * (y.numpy() - np.cos(float(t))))


def number_by_number(t: Tensor, y: Tensor) -> Tensor:
    return torch.tensor([-rate * (x - np.cos(float(t))) for rate, x in zip(RATES.tolist(), y.tolist(), strict=True)],
                        dtype=D)  # fmt: skip


def inference(t: Tensor, y: Tensor) -> Tensor:
    with torch.inference_mode():
        out = plain(t, y)
    return out.clone()


CUT: dict[str, Field] = {
    "under no_grad": torch.no_grad()(plain),
    "detached at the start": lambda t, y: plain(t, y.detach()),
    "detached at the end": lambda t, y: plain(t, y).detach(),
    "by .data": lambda t, y: plain(t, y.data),
    "through numpy": by_numpy,
    "through numpy, detached": lambda t, y: by_numpy(t, y.detach()),
    "number by number": number_by_number,
    "with a parameter's graph alone": lambda t, y: plain(t, y.detach()) * WEIGHT,
    "under inference mode": inference,
}


def solve(f: Field, method: object, **asked: object) -> tuple[Tensor, int]:
    """(the end, calls of f)."""
    calls = 0

    def counted(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return f(t, y)

    ys = odeint(counted, torch.zeros(2, dtype=D), T, method=method, **asked)
    return ys[-1].detach(), calls


@pytest.mark.parametrize("steps", [ADAPTIVE, FIXED], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("solver", IMPLICIT)
@pytest.mark.parametrize("name", CUT)
def test_it_is_said_before_the_work(name: str, solver: str, steps: dict[str, object]) -> None:
    calls = 0

    def counted(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return CUT[name](t, y)

    with pytest.raises(Refusal, match=r"f carries no derivative.*'jacobian': 'differences'.*explicit scheme"):
        odeint(counted, torch.zeros(2, dtype=D), T, method=solver, **steps)
    assert calls <= 6


@pytest.mark.parametrize("steps", [ADAPTIVE, FIXED], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("solver", IMPLICIT)
@pytest.mark.parametrize("name", CUT)
def test_differences_solve_it_with_about_as_many_calls(name: str, solver: str, steps: dict[str, object]) -> None:
    if solver in ("implicit_euler", "kvaerno3") and steps is ADAPTIVE:
        steps = {"rtol": 1e-3, "atol": 1e-5}
    wanted, calls = solve(plain, solver, **steps)
    with torch.no_grad():
        got, taken = solve(CUT[name], {solver: {"jacobian": "differences"}}, **steps)
    assert relative(got, wanted) < 1e-9
    assert taken <= 1.1 * calls + 10


@pytest.mark.parametrize("name", CUT)
def test_a_solver_without_jacobians_takes_it_as_it_is(name: str) -> None:
    wanted, _ = solve(plain, {"kvaerno3": {"linear": "krylov"}}, **FIXED)
    with torch.no_grad():
        got, _ = solve(CUT[name], {"kvaerno3": {"linear": "krylov"}}, **FIXED)
    assert relative(got, wanted) < 1e-9


@pytest.mark.parametrize("options", [{}, {"jacobian": "differences"}, {"linear": "krylov"}], ids=str)
def test_under_inference_mode_a_stiff_problem_costs_what_it_costs_elsewhere(options: dict[str, str]) -> None:
    wanted, calls = solve(plain, {"kvaerno5": options}, **ADAPTIVE)
    with torch.inference_mode():
        got, taken = solve(plain, {"kvaerno5": options}, **ADAPTIVE)
    assert relative(got, wanted) < 1e-9
    assert taken <= 1.1 * calls + 10


QUADRATURE: dict[str, Field] = {
    "a function of t": lambda t, y: torch.cos(t).expand_as(y),
    "a constant": lambda t, y: torch.full_like(y, 0.3),
    "through numpy": lambda t, y: torch.from_numpy(np.full(y.shape, np.cos(float(t)))),
    "a parameter": lambda t, y: WEIGHT.expand(2) * torch.sin(t),
    "zero times y": lambda t, y: 0.0 * y + t,
    "y's shape alone": torch.no_grad()(lambda t, y: torch.ones_like(y) * t),
}


@pytest.mark.parametrize("options", [{}, {"jacobian": "differences"}, {"linear": "krylov"}], ids=str)
@pytest.mark.parametrize("solver", IMPLICIT)
@pytest.mark.parametrize("name", QUADRATURE)
def test_a_field_that_does_not_depend_on_y_is_integrated(name: str, solver: str, options: dict[str, str]) -> None:
    f = QUADRATURE[name]
    wanted, _ = solve(f, "dopri8", rtol=1e-10, atol=1e-12)
    got, _ = solve(f, {solver: options}, options={"dt": 0.02})
    assert relative(got, wanted) < (0.05 if solver == "implicit_euler" else 1e-5)


@pytest.mark.parametrize("options", [{}, {"jacobian": "differences"}, {"linear": "krylov"}], ids=str)
@pytest.mark.parametrize("gradient", ["direct", "aca"])
@pytest.mark.parametrize("name", QUADRATURE)
def test_and_its_gradient_in_y0_is_the_identity(name: str, gradient: str, options: dict[str, str]) -> None:
    y0 = torch.zeros(2, dtype=D, requires_grad=True)
    asked = {"gradient": gradient, "params": (WEIGHT,), "options": {"dt": 0.2}}
    ys = odeint(QUADRATURE[name], y0, T, method={"kvaerno3": options}, **asked)
    (found,) = torch.autograd.grad(ys[-1].sum(), y0)
    assert torch.allclose(found, torch.ones(2, dtype=D), rtol=1e-14, atol=0)


@pytest.mark.parametrize("options", [{"jacobian": "differences"}, {"linear": "krylov"}], ids=str)
@pytest.mark.parametrize("gradient", ["direct", "aca", "recursive"])
@pytest.mark.parametrize(
    "name", [name for name in CUT if name != "through numpy"]
)  # which says of itself that it takes no graph
def test_no_gradient_is_taken_through_what_has_none(name: str, gradient: str, options: dict[str, str]) -> None:
    y0 = torch.zeros(2, dtype=D, requires_grad=True)
    with pytest.raises(Refusal, match=r"f carries no derivative.*no gradient can be taken through an implicit stage"):
        odeint(
            CUT[name], y0, T, method={"kvaerno3": options}, gradient=gradient, params=(WEIGHT,), **FIXED
        )[-1].sum().backward()  # fmt: skip


@pytest.mark.parametrize("gradient", ["direct", "aca", "recursive"])
@pytest.mark.parametrize("solver", IMPLICIT)
def test_gradients_through_a_jacobian_of_differences_are_exact(solver: str, gradient: str) -> None:
    found = []
    for options in ({}, {"jacobian": "differences"}):
        y0 = torch.tensor([[0.5, -0.2], [0.1, 0.3]], dtype=D, requires_grad=True)
        w = torch.tensor(2.0, dtype=D, requires_grad=True)
        asked = {"method": {solver: options}, "gradient": gradient, "params": (w,), **FIXED}
        ys = odeint(lambda t, y, w=w: -w * y**3 - 30 * (y - 0.5 * y.flip(-1)), y0, T, **asked)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(ys[-1].square().sum(), (y0, w))]))
    assert relative(found[1], found[0]) < 1e-12


def some(t: Tensor, y: Tensor, cut: slice) -> Tensor:
    """Stiff, of 6 components that see one another, the derivative of some of them cut."""
    out = -RATES.repeat(3) * (y - 0.1 * y.roll(1) - torch.cos(t))
    hidden = out.detach()
    return torch.cat((out[: cut.start], hidden[cut], out[cut.stop :]))


@pytest.mark.parametrize("cut", [slice(0, 1), slice(3, 6), slice(5, 6)], ids=str)
@pytest.mark.parametrize("steps", [ADAPTIVE, FIXED], ids=["adaptive", "fixed"])
@pytest.mark.parametrize("solver", ["kvaerno3", "kvaerno5"])
def test_a_derivative_that_is_cut_in_part_is_named(solver: str, steps: dict[str, object], cut: slice) -> None:
    calls = 0

    def f(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return some(t, y, cut)

    y0 = torch.zeros(6, dtype=D)
    with pytest.raises(Refusal, match="a part of f carries no derivative"):
        odeint(f, y0, T, method=solver, **steps)
    told, calls = calls, 0
    got = odeint(f, y0, T, method={solver: {"jacobian": "differences"}}, **steps)
    assert told < 2 * calls  # where Newton's method is first slow: not before steps are long enough
    wanted = odeint(lambda t, y: some(t, y, slice(0, 0)), y0, T, method=solver, **steps)
    assert relative(got[-1], wanted[-1]) < 1e-9


def test_what_is_no_fault_of_the_derivative_is_not_called_one() -> None:
    def jump(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(y > 0, -torch.ones_like(y), torch.ones_like(y)) * 10

    def rooted(t: Tensor, y: Tensor) -> Tensor:
        return y * y  # of a long step the stage has no solution

    for f, start in ((jump, 0.05), (jump, 0.0), (rooted, 1.0)):
        y0 = torch.full((1, 1), start, dtype=D)
        with pytest.raises(SolveError, match=r"was not solved.*take smaller steps"):
            odeint(f, y0, torch.tensor([0.0, 0.7], dtype=D), method="implicit_euler", options={"dt": 0.35})


def test_an_error_of_f_itself_is_raised_as_it_is() -> None:
    def broken(t: Tensor, y: Tensor) -> Tensor:
        if t > 0.05:
            raise RuntimeError("the pump is off")
        return -y

    with pytest.raises(RuntimeError, match="the pump is off"):
        odeint(broken, torch.ones(2, dtype=D), T, method="kvaerno3", **FIXED)


def test_a_jacobian_of_differences_is_near_that_of_autograd() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack((-0.04 * y[:, 0] + 1e4 * y[:, 1] * y[:, 2], 3e7 * y[:, 1] ** 2, y[:, 0].exp()), -1)

    y = torch.tensor([[0.7, 9e-6, 0.28], [1.0, 0.0, 0.0]], dtype=D)
    with torch.no_grad():
        by_autograd, by_differences = (linearise(f, 0.0, 0.1, y, "auto", d).jacobian for d in (False, True))
    assert by_differences.shape == (2, 3, 3)
    assert torch.allclose(by_differences, by_autograd, rtol=1e-4, atol=1e-3)


def test_single_precision_is_differenced_too() -> None:
    y0, t = torch.zeros(2), torch.tensor([0.0, 1.0])
    f = torch.no_grad()(lambda t, y: -RATES.float() * (y - torch.cos(t)))
    ys = odeint(f, y0, t, method={"kvaerno5": {"jacobian": "differences"}}, rtol=1e-3, atol=1e-5)
    assert torch.allclose(ys[-1], torch.tensor([0.5411, 0.5804]), atol=3e-3)
