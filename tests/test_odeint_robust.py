"""What cannot be solved is said so: no wrong answer in silence, no hang, no error that is not odebench's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import odebench

D = torch.float64
T = torch.linspace(0.0, 1.0, 5, dtype=D)
ONES = torch.ones(3, dtype=D)


def gone(t: Tensor, y: Tensor) -> Tensor:
    return -y if t < 0.5 else torch.full_like(y, float("nan"))


def decay(t: Tensor, y: Any) -> Any:
    return tuple(-part for part in y) if isinstance(y, tuple) else -y


@pytest.mark.parametrize("gradient", ["direct", "adjoint", "aca"])
@pytest.mark.parametrize("step", [None, 0.1])
@pytest.mark.parametrize("method", ["dopri5", "kvaerno3", "alf", "reversible_heun", "rk4", "implicit_adams"])
def test_a_field_that_turns_nan_is_said_to_and_when(method: str, step: float | None, gradient: str) -> None:
    options = None if step is None else {"dt": step}
    with pytest.raises(odebench.Divergence, match=r"not finite (just after t = 0\.[45]|at t = 0\.(5|75))"):
        odebench.odeint(gone, ONES, T, method=method, gradient=gradient, params=(), options=options)


def test_a_field_that_is_nan_only_on_the_way_back_is_said_to_be() -> None:
    calls: list[float] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        calls.append(float(t))
        return y * float("nan") if len(calls) > forward else -y

    forward = 10**9
    y0 = ONES.clone().requires_grad_()
    ys = odebench.odeint(f, y0, T, gradient="adjoint", params=())
    forward = len(calls)
    with pytest.raises(odebench.Divergence, match="on the way back"):
        ys.sum().backward()


def test_a_solution_that_runs_away_is_no_answer() -> None:
    for options in (None, {"dt": 0.01}):
        for y0 in (ONES, ONES[0]):
            with pytest.raises(odebench.Divergence, match="not finite"):
                odebench.odeint(lambda t, y: y * y, y0, 4 * T, options=options)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_a_start_that_is_not_finite_is_said_to_be(method: str) -> None:
    with pytest.raises(odebench.OdebenchError, match="not finite"):
        odebench.odeint(decay, ONES * float("inf"), T, method=method)


def test_a_step_that_underflows_ends_the_solve() -> None:
    with pytest.raises(odebench.SolveError, match="step size underflowed at t = "):
        odebench.odeint(lambda t, y: torch.sin(1e9 * y), ONES, T + 1, rtol=0.0, atol=1e-200)


def test_the_step_limit_ends_the_solve() -> None:
    with pytest.raises(odebench.SolveError, match="5 steps were tried"):
        odebench.odeint(lambda t, y: torch.cos(50 * t) * y, ONES, T, options={"max_num_steps": 5})


def test_steps_too_many_to_hold_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(odebench.UsageError, match=r"1e\+12 steps"):
        odebench.odeint(decay, ONES, T, method="rk4", options={"dt": 1e-12})


RK4 = {"method": "rk4"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "times that go both ways": ({"t": torch.tensor([0.0, 1.0, 0.5])}, "strictly increasing or strictly decreasing"),
    "a time twice": ({"t": torch.tensor([0.0, 1.0, 1.0])}, "strictly increasing or strictly decreasing"),
    "a time that is nan": ({"t": torch.tensor([0.0, float("nan")])}, "t must be finite"),
    "no times": ({"t": torch.tensor([])}, "at least one time"),
    "times in a table": ({"t": torch.zeros(2, 2)}, "1-D"),
    "times in a list": ({"t": [0.0, 1.0]}, "1-D floating-point tensor; got list"),
    "whole numbers for times": ({"t": torch.tensor([0, 1])}, "got torch.int64"),
    "whole numbers for a state": ({"y0": torch.ones(2, dtype=torch.int64)}, "y0 must be a floating-point"),
    "a list for a state": ({"y0": [ONES]}, "y0 must be a floating-point"),
    "an empty tuple": ({"y0": ()}, "at least one tensor"),
    "a state on two devices": ({"y0": (ONES, ONES.to("meta"))}, "move them to one device"),
    "an answer on another device": ({"f": lambda t, y: y.to("meta")}, "f answered on meta and y is on cpu"),
    "an answer of another shape": ({"f": lambda t, y: y[:1]}, "shaped like y"),
    "an answer that is a list": ({"f": lambda t, y: [-y]}, "must return a tensor"),
    "no answer": ({"f": lambda t, y: None}, "must return a tensor"),
    "a complex answer": ({"f": lambda t, y: 1j * y}, "f answered in torch.complex128 and y is torch.float64"),
    "an answer in whole numbers": ({"f": lambda t, y: y.long()}, "f answered in torch.int64"),
    "a tolerance below 0": ({"rtol": -1.0}, "non-negative"),
    "a tolerance that is nan": ({"atol": float("nan")}, "non-negative"),
    "a tolerance that is no number": ({"rtol": "tight"}, "rtol must be a number"),
    "one of many tolerances below 0": ({"atol": torch.tensor([1.0, -1.0, 1.0])}, "non-negative"),
    "tolerances of another shape": ({"atol": torch.ones(4)}, "does not broadcast"),
    "tolerances of another number": ({"y0": (ONES, ONES), "rtol": (1e-3,)}, "1 entries and y0 2"),
    "a tolerance to be learnt": ({"rtol": torch.tensor(0.1, requires_grad=True)}, "rtol requires a gradient"),
    "an unknown option": ({"options": {"max_step_size": 1.0}}, "no option 'max_step_size'; did you mean"),
    "a step of nothing": (RK4 | {"options": {"step_size": 0.0}}, "step_size must be positive"),
    "a step that is no number": (RK4 | {"options": {"step_size": "small"}}, "step_size must be a number"),
    "a norm that is none": ({"options": {"norm": "maxi"}}, "norm must be one of"),
    "two grids": (RK4 | {"options": {"step_size": 0.1, "grid_constructor": lambda f, y, t: t}}, "give one of them"),
    "a grid that ends elsewhere": (
        RK4 | {"options": {"grid_constructor": lambda f, y, t: t[:2]}},
        "the grid runs from",
    ),
    "a grid that is none": (RK4 | {"options": {"grid_constructor": lambda f, y, t: None}}, "must return a 1-D tensor"),
    "a suite's options at fixed steps": (RK4 | {"options": {"controller": "pi"}}, "these steps are fixed"),
    "an order that Adams methods have not": (
        {"method": "implicit_adams", "options": {"max_order": 8}},
        "go up to order 5; give 5 or less",
    ),
    "an order by two ways": ({"method": {"abm": {"order": 4}}, "options": {"max_order": 5}}, "leave out max_order"),
    "an order below all of theirs": ({"method": "abm", "options": {"max_order": 1}}, "the method of order 1 is euler"),
    "an order that is none": ({"method": "explicit_adams", "options": {"max_order": "high"}}, "a whole number"),
    "explicit and implicit": ({"method": "explicit_adams", "options": {"implicit": True}}, "name implicit_adams"),
    "jumps in a table": ({"options": {"jump_t": torch.zeros(1, 1)}}, "1-D tensor of times"),
    "SciPy": ({"method": "scipy_solver"}, "use dopri5, dopri8 or, for stiff problems, kvaerno5"),
    "a method of a later torchdiffeq": ({"method": "radauIIA5"}, "kvaerno3"),
    "an event": ({"event_fn": lambda t, y: y.sum()}, "odebench finds no events"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_call_is_refused_with_what_to_do(what: str) -> None:
    change, message = WRONG[what]
    call: dict[str, Any] = {"f": decay, "y0": ONES, "t": T} | change
    with pytest.raises(odebench.OdebenchError, match=message):
        odebench.odeint(call.pop("f"), call.pop("y0"), call.pop("t"), **call)


def test_what_torchdiffeq_has_beside_it_is_refused_with_a_sentence() -> None:
    with pytest.raises(odebench.Refusal, match="odeint_event: odebench finds no events"):
        odebench.odeint_event(decay, ONES, T[0], event_fn=lambda t, y: y.sum())
    with pytest.raises(odebench.Refusal, match="no function of time"):
        odebench.odeint_dense(decay, ONES, T[0], T[1])


def test_errors_that_torchdiffeq_raises_can_be_caught_as_such() -> None:
    with pytest.raises(ValueError, match="did you mean 'dopri5'"):
        odebench.odeint(decay, ONES, T, method="dopry5")
    with pytest.raises(TypeError, match="floating-point"):
        odebench.odeint(decay, ONES, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="adjoint_params"):
        odebench.odeint_adjoint(decay, ONES, T)
    with pytest.raises(ValueError, match="adjoint_options"):
        odebench.odeint_adjoint(decay, ONES, T, options={}, adjoint_method="rk4", adjoint_params=())
    with pytest.raises(odebench.UsageError, match="the steps back are fixed"):
        odebench.odeint_adjoint(decay, ONES, T, method="rk4", adjoint_options={"controller": "pi"}, adjoint_params=())
    with pytest.raises(odebench.UsageError, match="seminorm"):
        odebench.odeint_adjoint(decay, ONES, T, adjoint_options={"norm": "semi"}, adjoint_params=())


def test_a_solve_at_fixed_steps_can_be_mapped_over() -> None:
    got = torch.vmap(lambda y: odebench.odeint(decay, y, T, method="rk4"))(torch.ones(4, 3, dtype=D))
    assert got.shape == (4, 5, 3)
