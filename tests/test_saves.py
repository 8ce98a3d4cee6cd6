"""What saved times cost `odeint`: no steps where scheme and gradient can look into a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench
from odebench import odeint
from odebench.measure.weigh import peak_bytes
from odebench.solvers import RungeKutta

D = torch.float64
TOLERANCES: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
GRADIENTS: dict[str, Any] = {
    "direct": "direct", "aca": "aca", "recursive": {"recursive": {"checkpoints": 2}}, "symplectic": "symplectic",
    "forward": "forward", "adjoint": "adjoint", "interpolated": "interpolated",
}  # fmt: skip
PAIRS = ["heun", "ralston", "fehlberg2", "bosh3", "dopri5", "tsit5", "dopri8", "vern6", "vern7", "vern8", "vern9"]
OTHERS = ["alf", "reversible_heun", "kvaerno3", "kvaerno4"]
TAPED = ("direct", "aca", "recursive", "symplectic", "forward")  # what goes back step by step, or not at all


class Pendulum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pull = nn.Parameter(torch.tensor(4.0, dtype=D))
        self.times = list[float]()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.times.append(float(t.detach()))
        q, p = y.chunk(2, -1)
        return torch.cat((p, -self.pull * q.sin() - 0.3 * p), -1)


def start(samples: int = 3) -> Tensor:
    q = torch.linspace(-2.0, 2.5, samples, dtype=D)
    return torch.stack((q, torch.zeros_like(q)), -1)


def solved(saves: int, method: Any, gradient: Any, **options: Any) -> tuple[Tensor, Tensor, int, int]:
    """(the solution, dL/dω of a loss on all saves, calls forward, calls back)."""
    f, t = Pendulum(), torch.linspace(0.0, 2.0, saves, dtype=D)
    ys = odeint(f, start(), t, method=method, gradient=gradient, options=options or None, **TOLERANCES)
    forward = len(f.times)
    (bar,) = torch.autograd.grad(loss(ys), f.pull)
    return ys.detach(), bar, forward, len(f.times) - forward


def loss(ys: Tensor) -> Tensor:
    weights = torch.linspace(0.5, 1.5, ys.numel(), dtype=D).view(ys.shape)
    return (ys * weights).square().sum() / len(ys)


@cache
def truth(saves: int) -> tuple[Tensor, Tensor]:
    f, t = Pendulum(), torch.linspace(0.0, 2.0, saves, dtype=D)
    ys = odeint(f, start(), t, method="dopri8", rtol=1e-12, atol=1e-12, options={"dense": False})
    (bar,) = torch.autograd.grad(loss(ys), f.pull)
    return ys.detach(), bar


def extra_calls(method: str) -> int:
    """Of the extension of a scheme, for each step that is looked into."""
    stepper = odebench.registry.solvers.get(method).build({})
    return len(stepper.tableau.interpolant.extra) if isinstance(stepper, RungeKutta) else 0


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", [*PAIRS, *OTHERS])
def test_saved_times_cost_no_steps(method: str, gradient: str) -> None:
    if gradient == "symplectic" and method in OTHERS:
        with pytest.raises(odebench.Refusal, match="cannot be transposed stage by stage"):
            solved(2, method, gradient)
        return
    ends, _, forward, backward = solved(2, method, GRADIENTS[gradient])
    few = solved(10, method, GRADIENTS[gradient])
    many = solved(100, method, GRADIENTS[gradient])
    for ys, _, calls, back in (few, many):
        assert torch.equal(ys[-1], ends[-1])  # the very same steps
        if not extra_calls(method):
            assert calls == forward
            assert back == backward or gradient not in TAPED
        else:
            assert 0 <= calls - forward <= extra_calls(method) * forward / 8


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "vern7", "heun", "kvaerno3", "alf"])
def test_every_gradient_is_that_of_the_values_that_were_read(method: str) -> None:
    _, reference, *_ = solved(13, method, "direct")
    for gradient in ("aca", "recursive", "symplectic", "forward", "reversible"):
        try:
            _, bar, *_ = solved(13, method, GRADIENTS.get(gradient, gradient))
        except odebench.Refusal:
            continue
        # Newton's method is solved to rounding and not beyond.
        torch.testing.assert_close(bar, reference, rtol=1e-9 if method == "kvaerno3" else 1e-12, atol=0)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_the_adjoint_still_stops_at_each_save_and_is_near_the_truth(gradient: str) -> None:
    _, bar, *_ = solved(13, "dopri5", gradient)
    torch.testing.assert_close(bar, truth(13)[1], rtol=2e-4, atol=0)


THEIRS = {"dopri5": "dopri5", "dopri8": "dopri8", "bosh3": "bosh3", "heun": "adaptive_heun", "fehlberg2": "fehlberg2"}


@pytest.mark.parametrize("saves", [2, 10, 100])
@pytest.mark.parametrize("method", THEIRS)
def test_errors_are_no_larger_than_torchdiffeqs_and_the_adjoint_calls_f_no_more_often(method: str, saves: int) -> None:
    import torchdiffeq

    def taken(solve: Callable[..., Tensor], name: str) -> tuple[float, int, int]:
        f, t = Pendulum(), torch.linspace(0.0, 2.0, saves, dtype=D)
        ys = solve(f, start(), t, method=name, **TOLERANCES)
        forward = len(f.times)
        loss(ys).backward()  # type: ignore[no-untyped-call]
        return float((ys.detach() - truth(saves)[0]).abs().max()), forward, len(f.times) - forward

    error, _, backward = taken(odebench.odeint_adjoint, method)
    their_error, _, their_backward = taken(torchdiffeq.odeint_adjoint, THEIRS[method])
    # With two saves nothing is read inside a step.
    if (method, saves) != ("fehlberg2", 2):
        assert error <= their_error
    # These two take a slope of another place for that at the end of a step, and save an evaluation of it.
    if method not in ("heun", "fehlberg2"):
        assert backward <= their_backward


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_saved_times_cost_no_bytes_but_those_of_the_solution(gradient: str) -> None:
    def peak(saves: int) -> int:
        f, y0, t = Pendulum(), start(200), torch.linspace(0.0, 2.0, saves, dtype=D)

        def run() -> None:
            ys = odeint(f, y0, t, gradient=GRADIENTS[gradient], **TOLERANCES)
            ys[-1].square().sum().backward()

        run()
        return peak_bytes(run, y0.device)

    solution = 90 * 200 * 2 * 8
    more = peak(100) - peak(10)
    # The solution and its cotangent; what was read is stacked, so that it is there twice; forward has a derivative too.
    assert more <= solution * {"direct": 2.5, "forward": 4.1}.get(gradient, 2.2)


def test_landing_is_to_be_had_and_costs_a_step_for_each_save() -> None:
    _, _, forward, _ = solved(100, "dopri5", "direct", dense=False)
    assert forward >= 6 * 99
    assert solved(100, "dopri5", "direct")[2] < 100


@pytest.mark.parametrize("method", ["kvaerno5", {"coupled": {"base": "bosh3"}}, {"backstep": {"base": "bosh3"}}])
def test_a_scheme_whose_steps_cannot_be_looked_into_well_lands(method: Any) -> None:
    assert torch.equal(solved(5, method, "direct")[0], solved(5, method, "direct", dense=False)[0])


def test_a_gradient_through_the_control_lands() -> None:
    through = {"direct": {"control": True}}
    assert torch.equal(solved(5, "dopri5", through)[0], solved(5, "dopri5", through, dense=False)[0])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint"])
def test_step_t_is_landed_on_between_saves_that_are_not(gradient: str, backwards: bool) -> None:
    f, t = Pendulum(), torch.linspace(0.0, 2.0, 41, dtype=D)
    stops = [0.317, 1.0, 1.555, 7.0]
    ys = odeint(f, start(), t.flip(0) if backwards else t, gradient=gradient, options={"step_t": stops}, **TOLERANCES)
    assert {0.317, 1.0, 1.555} <= set(f.times)
    assert len({*t.tolist()[1:-1]} & set(f.times)) <= 1  # 1.0 is a saved time too
    ahead = truth(41)[0]
    if not backwards:
        assert float((ys.detach() - ahead).abs().max()) < 1e-3
    loss(ys).backward()  # type: ignore[no-untyped-call]
    assert f.pull.grad is not None


def test_samples_that_step_by_themselves_read_their_saves_too() -> None:
    f = Pendulum()
    f.forward = lambda t, y: torch.cat((y[:, 1:], -f.pull * y[:, :1].sin()), -1)  # type: ignore[method-assign]
    t = torch.linspace(0.0, 2.0, 30, dtype=D)
    both = [odeint(f, start(), t, options={"per_sample": True, **more}, **TOLERANCES) for more in ({}, {"dense": True})]
    assert torch.equal(*both)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex128])
def test_many_values_inside_a_step_are_those_of_one_by_one(dtype: torch.dtype) -> None:
    y0 = torch.tensor([[1.0, -0.5]], dtype=dtype)
    t = torch.linspace(0.0, 1.0, 60, dtype=D)
    together = odeint(lambda t, y: -y * torch.cos(t), y0, t, rtol=1e-3, atol=1e-3)
    for place in range(1, 59, 7):
        alone = odeint(lambda t, y: -y * torch.cos(t), y0, t[[0, place, 59]], rtol=1e-3, atol=1e-3)[1]
        torch.testing.assert_close(together[place], alone, rtol=8 * torch.finfo(dtype).eps, atol=0)


class Scaled(nn.Module):
    """Its scale is where odebench cannot put it back, and counts for nothing at the start, where f is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.rate * (1 + (SCALE["of all"] - 1) * min(float(t), 1.0)) * y


SCALE = {"of all": 1.0}


@pytest.mark.parametrize("method", ["dopri5", "vern7", "heun", "kvaerno3"])
@pytest.mark.parametrize("gradient", ["aca", "recursive"])
def test_a_field_that_changed_is_warned_of_where_every_step_is_read_inside_too(
    gradient: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = Scaled()
    t = torch.linspace(0.0, 3.0, 200, dtype=D)
    ys = odeint(f, start() + 1, t, method=method, gradient=GRADIENTS[gradient], **TOLERANCES)
    monkeypatch.setitem(SCALE, "of all", 1.2)
    with pytest.warns(UserWarning, match="on the way back the solution at t = .* was off by"):
        loss(ys).backward()  # type: ignore[no-untyped-call]
