"""f is asked again on the way back, and the world around it has moved: random numbers, modes, data, hooks, counters."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from odd_fields import CONTINUOUS, FIXED, RECOMPUTING, D, T, Times, apart, gradient, net, nothing_told, start, told
from torch import Tensor, nn
from torch.nn import functional

import odebench
from odebench.errors import Refusal

AGAIN = [*((how, "rk4") for how in (*RECOMPUTING, *CONTINUOUS)), ("adjoint", "dopri5"), ("reversible", "alf")]


class Thinned(nn.Module):
    """Dropout that begins late."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.drop = net(), nn.Dropout(0.5)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.drop(self.net(y)) if t > 0.55 else self.net(y)


def own_generator() -> nn.Module:
    mine = torch.Generator().manual_seed(7)
    return Times(lambda t, y: torch.rand(2, dtype=D, generator=mine))


def own_numpy_generator() -> nn.Module:
    mine = np.random.default_rng(7)
    return Times(lambda t, y: mine.random())


def own_python_generator() -> nn.Module:
    mine = random.Random(7)
    return Times(lambda t, y: mine.random())


DRAWING: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: net(nn.Dropout(0.5)),
    "late dropout": Thinned,
    "alpha dropout": lambda: net(nn.AlphaDropout(0.3)),
    "rrelu": lambda: net(nn.RReLU(0.1, 0.9)),
    "functional dropout": lambda: Times(lambda t, y: functional.dropout(torch.ones_like(y), 0.3)),
    "noise": lambda: Times(lambda t, y: torch.randn(2, dtype=D)),
    "own torch generator": own_generator,
    "numpy": lambda: Times(lambda t, y: np.random.rand()),
    "own numpy generator": own_numpy_generator,
    "python": lambda: Times(lambda t, y: random.random()),
    "own python generator": own_python_generator,
}


def of_time(module: nn.Module) -> nn.Module:
    """Called as f(t, y), whatever it is."""
    return Times(lambda t, y: 1.0, module) if isinstance(module, nn.Sequential) else module


