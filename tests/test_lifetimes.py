"""What a solve holds is let go: modules that keep their own results, and every object of a training step."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
import torch
from odd_fields import D, T, net, start
from torch import Tensor, nn

import odebench

PAIRS = [
    ("direct", "rk4"), ("aca", "rk4"), ("recursive", "rk4"), ("symplectic", "rk4"), ("adjoint", "rk4"),
    ("interpolated", "rk4"), ("reversible", "alf"), ("aca", "dopri5"), ("adjoint", "dopri5"), ("forward", "rk4"),
]  # fmt: skip
STEP = {"dt": 0.5}


class Keeps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([0.5, -0.5], dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.a * y


def whole(ys: Tensor) -> Any:
    return ys


def total(ys: Tensor) -> Any:
    return ys.square().sum()


def in_a_list(ys: Tensor) -> Any:
    return [ys, ys[-1].sum()]


def in_a_mapping(ys: Tensor) -> Any:
    return {"loss": ys.sum()}


KEPT = [whole, total, in_a_list, in_a_mapping]


def alive(solve: Callable[[nn.Module], Tensor], keep: Callable[[Tensor], Any], backward: bool) -> int:
    """Of three modules that keep the result of their own solve, how many the collector leaves."""
    seen = []
    for _ in range(3):
        module = Keeps()
        ys = solve(module)
        module.kept = keep(ys)
        if backward:
            ys.sum().backward(retain_graph=False)
        del ys
        seen.append(ref(module))
        del module
    gc.collect()
    return sum(each() is not None for each in seen)


@pytest.mark.parametrize(("how", "method"), PAIRS)
@pytest.mark.parametrize("keep", KEPT, ids=lambda keep: keep.__name__)
@pytest.mark.parametrize("backward", [False, True], ids=["no backward", "backward"])
def test_a_module_that_keeps_its_own_result_is_freed(how: str, method: str, keep: Any, backward: bool) -> None:
    def solve(module: nn.Module) -> Tensor:
        return odebench.odeint(module, start(), T, method=method, gradient=how, options=STEP)

    assert alive(solve, keep, backward) == 0


@pytest.mark.parametrize(("how", "method"), PAIRS)
@pytest.mark.parametrize("keep", [whole, total], ids=lambda keep: keep.__name__)
def test_so_where_times_want_a_gradient(how: str, method: str, keep: Any) -> None:
    def solve(module: nn.Module) -> Tensor:
        times = T.clone().requires_grad_()
        return odebench.odeint(module, start(), times, method=method, gradient=how, options=STEP)

    assert alive(solve, keep, False) == 0


WAYS: dict[str, Callable[[nn.Module], Tensor]] = {
    "a method": lambda m: odebench.odeint(
        m.forward, start(), T, method="rk4", gradient="aca", params=tuple(m.parameters()), options=STEP
    ),
    "odeint_adjoint": lambda m: odebench.odeint_adjoint(m, start(), T, method="rk4", options=STEP),
    "in pieces": lambda m: odebench.odeint(
        m, start(), T, gradient="aca", options={"jump_t": torch.tensor([0.3], dtype=D)}
    ),
    "dense": lambda m: odebench.odeint(m, start(), T, gradient="aca", options={"dense": True}),
    "per sample": lambda m: odebench.odeint(m, start(), T, gradient="aca", options={"per_sample": True}),
}


@pytest.mark.parametrize("keep", [total, in_a_list], ids=lambda keep: keep.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_so_however_it_is_solved(way: str, keep: Any) -> None:
    assert alive(WAYS[way], keep, False) == 0


@pytest.mark.parametrize(("how", "method"), PAIRS)
def test_a_module_that_is_gone_by_the_way_back_is_not_missed(how: str, method: str) -> None:
    y0, module = start(), Keeps()
    odebench.odeint(module, y0, T, method=method, gradient=how, options=STEP).sum().backward()
    true, again = y0.grad, start()
    ys = odebench.odeint(Keeps(), again, T, method=method, gradient=how, options=STEP)
    gc.collect()
    ys.sum().backward()
    torch.testing.assert_close(again.grad, true, rtol=1e-12, atol=1e-12)


def living() -> Counter[str]:
    """Objects of torch and of odebench, by type."""
    kinds = (type(x) for x in gc.get_objects())
    ours = (kind for kind in kinds if str(kind.__module__).partition(".")[0] in ("torch", "odebench"))
    return Counter(kind.__qualname__ for kind in ours)


class Kept(nn.Module):
    """A network with all that is odd: dropout, counters, a result that it keeps, a state that it marks."""

    def __init__(self, draws: bool) -> None:
        super().__init__()
        between = (nn.BatchNorm1d(4), nn.Dropout(0.3)) if draws else (nn.BatchNorm1d(4),)
        self.net, self.last = net(*between), None

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


@pytest.mark.parametrize(("how", "method"), [pair for pair in PAIRS if pair[0] != "forward"])
@pytest.mark.parametrize("backward", [True, False], ids=["backward", "no backward"])
def test_two_hundred_training_steps_leave_nothing_behind(how: str, method: str, backward: bool) -> None:
    """Without the collector: what grows only till it runs grows on a GPU too."""
    f = Kept(draws=how in ("direct", "aca", "recursive", "symplectic"))
    descent = torch.optim.SGD(f.parameters(), lr=1e-3)
    counts = []

    def steps(n: int) -> None:
        for _ in range(n):
            descent.zero_grad()
            y0 = torch.ones(3, 2, dtype=D)
            given = {"rtol": 1e9, "atol": 1e9, "options": {"first_step": 0.5}}
            if method != "dopri5":
                given = {"options": STEP}
            loss = odebench.odeint(f, y0, T, method=method, gradient=how, **given).square().sum()
            if backward:
                loss.backward()
                descent.step()
            f.last = loss.detach()

    steps(5)
    gc.collect()
    gc.disable()
    try:
        counts.append(living())
        steps(195)
        counts.append(living())
    finally:
        gc.enable()
    assert counts[1] - counts[0] == Counter()
