"""`odebench.torchdiffeq` in torchdiffeq's place: its names, its signatures, its numbers."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import odebench
import odebench.torchdiffeq as ours
from odebench.errors import UsageError
from odebench.torchdiffeq import odeint_adjoint as odeint
from odebench.torchdiffeq._impl.adjoint import find_parameters
from odebench.torchdiffeq._impl.odeint import SOLVERS

theirs: Any = pytest.importorskip("torchdiffeq")

D = torch.float64
T = torch.linspace(0.0, 1.5, 4, dtype=D)
NAMES = ("odeint", "odeint_adjoint", "odeint_event", "odeint_dense")


class Swing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Linear(3, 3).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.net(y)) * torch.cos(t)


def start() -> Tensor:
    return torch.linspace(-1.0, 1.0, 6, dtype=D).reshape(2, 3).requires_grad_()


def gradients(solve: Any, **how: Any) -> tuple[Tensor, ...]:
    f, y0 = Swing(), start()
    return torch.autograd.grad(solve(f, y0, T, **how).square().sum(), (y0, *f.parameters()))


def apart(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(xs, ys, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_torchdiffeqs_in_its_order_and_what_is_added_comes_last(name: str) -> None:
    own, other = (list(inspect.signature(getattr(each, name)).parameters.values()) for each in (ours, theirs))
    shared, added = own[: len(other)], own[len(other) :]
    assert [(each.name, each.kind) for each in shared] == [(each.name, each.kind) for each in other]
    kept = [each.default for each in shared if each.name != "odeint_interface"]
    assert kept == [each.default for each in other if each.name != "odeint_interface"]
    assert [each.name for each in added] == {"odeint": ["gradient", "params"], "odeint_adjoint": ["gradient"]}.get(
        name, []
    )
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in added)


def test_its_methods_are_those_of_torchdiffeq_that_odebench_has() -> None:
    table = importlib.import_module("torchdiffeq._impl.odeint").SOLVERS
    assert set(table) - set(SOLVERS) == {"scipy_solver"}
    assert set(SOLVERS) <= set(table)
    for name in SOLVERS:
        ys = ours.odeint(lambda t, y: -y, torch.ones(2, dtype=D), T, method=name, options={"dtype": D})
        assert torch.allclose(ys[-1], torch.exp(-T[-1]).expand(2), atol=0.4), name
    with pytest.raises(TypeError):
        SOLVERS["mine"] = SOLVERS["rk4"]  # type: ignore[index]


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun2", "heun3", "rk4"])
@pytest.mark.parametrize("options", [None, {"step_size": 0.25}], ids=["intervals", "step_size"])
def test_fixed_steps_and_their_gradients_are_torchdiffeqs_by_the_same_name(method: str, options: Any) -> None:
    how = {"method": method, "options": options}
    assert apart(gradients(ours.odeint, **how), gradients(theirs.odeint, **how)) < 1e-13
    assert torch.equal(ours.odeint(Swing(), start(), T, **how), odeint(Swing(), start(), T, **how))


def test_rk4_is_kuttas_rule_on_the_way_back_too() -> None:
    how = {"method": "dopri5", "adjoint_options": {"step_size": 0.5}}
    own, classic = (
        gradients(odeint, adjoint_method="rk4", **how),
        gradients(odebench.odeint_adjoint, adjoint_method="rk4", **how),
    )
    assert apart(own, gradients(odebench.odeint_adjoint, adjoint_method="rk38", **how)) == 0
    assert apart(own, classic) > 1e-9
    assert apart(own, gradients(theirs.odeint_adjoint, adjoint_method="rk4", **how)) < 1e-5


def test_any_gradient_is_taken_by_either_function() -> None:
    exact = gradients(theirs.odeint, rtol=1e-10, atol=1e-11)
    for gradient in ("aca", "symplectic", {"recursive": {"checkpoints": 2}}, "adjoint"):
        for solve in (ours.odeint, odeint):
            assert apart(gradients(solve, gradient=gradient, rtol=1e-9, atol=1e-10), exact) < 1e-7
    alf = {"method": "alf", "gradient": "reversible", "options": {"step_size": 0.01}}
    assert apart(gradients(odeint, **alf), exact) < 1e-2


def test_adjoint_params_are_what_another_gradient_is_taken_in() -> None:
    w, v = (torch.tensor(x, dtype=D, requires_grad=True) for x in (0.5, 2.0))
    ys = odeint(lambda t, y: -w * v * y, torch.ones(2, dtype=D), T, adjoint_params=(w,), gradient="aca")
    ys[-1].sum().backward()
    assert w.grad is not None
    assert v.grad is None  # not named, so a constant, as with torchdiffeq
    with pytest.raises(UsageError, match="needs adjoint_params="):
        odeint(lambda t, y: -w * y, torch.ones(2, dtype=D), T, gradient="aca")


def test_a_say_in_the_solve_backwards_is_refused_where_there_is_none() -> None:
    for name, value in (("adjoint_rtol", 1e-3), ("adjoint_method", "rk4"), ("adjoint_options", {})):
        with pytest.raises(ValueError, match=f"{name} is for gradient adjoint"):
            odeint(Swing(), start(), T, gradient="aca", **{name: value})


def test_what_is_left_out_says_so() -> None:
    for call in (
        lambda: ours.odeint(Swing(), start(), T, event_fn=lambda t, y: y.sum()),
        lambda: odeint(Swing(), start(), T, event_fn=lambda t, y: y.sum(), gradient="aca"),
        lambda: ours.odeint_event(Swing(), start(), T[0], event_fn=lambda t, y: y.sum()),
        lambda: ours.odeint_dense(Swing(), start(), T[0], T[1]),
    ):
        with pytest.raises(odebench.Refusal, match="odebench"):
            call()


def test_parameters_are_found_as_torchdiffeq_finds_them() -> None:
    find = importlib.import_module("torchdiffeq._impl.adjoint").find_parameters
    shared = nn.Linear(2, 2)
    for module in (Swing(), nn.Sequential(shared, nn.Tanh(), shared), nn.Tanh()):
        found = find_parameters(module)
        assert len(found) == len(find(module))
        assert all(x is y for x, y in zip(found, find(module), strict=True))
    with pytest.raises(TypeError, match=r"takes a torch.nn.Module; got function"):
        find_parameters(lambda t, y: y)  # type: ignore[arg-type]


def test_the_tensors_of_a_replica_are_its_parameters() -> None:
    whole = Swing()
    replica = whole._replicate_for_data_parallel()
    replica.net = whole.net._replicate_for_data_parallel()
    copies = [2.0 * p for p in whole.parameters()]
    for name, copy in zip(("weight", "bias"), copies, strict=True):
        replica.net._parameters.pop(name, None)
        setattr(replica.net, name, copy)
    assert {id(x) for x in find_parameters(replica)} == {id(x) for x in copies}


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_can_stand_in_torchdiffeqs_place() -> None:
    run(
        "import sys, odebench.torchdiffeq as ours\n"
        "sys.modules['torchdiffeq'] = ours\n"
        "import torch, torchdiffeq\n"
        "from torchdiffeq import odeint_adjoint as odeint\n"
        "from torchdiffeq._impl.adjoint import find_parameters\n"
        "from torchdiffeq._impl.odeint import SOLVERS\n"
        "from torchdiffeq._impl import odeint as inner\n"
        "assert torchdiffeq is ours and odeint is ours.odeint_adjoint\n"
        "assert inner is ours.odeint and torchdiffeq._impl.odeint is inner\n"
        "from odebench.torchdiffeq._impl.odeint import SOLVERS as same\n"
        "assert SOLVERS is same and 'rk4' in SOLVERS\n"
        "assert len(find_parameters(torch.nn.Linear(1, 1))) == 2\n"
    )


def test_it_is_there_without_an_import_of_its_own_and_torch_comes_with_it_alone() -> None:
    run(
        "import sys, odebench\n"
        "assert 'torch' not in sys.modules\n"
        "names = {}\n"
        "exec('from odebench import *', names)\n"
        "assert 'torchdiffeq' not in names\n"
        "odebench.torchdiffeq.odeint\n"
        "assert 'torch' in sys.modules\n"
    )
