"""How programs written for torchdiffeq ask for steps: lengths beside adaptive methods, fixed steps, jumps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import odebench
from odebench import odeint, odeint_adjoint

D = torch.float64
ENDS = torch.tensor([0.0, 1.0], dtype=D)
ADAPTIVE = ["dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun"]


class Counted:
    def __init__(self, f: Callable[[Tensor, Any], Any]) -> None:
        self.f, self.times = f, list[float]()

    def __call__(self, t: Tensor, y: Any) -> Any:
        self.times.append(float(t.detach()))
        return self.f(t, y)


def oscillator(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack((y[1], -100 * y[0]))


def driven(t: Tensor, y: Tensor) -> Tensor:
    return torch.sin(t) - y


def at_rest() -> Tensor:
    return torch.tensor([1.0, 0.0], dtype=D)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_step_size_beside_an_adaptive_method_warns_and_the_tolerance_is_kept(method: str) -> None:
    plain = odeint(oscillator, at_rest(), ENDS, method=method, rtol=1e-4)
    with pytest.warns(UserWarning, match=f'{method} does not follow \'step_size\' of options: .*"dt" or "steps"'):
        told = odeint(oscillator, at_rest(), ENDS, method=method, rtol=1e-4, options={"step_size": 0.25})
    assert torch.equal(plain, told)
    assert float(told[-1, 0]) == pytest.approx(-0.8390715, abs=0.05)  # steps of 0.25 give -1.549


def test_what_else_asks_an_adaptive_method_for_fixed_steps_warns_too() -> None:
    plain = odeint(oscillator, at_rest(), ENDS, rtol=1e-6)
    with pytest.warns(UserWarning, match="dopri5 does not follow 'grid_constructor'"):
        told = odeint(oscillator, at_rest(), ENDS, rtol=1e-6, options={"grid_constructor": lambda f, y, t: t})
    assert torch.equal(plain, told)
    y0 = at_rest().requires_grad_()
    ahead: dict[str, Any] = {"rtol": 1e-6, "adjoint_params": ()}
    ys = odeint_adjoint(oscillator, y0, ENDS, **ahead)
    (wanted,) = torch.autograd.grad(ys[-1].sum(), y0)
    with pytest.warns(UserWarning, match="dopri5 does not follow 'step_size' of adjoint_options"):
        ys = odeint_adjoint(oscillator, y0, ENDS, adjoint_options={"step_size": 0.25}, **ahead)
    (got,) = torch.autograd.grad(ys[-1].sum(), y0)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["tsit5", "vern7", "heun", "rk4", "euler", "alf", "kvaerno3"])
def test_every_other_scheme_keeps_step_size_as_it_is(method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = [
            odeint(driven, torch.ones(1, dtype=D), ENDS, method=method, options={name: value})
            for name, value in (("step_size", 0.125), ("dt", 0.125), ("steps", 8))
        ]
    assert torch.equal(asked[0], asked[1])
    assert torch.equal(asked[0], asked[2])


@pytest.mark.parametrize("method", [*ADAPTIVE, "tsit5", "rk4"])
def test_fixed_steps_of_any_scheme_are_dt_or_steps(method: str) -> None:
    f, g = Counted(driven), Counted(driven)
    by_length = odeint(f, torch.ones(1, dtype=D), ENDS, method=method, options={"dt": 0.1})
    by_number = odeint(g, torch.ones(1, dtype=D), ENDS, method=method, options={"steps": 10})
    assert torch.equal(by_length, by_number)
    assert f.times == g.times
    assert {round(k / 10, 12) for k in range(10)} <= {round(t, 12) for t in f.times}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, at least 1; got 0"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": float("inf")}, "steps must be a whole number"),
        ({"dt": -1.0}, "dt must be positive"),
        ({"dt": 0.1, "steps": 3}, "dt and steps each say where steps end; give one of them"),
        ({"steps": 10**9}, "steps asks for 1e"),
    ],
)
def test_fixed_steps_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(odebench.UsageError, match=message):
        odeint(driven, torch.ones(1, dtype=D), ENDS, options=options)


SPAN = torch.tensor([0.0, 40.0], dtype=D)
JUMPS = torch.arange(1, 40, dtype=D)


def calls(solve: Callable[..., Tensor], jumps: bool, backwards: bool = False, **how: Any) -> tuple[int, int]:
    f, y0 = Counted(driven), torch.ones(1, dtype=D, requires_grad=True)
    ys = solve(f, y0, SPAN.flip(0) if backwards else SPAN, options={"jump_t": JUMPS} if jumps else {}, **how)
    forward = len(f.times)
    ys[-1].sum().backward()  # type: ignore[no-untyped-call]
    return forward, len(f.times) - forward


@pytest.mark.filterwarnings("ignore::odebench.gradients.guard.Otherwise")  # e^40 on the way back
@pytest.mark.parametrize("tolerances", [(1e-4, 1e-6), (1e-3, 1e-6)])
@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_jumps_cost_no_more_calls_than_with_torchdiffeq(method: str, tolerances: tuple[float, float]) -> None:
    import torchdiffeq

    how = {"method": method, "rtol": tolerances[0], "atol": tolerances[1]}
    assert calls(odeint, True, **how)[0] <= calls(torchdiffeq.odeint, True, **how)[0]


@pytest.mark.parametrize("gradient", ["direct", "aca", "symplectic", "adjoint", {"recursive": {"checkpoints": 2}}])
def test_a_jump_costs_a_slope_and_no_search_for_a_first_step(gradient: Any) -> None:
    """At a jump of nothing: one call for the slope behind each, and no more than one step that was cut short."""
    how: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6, "gradient": gradient, "params": ()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", odebench.gradients.guard.Otherwise)
        plain, told = calls(odeint, False, **how), calls(odeint, True, **how)
    assert told[0] - plain[0] <= len(JUMPS) * (1 + 6 / 2)


def test_a_second_backward_pass_over_jumps_takes_the_very_steps_of_the_first() -> None:
    f, y0 = Counted(driven), torch.ones(1, dtype=D, requires_grad=True)
    short = torch.tensor([0.0, 3.0], dtype=D)
    ys = odeint_adjoint(f, y0, short, adjoint_params=(), options={"jump_t": JUMPS[:2]}, rtol=1e-5, atol=1e-6)
    passes = []
    for _ in range(2):
        f.times.clear()
        (bar,) = torch.autograd.grad(ys[-1].sum(), y0, retain_graph=True)
        passes.append((list(f.times), bar))
    assert passes[0][0] == passes[1][0]
    assert torch.equal(passes[0][1], passes[1][1])


@pytest.mark.parametrize("backwards", [False, True])
def test_the_jumps_themselves_are_not_asked(backwards: bool) -> None:
    f = Counted(lambda t, y: -y if t < 0.7 else 2 * y)
    ends = torch.tensor([1.5, 0.0] if backwards else [0.0, 1.5], dtype=D)
    ys = odeint(f, torch.ones(1, dtype=D), ends, options={"jump_t": [0.7]})
    factor = torch.exp(torch.tensor(-0.7 + 2 * 0.8, dtype=D)) ** (-1 if backwards else 1)
    torch.testing.assert_close(ys[-1], factor.reshape(1), rtol=1e-6, atol=0)
    assert 0.7 not in f.times