# An estimate of the error of noise says nothing: the tolerance is one that steps can keep.
@pytest.mark.parametrize(("method", "tolerance"), [("rk4", None), ("bosh3", 0.3)], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("how", RECOMPUTING, ids=str)
@pytest.mark.parametrize("name", DRAWING)
def test_the_numbers_that_f_drew_are_drawn_again(name: str, how: Any, method: str, tolerance: float | None) -> None:
    make = lambda: of_time(DRAWING[name]())  # noqa: E731
    with nothing_told():
        a, b = (gradient(make, each, method, tolerance=tolerance) for each in (how, "direct"))
    assert apart(a, b) < 1e-12


@pytest.mark.parametrize("name", DRAWING)
@pytest.mark.parametrize(("how", "method"), [("adjoint", "rk4"), ("interpolated", "rk4"), ("reversible", "alf")])
def test_where_the_same_numbers_cannot_be_drawn_the_gradient_is_refused(name: str, how: str, method: str) -> None:
    with pytest.raises(Refusal, match=r"draws random numbers at every call .* use aca or recursive"):
        gradient(lambda: of_time(DRAWING[name]()), how, method)


@pytest.mark.parametrize("how", ["direct", "aca", "recursive", "symplectic", "adjoint"])
def test_drawing_again_leaves_the_random_state_where_the_solve_left_it(how: str) -> None:
    """What is drawn after the backward pass is what is drawn after backpropagation."""
    f = of_time(net(nn.Dropout(0.5)))
    f.train(how != "adjoint")
    after = []
    for each in ("direct", how):
        torch.manual_seed(3)
        odebench.odeint(f, start(), T, method="rk4", gradient=each, options=FIXED).sum().backward()
        after.append(torch.rand(3))
    assert torch.equal(*after)


class Noisy(nn.Module):
    """FFJORD's: a probe is drawn at the first call of a solve and kept."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.probe = net(), None

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.probe is None:
            self.probe = torch.randn(2, dtype=D)
        return self.net(y) * self.probe


@pytest.mark.parametrize(("how", "method"), [*((how, "rk4") for how in RECOMPUTING), ("reversible", "alf")], ids=str)
def test_noise_that_is_drawn_once_and_kept_needs_no_care(how: Any, method: str) -> None:
    with nothing_told():
        assert apart(gradient(Noisy, how, method), gradient(Noisy, "direct", method)) < 1e-12


@pytest.mark.parametrize("how", CONTINUOUS)
def test_noise_that_is_drawn_once_suits_the_adjoint_too(how: str) -> None:
    with nothing_told():
        assert apart(gradient(Noisy, how), gradient(Noisy, "direct")) < 1e-3


COUNTING: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: net(nn.BatchNorm1d(4)),
    "batch norm, cumulative": lambda: net(nn.BatchNorm1d(4, momentum=None)),
    "spectral norm": lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 2).double())),
    "spectral norm, parametrised": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))).to(
        D
    ),
}


@pytest.mark.parametrize("how", RECOMPUTING, ids=str)
@pytest.mark.parametrize("name", COUNTING)
def test_buffers_that_f_writes_to_end_as_after_backpropagation(name: str, how: Any) -> None:
    found, held = [], []
    for each in ("direct", how):
        torch.manual_seed(0)
        f = of_time(COUNTING[name]())
        found.append(gradient(lambda f=f: f, each))
        held.append([buffer.clone() for buffer in f.buffers()])
    assert apart(found[1], found[0]) < 1e-12
    for a, b in zip(*held, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("how", "method"), [("adjoint", "rk4"), ("adjoint", "dopri5"), ("reversible", "alf")])
def test_batches_are_counted_once_by_every_gradient(how: str, method: str) -> None:
    counts = []
    for each in ("direct", how):
        f = of_time(net(nn.BatchNorm1d(4)))
        gradient(lambda f=f: f, each, method)
        counts.append(int(f.net[1].num_batches_tracked))
    assert counts[0] == counts[1] > 4


def lowered(kept: bool = False) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=kept)


IN, KEPT, OUT = lowered, lambda: lowered(True), nullcontext


@pytest.mark.parametrize(("how", "method"), AGAIN, ids=str)
@pytest.mark.parametrize(
    ("solve", "back"), [(IN, OUT), (IN, IN), (OUT, IN), (KEPT, OUT), (KEPT, KEPT), (OUT, KEPT)],
    ids=["left", "kept on", "entered", "left, casts kept", "kept on, casts kept", "entered, casts kept"],
)  # fmt: skip
def test_the_way_back_has_the_precision_of_the_way_there(
    how: Any, method: str, solve: Callable[[], AbstractContextManager[Any]], back: Any
) -> None:
    make = lambda: of_time(net(dtype=torch.float32))  # noqa: E731
    with nothing_told():
        got = gradient(make, how, method, dtype=torch.float32, around_solve=solve, around_backward=back)
    # Backpropagation inside autocast, of what was solved outside, multiplies in the lower precision. Not wanted here.
    true = gradient(make, "direct", method, dtype=torch.float32, around_solve=solve)
    # A cast that is kept sums gradients in bfloat16, of which three digits are there.
    rounding = 1e-5 if KEPT not in (solve, back) or solve is OUT else 5e-3
    assert apart(got, true) < (3e-2 if how in CONTINUOUS else rounding)


@pytest.mark.parametrize("how", ["aca", "recursive", "symplectic", "adjoint", "interpolated", "reversible"])
def test_an_f_that_asks_whether_a_graph_is_recorded_hears_what_backpropagation_hears(how: str) -> None:
    make = lambda: Times(lambda t, y: 1.0 if torch.is_grad_enabled() else 1.5)  # noqa: E731
    method = "alf" if how == "reversible" else "rk4"
    assert apart(gradient(make, how, method), gradient(make, "direct", method)) < (1e-3 if how in CONTINUOUS else 1e-12)


class Patient(nn.Module):
    """Its data are attributes: a tensor, a number, a buffer, an entry of a mapping, and the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.dose, self.u, self.held = net(), 1.0, torch.ones(2, dtype=D), {"u": torch.ones(2, dtype=D)}
        self.register_buffer("weight", torch.ones(2, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        scale = self.dose if self.training else 2 * self.dose
        return self.net(y) * self.weight * scale * self.held["u"] + self.u


def another() -> Tensor:
    return torch.full((2,), -3.0, dtype=D)


CHANGES: dict[str, Callable[[Patient], Any]] = {
    "a tensor": lambda f: setattr(f, "u", another()),
    "a number": lambda f: setattr(f, "dose", -2.0),
    "the mode": lambda f: f.eval(),
    "a buffer": lambda f: setattr(f, "weight", another()),
}
# What is lost, or not known to be data.
LOSSES: dict[str, Callable[[Patient], Any]] = {
    "a mapping": lambda f: setattr(f, "held", {"u": another()}),
    "an entry": lambda f: f.held.update(u=another()),
    "a tensor in place": lambda f: f.u.fill_(-3.0),
    "a buffer in place": lambda f: f.weight.fill_(-3.0),
    "an entry in place": lambda f: f.held["u"].fill_(-3.0),
}


@pytest.mark.parametrize(("how", "method"), AGAIN, ids=str)
@pytest.mark.parametrize("name", CHANGES)
def test_data_that_changed_since_are_put_back(name: str, how: Any, method: str) -> None:
    with nothing_told():
        got = gradient(Patient, how, method, between=CHANGES[name])
    assert apart(got, gradient(Patient, "direct", method)) < (1e-2 if how in CONTINUOUS else 1e-12)


@pytest.mark.parametrize(("how", "method"), AGAIN, ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_data_that_are_lost_are_told_of(name: str, how: Any, method: str) -> None:
    with told() as said:
        gradient(Patient, how, method, between=LOSSES[name])
    assert said


@pytest.mark.parametrize("how", [*RECOMPUTING, *CONTINUOUS], ids=str)
def test_two_patients_share_one_backward_pass(how: Any) -> None:
    found = []
    for each in ("direct", how):
        torch.manual_seed(0)
        f, loss = Patient(), torch.zeros((), dtype=D)
        for dose in (1.0, -2.0):
            f.dose, f.u = dose, torch.full((2,), dose, dtype=D)
            loss = loss + odebench.odeint(f, start(), T, method="rk4", gradient=each, options=FIXED).square().sum()
        f.eval()
        loss.backward()
        assert not f.training
        assert f.dose == -2.0
        found.append(torch.cat([p.grad.flatten() for p in f.parameters()]))
    assert apart(found[1], found[0]) < (1e-2 if how in CONTINUOUS else 1e-12)


@pytest.mark.parametrize(("how", "method"), AGAIN, ids=str)
def test_data_in_a_closure_that_changed_are_told_of(how: Any, method: str) -> None:
    inner, box = net(), {"u": torch.ones(2, dtype=D)}

    def make() -> Any:
        box["u"] = torch.ones(2, dtype=D)
        return lambda t, y: inner(y) + box["u"]

    with told() as said:
        gradient(make, how, method, params=lambda f: inner.parameters(), between=lambda f: box.update(u=another()))
    assert len(said) == 1
    assert "compare with gradient `direct`" in said[0]


HOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "halves": lambda g: 0.5 * g,
    "turns": lambda g: -g,
    "clips": lambda g: g.clamp(-0.01, 0.01),
}
EVERY = [*AGAIN, ({"forward": {"directions": 100}}, "rk4")]


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_on_a_parameter_meets_its_gradient_once_and_whole(hook: str, how: Any, method: str) -> None:
    def make() -> nn.Module:
        f = of_time(net())
        for p in f.parameters():
            p.register_hook(HOOKS[hook])
        return f

    close = 2e-2 if how in CONTINUOUS else 1e-12
    assert apart(gradient(make, how, method), gradient(make, "direct", method)) < close


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
def test_a_hook_may_be_removed_between(how: Any, method: str) -> None:
    def run(how: Any) -> Tensor:
        handles: list[Any] = []

        def make() -> nn.Module:
            f = of_time(net())
            handles.extend(p.register_hook(lambda g: -0.5 * g) for p in f.parameters())
            return f

        return gradient(make, how, method, between=lambda f: [handle.remove() for handle in handles])

    # Backpropagation has taken the hook into its graph, and a sweep meets the parameter when it is over: either is
    # torch's own answer, and both are the whole gradient, at most once hooked.
    plain = gradient(lambda: of_time(net()), how, method)
    got, n = run(how), 6
    hooked = torch.cat([plain[:n], -0.5 * plain[n:]])
    assert min(apart(got, plain), apart(got, hooked)) < 1e-12


class Remembering(nn.Module):
    """Gives back what it computed before, under a key."""

    def __init__(self, key: Callable[[Tensor, Tensor], Any], of_y: bool) -> None:
        super().__init__()
        self.net, self.hyper, self.cache, self.key, self.of_y = net(), nn.Linear(1, 2).double(), {}, key, of_y

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        key = self.key(t, y)
        if key not in self.cache:
            self.cache[key] = self.net(y) if self.of_y else self.hyper(torch.tensor([key], dtype=D))
        return self.cache[key] if self.of_y else self.net(y) * self.cache[key]


MEMOS: dict[str, Callable[[], nn.Module]] = {
    "by time": lambda: Remembering(lambda t, y: float(t), False),
    "once for all": lambda: Remembering(lambda t, y: 0, False),
    "by time and state": lambda: Remembering(lambda t, y: (float(t), *y.detach().flatten().tolist()), True),
}


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("name", MEMOS)
def test_a_field_that_remembers_has_the_right_gradient_or_is_refused(name: str, how: Any, method: str) -> None:
    true = gradient(MEMOS[name], "direct", method)
    try:
        with told() as said:
            got = gradient(MEMOS[name], how, method)
    except odebench.UsageError as error:
        assert "direct" in str(error)  # noqa: PT017
        return
    assert said or apart(got, true) < (2e-2 if how in CONTINUOUS else 1e-12)


class InTurn(nn.Module):
    """One network up to the middle, another from there."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList((net(), net()))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.nets[int(t >= 0.5)](y)


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
def test_a_field_that_changes_networks_at_a_step_is_not_taken_for_a_cache(how: Any, method: str) -> None:
    with nothing_told():
        got = gradient(InTurn, how, method)
    assert apart(got, gradient(InTurn, "direct", method)) < (0.2 if how in CONTINUOUS else 1e-12)


class Weather:
    """An object of the user's own, in a module of any name, with what has no state that could be put back."""

    def __init__(self) -> None:
        self.seeds, self.system = np.random.SeedSequence(3), random.SystemRandom()


Weather.__module__ = "random_weather"


@pytest.mark.parametrize("how", ["aca", "recursive", "reversible"])
def test_what_only_looks_like_a_generator_is_none(how: str) -> None:
    module, weather = net(), Weather()
    found = []
    for each in ("direct", how):
        y0 = start()

        def f(t: Tensor, y: Tensor) -> Tensor:
            assert weather.seeds.entropy == 3
            out: Tensor = module(y)
            return out

        params = tuple(module.parameters())
        ys = odebench.odeint(f, y0, T, method="alf", gradient=each, params=params, options={"dt": 0.1})
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(ys.square().sum(), (y0, *params))]))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)
