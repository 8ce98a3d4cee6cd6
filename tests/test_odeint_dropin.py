"""`odebench.odeint` in torchdiffeq's place: its options, its adjoint, its errors."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench

D = torch.float64
T = torch.linspace(0.0, 1.5, 4, dtype=D)
WITH_TORCHDIFFEQ = pytest.mark.skipif(
    importlib.util.find_spec("torchdiffeq") is None, reason="torchdiffeq is not installed"
)


class Counting:
    """A field that counts its calls and remembers when they were."""

    def __init__(self, f: Callable[[Tensor, Any], Any]) -> None:
        self.f, self.times = f, list[float]()

    def __call__(self, t: Tensor, y: Any) -> Any:
        self.times.append(float(t))
        return self.f(t, y)


def decay(t: Tensor, y: Tensor) -> Tensor:
    return -y


class Swing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Linear(3, 3).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.net(y)) * torch.cos(t)


START = torch.linspace(-1.0, 1.0, 6, dtype=D).reshape(2, 3)


def gradients(solve: Callable[..., Any], f: Swing, **how: Any) -> tuple[Tensor, ...]:
    y0 = START.clone().requires_grad_()
    return torch.autograd.grad(solve(f, y0, T, **how).square().sum(), (y0, *f.parameters()))


def apart(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(xs, ys, strict=True))


def test_one_time_gives_the_start_back() -> None:
    for method in ("dopri5", "rk4", "alf"):
        y0 = START.clone().requires_grad_()
        ys = odebench.odeint(decay, y0, T[:1], method=method)
        assert torch.equal(ys, START.unsqueeze(0))
        assert torch.equal(torch.autograd.grad(ys.sum(), y0)[0], torch.ones_like(START))
    parts = odebench.odeint_adjoint(lambda t, y: y, (START, START[0, 0]), T[:1], adjoint_params=())
    assert [part.shape for part in parts] == [(1, 2, 3), (1,)]


def test_no_method_is_dopri5() -> None:
    assert torch.equal(odebench.odeint(decay, START, T, method=None), odebench.odeint(decay, START, T))


@pytest.mark.parametrize(("method", "calls"), [("euler", 3), ("midpoint", 6), ("heun2", 6), ("heun3", 9), ("rk4", 12)])
def test_fixed_methods_of_torchdiffeq_take_one_step_per_interval(method: str, calls: int) -> None:
    f = Counting(decay)
    odebench.odeint(f, START, T, method=method)
    assert len(f.times) == calls


def test_a_grid_of_ones_own_is_stepped_through_and_saved_times_off_it_are_landed_on() -> None:
    seen = []

    def grid(f: Any, y0: Tensor, t: Tensor) -> Tensor:
        seen.append((f, y0, t))
        return torch.linspace(0.0, 1.5, 11, dtype=D)

    f = Counting(decay)
    odebench.odeint(f, START, T, method="euler", options={"grid_constructor": grid})
    assert seen == [(f, START, T)]
    nodes = sorted({*torch.linspace(0.0, 1.5, 11, dtype=D).tolist(), *T.tolist()})
    assert f.times == pytest.approx(nodes[:-1])


@pytest.mark.parametrize("name", ["grid_points", "step_t"])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_further_times_can_be_landed_on_without_being_saved(name: str, method: str) -> None:
    f = Counting(decay)
    ys = odebench.odeint(f, START, T, method=method, options={name: torch.tensor([0.123, 1.4, 9.0])})
    assert ys.shape == (4, 2, 3)
    assert any(t == pytest.approx(0.123) for t in f.times)
    assert any(t == pytest.approx(1.4) for t in f.times)
    assert max(f.times) == pytest.approx(1.5)


def kicked(t: Tensor, y: Tensor) -> Tensor:
    return -y if t < 0.7 else 2 * y


def kicked_at_the_end(y0: Tensor) -> Tensor:
    return y0 * torch.exp(torch.tensor(-0.7 + 2 * 0.8, dtype=D))


@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint", "symplectic", {"recursive": {"checkpoints": 2}}])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_jump_that_is_told_costs_less_and_is_solved_exactly(gradient: Any, backwards: bool) -> None:
    y0 = START.clone().requires_grad_()
    ends = torch.tensor([1.5, 0.0] if backwards else [0.0, 1.5], dtype=D)
    told, plain = Counting(kicked), Counting(kicked)
    how: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-9, "gradient": gradient, "params": ()}
    odebench.odeint(plain, y0, ends, **how)
    ys = odebench.odeint(told, y0, ends, options={"jump_t": torch.tensor([0.7], dtype=D)}, **how)
    assert len(told.times) < len(plain.times)
    factor = kicked_at_the_end(torch.ones((), dtype=D)) ** (-1 if backwards else 1)
    assert torch.allclose(ys[-1], y0 * factor, rtol=1e-6)
    (bar,) = torch.autograd.grad(ys[-1].sum(), y0)
    assert torch.allclose(bar, factor.expand_as(bar), rtol=1e-5)
    assert 0.7 not in told.times


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4", "bosh3", "explicit_adams"])
def test_perturb_looks_at_f_from_inside_every_step(method: str) -> None:
    for perturb in (False, True):
        f = Counting(decay)
        y0 = START.clone().requires_grad_()
        options = {"dt": 0.5, "perturb": perturb}
        ys = odebench.odeint_adjoint(f, y0, T[[0, 2]], method=method, options=options, adjoint_params=())
        ys.sum().backward()
        assert ({0.0, 0.5} <= set(f.times)) is not perturb
        assert torch.allclose(ys[-1], odebench.odeint(decay, START, T[[0, 2]])[-1], atol=0.2)


@WITH_TORCHDIFFEQ
@pytest.mark.parametrize(("ours", "theirs"), [("euler", "euler"), ("midpoint", "midpoint"), ("heun2", "heun2"),
                                              ("heun3", "heun3"), ("rk38", "rk4")])  # fmt: skip
def test_fixed_steps_and_their_gradients_are_torchdiffeqs(ours: str, theirs: str) -> None:
    import torchdiffeq

    f = Swing()
    assert apart(gradients(odebench.odeint, f, method=ours), gradients(torchdiffeq.odeint, f, method=theirs)) < 1e-13


@WITH_TORCHDIFFEQ
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"adjoint_options": {"norm": "seminorm"}},
        {"adjoint_rtol": 1e-9, "adjoint_atol": 1e-10},
        {"adjoint_method": "dopri8", "adjoint_options": {}},
        {"adjoint_options": {"norm": lambda parts: max(part.abs().max() for part in parts)}},
        {"method": "bosh3", "options": {"norm": lambda y: y.abs().max()}},
    ],
    ids=["plain", "seminorm", "tolerances", "method", "norm", "forward norm"],
)
def test_the_adjoint_is_torchdiffeqs_and_at_least_as_near_to_the_gradient(how: dict[str, Any]) -> None:
    import torchdiffeq

    f, given = Swing(), {"rtol": 1e-8, "atol": 1e-9} | how
    exact = gradients(torchdiffeq.odeint, f, rtol=1e-11, atol=1e-12)
    ours, theirs = (gradients(each.odeint_adjoint, f, **given) for each in (odebench, torchdiffeq))
    # Theirs also bears the error of interpolating at the ends, 3e-5 where steps are as long as dopri8's.
    assert apart(ours, exact) < 1e-7
    assert apart(ours, exact) <= apart(theirs, exact) < 1e-4


def test_the_way_back_may_have_steps_of_its_own() -> None:
    f = Swing()
    exact = gradients(odebench.odeint, f, rtol=1e-10, atol=1e-11)
    for how in (
        {"adjoint_method": "rk4", "adjoint_options": {"step_size": 0.01}},
        {"adjoint_options": {"first_step": 0.01, "max_step": 0.2}},
        {"method": "rk4", "options": {"step_size": 0.01}},
        {"method": "rk4", "options": {"step_size": 0.01}, "adjoint_options": {"norm": "seminorm"}},
        {"method": "rk4", "options": {"step_size": 0.01}, "adjoint_method": "dopri5", "adjoint_options": {}},
    ):
        assert apart(gradients(odebench.odeint_adjoint, f, **how), exact) < 1e-6


def test_the_norm_back_sees_time_state_and_adjoint_and_every_parameter() -> None:
    shapes: set[tuple[torch.Size, ...]] = set()

    def norm(parts: tuple[Tensor, ...]) -> Tensor:
        shapes.add(tuple(part.shape for part in parts))
        return torch.stack([part.abs().max() for part in parts]).max()

    w = torch.full((7,), 0.3, dtype=D, requires_grad=True)
    y0 = (torch.ones((), dtype=D), torch.ones(2, 2, dtype=D))
    ys = odebench.odeint_adjoint(
        lambda t, y: (-y[0] * w.sum(), -y[1]), y0, T, adjoint_params=(w,), adjoint_options={"norm": norm}
    )
    ys[0].sum().backward()
    assert shapes == {((), (), (2, 2), (), (2, 2), (7,))}
    assert w.grad is not None


def test_a_norm_gets_a_tuple_where_the_state_is_one() -> None:
    seen = []
    odebench.odeint(decay, START, T, options={"norm": lambda y: (seen.append(y.shape), y.abs().max())[1]})
    assert set(seen) == {(2, 3)}
    kinds = []
    odebench.odeint(
        lambda t, y: tuple(-part for part in y), (START, START[0, 0]), T,
        options={"norm": lambda y: (kinds.append([part.shape for part in y]), y[0].abs().max())[1]},
    )  # fmt: skip
    assert kinds[0] == [(2, 3), ()]


def test_a_long_part_of_the_state_does_not_hide_the_error_of_a_short_one() -> None:
    def f(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(y[0]), torch.cos(20 * t) * y[1]

    y0 = (torch.ones(10_000, dtype=D), torch.ones((), dtype=D))
    exact = torch.exp(torch.sin(20 * T) / 20)
    got = odebench.odeint(f, y0, T, rtol=1e-6, atol=1e-6)[1]
    assert float((got - exact).abs().max()) < 1e-5


def test_tolerances_may_differ_from_component_to_component() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([torch.cos(30 * t), -y[1]])

    y0 = torch.tensor([0.0, 1.0], dtype=D)
    calls = []
    for rtol, atol in ((1e-8, 1e-8), (1e-8, torch.tensor([1.0, 1e-8]))):
        field = Counting(f)
        got = odebench.odeint(field, y0, T, rtol=rtol, atol=atol)
        assert torch.allclose(got[:, 1], torch.exp(-T), atol=1e-6)
        calls.append(len(field.times))
    assert calls[1] < calls[0] / 2


def test_tolerances_of_a_tuple_are_one_for_each_of_its_tensors() -> None:
    def f(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return torch.cos(30 * t).expand(2), -y[1]

    y0 = (torch.zeros(2, dtype=D), torch.ones(3, dtype=D))
    calls = []
    for atol in ((1e-8, 1e-8), (1.0, 1e-8), torch.tensor([1.0, 1e-8])):
        field = Counting(f)
        got = odebench.odeint(field, y0, T, rtol=1e-8, atol=atol)
        assert torch.allclose(got[1][:, 0], torch.exp(-T), atol=1e-6)
        calls.append(len(field.times))
    assert calls[1] == calls[2] < calls[0] / 2


def test_an_adjoint_of_tolerances_per_component_wants_numbers_for_the_way_back() -> None:
    y0, atol = START.clone().requires_grad_(), torch.full((3,), 1e-8)
    with pytest.raises(odebench.Refusal, match="adjoint_atol as numbers"):
        odebench.odeint(decay, y0, T, atol=atol, gradient="adjoint", params=())
    ys = odebench.odeint_adjoint(decay, y0, T, atol=atol, adjoint_atol=1e-8, adjoint_params=())
    assert torch.allclose(torch.autograd.grad(ys[-1].sum(), y0)[0], torch.exp(-T[-1]).expand(2, 3), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 1, 3)])
def test_any_shape_and_dtype_is_solved_and_kept(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    y0 = torch.ones(shape, dtype=dtype, requires_grad=True)
    rate = -1.0 + 0.5j if dtype.is_complex else -1.0
    for ys in (
        odebench.odeint(lambda t, y: rate * y, y0, T, rtol=1e-5, atol=1e-6),
        odebench.odeint_adjoint(lambda t, y: rate * y, y0, T, rtol=1e-5, atol=1e-6, adjoint_params=()),
    ):
        assert ys.dtype == dtype
        assert ys.shape == (4, *shape)
        assert torch.allclose(ys[-1], y0 * torch.exp(rate * T[-1]).to(dtype), atol=1e-4)
        (bar,) = torch.autograd.grad(ys.abs().sum(), y0)
        assert bar.dtype == dtype


def test_a_number_in_float32_stays_so_beside_times_in_float64() -> None:
    y0 = torch.tensor(1.0, requires_grad=True)
    for gradient in ("direct", "aca", "adjoint"):
        ys = odebench.odeint(lambda t, y: y / (1 + t), y0, T, gradient=gradient, params=(), rtol=1e-5, atol=1e-6)
        assert ys.dtype == torch.float32
        assert ys[-1].item() == pytest.approx(2.5, rel=1e-4)
        assert torch.autograd.grad(ys[-1], y0)[0].item() == pytest.approx(2.5, rel=1e-4)


def test_dtype_of_time_is_taken_where_float64_will_do() -> None:
    for dtype in (torch.float32, torch.float64):
        odebench.odeint(decay, START, T, options={"dtype": dtype})
    with pytest.raises(odebench.UsageError, match="reckoned in float64"):
        odebench.odeint(decay, START, T, options={"dtype": torch.float16})


def test_names_of_the_step_control_are_torchdiffeqs_or_a_suites() -> None:
    plain, careful = Counting(decay), Counting(decay)
    odebench.odeint(plain, START, T)
    options = {"safety": torch.tensor(0.5), "ifactor": 2.0, "min_factor": 0.1, "max_step": 0.05, "first_step": 0.01}
    odebench.odeint(careful, START, T, options=options)
    assert len(careful.times) > len(plain.times)
    with pytest.warns(UserWarning, match="min_step"):
        odebench.odeint(lambda t, y: -50 * y, START, T, options={"min_step": 0.4, "max_step": 0.45})


def test_callbacks_are_said_not_to_be_called() -> None:
    f = Swing()
    f.callback_step = lambda t, y, dt: None  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="callback_step, which odebench does not call"):
        odebench.odeint(f, START, T)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("gradient", ["direct", "aca", "adjoint"])
def test_a_state_on_the_gpu_may_have_its_times_on_the_cpu(gradient: str) -> None:
    f = Swing().cuda()
    y0 = START.cuda().requires_grad_()
    with pytest.warns(UserWarning, match="t is taken there"):
        ys = odebench.odeint(f, y0, T, gradient=gradient)
    assert ys.is_cuda
    assert torch.autograd.grad(ys.sum(), y0)[0].is_cuda
