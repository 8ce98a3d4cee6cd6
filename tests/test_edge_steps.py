"""Steps at the edge: components at rest, slopes without a size, least steps, limits, gradients inside f."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from odebench import Divergence, OdebenchError, SolveError, odeint
from odebench.cli.app import app

D = torch.float64
T = torch.tensor([0.0, 0.5, 1.0], dtype=D)
GRADIENTS = ("direct", "aca", "adjoint", "interpolated", "recursive", "symplectic", "forward")


def turn(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack((y[..., 1], -y[..., 0]), -1)


def lag(t: Tensor, y: Tensor) -> Tensor:
    return -50 * (y - torch.cos(t))


def calls(f: Callable[[Tensor, Any], Any], y0: Any, t: Tensor, solve: Any = odeint, **given: Any) -> int:
    found = 0

    def counted(t: Tensor, y: Any) -> Any:
        nonlocal found
        found += 1
        return f(t, y)

    solve(counted, y0, t, **given)
    return found


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("options", [{}, {"controller": "pi"}, {"controller": "pid"}, {"dense": True}, {"norm": "max"}])
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "heun", "dopri8", "tsit5", "alf", "kvaerno3", "kvaerno5"])
def test_without_atol_a_component_may_start_at_rest(method: str, options: dict[str, Any], backwards: bool) -> None:
    if options.get("dense") and method == "alf":
        pytest.skip("alf has no interpolant")
    t = T.flip(0) if backwards else T
    y = odeint(turn, torch.tensor([1.0, 0.0], dtype=D), t, method=method, rtol=1e-4, atol=0.0, options=options)[-1]
    sign = -1 if backwards else 1
    assert y.tolist() == pytest.approx([math.cos(1), -sign * math.sin(1)], abs=2e-3)


@pytest.mark.parametrize("gradient", [*GRADIENTS, {"direct": {"control": True}}])
def test_without_atol_every_gradient_is_found(gradient: Any) -> None:
    w = torch.ones((), dtype=D, requires_grad=True)
    y0 = torch.tensor([1.0, 0.0], dtype=D, requires_grad=True)
    ys = odeint(lambda t, y: w * turn(t, y), y0, T, rtol=1e-6, atol=0.0, gradient=gradient, params=(w,))
    y0_bar, w_bar = torch.autograd.grad(ys[-1].sum(), (y0, w))
    c, s = math.cos(1), math.sin(1)
    assert [*y0_bar.tolist(), w_bar.item()] == pytest.approx([c - s, c + s, -s - c], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.complex128])
@pytest.mark.parametrize("per_sample", [False, True])
def test_without_atol_a_component_may_rest_in_any_precision(dtype: torch.dtype, per_sample: bool) -> None:
    y0 = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dtype)
    atol = 1e-9 if dtype == torch.float16 else 0.0  # which half precision rounds to 0
    y = odeint(turn, y0, T, rtol=5e-3, atol=atol, options={"per_sample": per_sample})[-1]
    c, s = math.cos(1), math.sin(1)
    assert torch.allclose(y, torch.tensor([[c, -s], [s, c]], dtype=dtype), atol=2e-2)


def test_without_atol_in_some_components_only_these_may_rest() -> None:
    atol = torch.tensor([1e-6, 0.0], dtype=D)
    for y0 in ([1.0, 0.0], [0.0, 0.0], [0.0, 1.0]):
        for per_sample in (False, True):
            options = {"per_sample": per_sample}
            y = odeint(turn, torch.tensor([y0], dtype=D), T, rtol=1e-5, atol=atol, options=options)[-1, 0]
            c, s = math.cos(1), math.sin(1)
            assert y.tolist() == pytest.approx([c * y0[0] + s * y0[1], c * y0[1] - s * y0[0]], abs=1e-3)


def test_all_may_rest_at_first() -> None:
    for f, true in ((lambda t, y: torch.cos(t) + 0 * y, math.sin(1)), (lambda t, y: 0 * y, 0.0)):
        y = odeint(f, torch.zeros(2, dtype=D), T, rtol=1e-6, atol=0.0)[-1]
        assert y.tolist() == pytest.approx([true, true], abs=1e-5)


def test_a_component_that_is_rounding_is_named_where_atol_is_0() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack((-y[..., 0], (y[..., 0] * 0.1 + y[..., 0] * 0.2) - y[..., 0] * 0.3), -1)

    for per_sample in (False, True):
        options = {"max_steps": 300, "per_sample": per_sample}
        with pytest.raises(SolveError, match=r"atol = 0 allows no error .*, which is rounding"):
            odeint(f, torch.tensor([[1.0, 0.0]], dtype=D), T, atol=0.0, options=options)


def test_a_suite_without_atol_runs(tmp_path: Path) -> None:
    problems = "harmonic_oscillator, van_der_pol, cubic_spiral, kepler"
    suite = tmp_path / "rest.yaml"
    suite.write_text(
        f"name: rest\nproblems: [{problems}]\nsolvers: [dopri5]\ngradients: [direct]\n"
        "stepping: [{adaptive: {rtol: 1e-4, atol: 0}}]\nmeasure: {repeats: 1, warmup: 0}\n"
    )
    ran = CliRunner().invoke(app, ["run", str(suite), "-o", str(tmp_path / "r")])
    assert ran.exit_code == 0, ran.output
    assert "4 cells: 4 ok" in ran.output


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "heun", "tsit5", "kvaerno3", "alf", "reversible_heun"])
@pytest.mark.parametrize("options", [{}, {"per_sample": True}, {"controller": "pid"}, {"dense": True}])
def test_a_slope_that_is_infinite_at_the_start_is_said_to_be(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(OdebenchError) as raised:
        odeint(lambda t, y: 1 / torch.sqrt(t) + 0 * y, torch.zeros(1, 1, dtype=D), T, method=method, options=options)
    assert isinstance(raised.value, Divergence) or "drive it" in str(raised.value) or "look into" in str(raised.value)


def test_a_slope_whose_size_overflows_is_solved() -> None:
    t = torch.tensor([0.0, 1e-24], dtype=D)
    for per_sample in (False, True):
        y0, options = torch.zeros(1, 3), {"per_sample": per_sample}
        y = odeint(lambda t, y: -1e25 * (y - 1), y0, t, rtol=1e-4, options=options)[-1]  # in single precision
        assert torch.allclose(y, torch.full_like(y, 1 - math.exp(-10)), atol=1e-3)


MIN_STEPS: list[dict[str, Any]] = [
    {},
    {"dense": True},
    {"per_sample": True},
    {"jump_t": [0.01]},
    {"controller": "pid"},
    {"controller": "pi", "per_sample": True},
]


@pytest.mark.parametrize("options", MIN_STEPS)
@pytest.mark.parametrize("end", [0.0201, 0.02, 0.020199, 0.02 * 1.01])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_least_step_that_is_stretched_to_land_is_taken(end: float, options: dict[str, Any], backwards: bool) -> None:
    t = torch.tensor([end, 0.0] if backwards else [0.0, end], dtype=D)
    given: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-8}
    with pytest.warns(UserWarning, match="steps of min_step = 0.02 were taken"):
        found = calls(lag, torch.zeros(1, 1, dtype=D), t, **given, options={"min_step": 0.02, **options})
    assert found <= 20
    if options:
        return
    from torchdiffeq import odeint as peer

    assert found <= calls(lag, torch.zeros(1, 1, dtype=D), t, peer, **given, options={"min_step": 0.02})


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_least_step_is_taken_on_every_way_there_and_back(gradient: str) -> None:
    y0 = torch.zeros(1, dtype=D, requires_grad=True)
    t = torch.tensor([0.0, 0.0201, 0.0402, 0.08], dtype=D)
    options = {"min_step": 0.02, "max_num_steps": 50}
    with pytest.warns(UserWarning, match="min_step"):
        ys = odeint(lag, y0, t, rtol=1e-8, atol=1e-8, gradient=gradient, params=(), options=options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (y0_bar,) = torch.autograd.grad(ys[-1].sum(), y0)
    assert y0_bar.item() == pytest.approx(math.exp(-4), rel=0.05)


@pytest.mark.parametrize("seed", range(10))
def test_no_irregular_series_tries_a_least_step_for_ever(seed: int) -> None:
    draw = random.Random(seed)
    inner = sorted(draw.random() for _ in range(38))
    t = torch.tensor([0.0, *inner, 1.0], dtype=D)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = calls(lag, torch.zeros(1, dtype=D), t, rtol=1e-8, atol=1e-8, options={"min_step": 0.02})
    assert found <= 2 + 6 * (39 + 50)  # a landing for each saved time, and the steps of the span


def test_steps_that_land_are_not_limited() -> None:
    t, y0 = torch.linspace(0, 1, 500, dtype=D), torch.ones(2, 1, dtype=D)
    for options in ({}, {"per_sample": True}):
        ys = odeint(lambda t, y: -y, y0, t, options={"max_steps": 20, **options})
        assert torch.allclose(ys[:, 0, 0], torch.exp(-t), atol=1e-7)
        with pytest.raises(SolveError, match="20 steps were tried"):
            odeint(lambda t, y: torch.cos(200 * t) * y, y0, t[::100], options={"max_steps": 20, **options})


class Energy(nn.Module):
    """f is the gradient of something, taken in whatever grad mode is on."""

    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(0.5, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if not y.requires_grad:
            y.requires_grad_()
        energy = (self.k * y * y).sum()
        return -torch.autograd.grad(energy, y, create_graph=True)[0]


@pytest.mark.parametrize(
    "options", [{}, {"per_sample": True}, {"dense": True}, {"controller": "pid"}, {"jump_t": [0.3]}]
)
@pytest.mark.parametrize("method", ["dopri5", "bosh3", "heun", "tsit5"])
@pytest.mark.parametrize("asks", [False, True])
def test_looks_at_f_let_it_differentiate_inside(method: str, options: dict[str, Any], asks: bool) -> None:
    f, y0 = Energy(), torch.tensor([[1.0, 2.0], [3.0, 0.1]], dtype=D, requires_grad=asks)
    ys = odeint(f, y0, T, method=method, options=options, rtol=1e-7)
    assert torch.allclose(ys[-1], y0 * math.exp(-1), atol=1e-5)
    (k_bar,) = torch.autograd.grad(ys[-1].sum(), f.k)
    assert k_bar.item() == pytest.approx(-2 * math.exp(-1) * 6.1, rel=1e-5)
