"""What f depends on, however it comes by it: the gradient, or the promised error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from odd_fields import CONTINUOUS, FIXED, RECOMPUTING, D, T, apart, gradient, net, nothing_told, start
from torch import Tensor, nn

import odebench
from odebench.errors import UsageError

FORWARD = {"forward": {"directions": 100}}
EVERY = [*((how, "rk4") for how in (*RECOMPUTING, *CONTINUOUS, FORWARD)), ("reversible", "alf"), ("aca", "dopri5")]
WITHOUT_FORWARD = [pair for pair in EVERY if pair[0] is not FORWARD]


def close(how: Any) -> float:
    """To rounding, or to the error of an adjoint over four steps."""
    return 3e-2 if how in CONTINUOUS else 1e-12


class Growth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(0.5, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.k * y


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4", "dopri5", "alf", "abm"])
def test_forward_sensitivities_keep_the_first_call(method: str) -> None:
    found = []
    for how in ("direct", "forward"):
        f, y0, t = Growth(), torch.ones(1, dtype=D), torch.tensor([0.0, 1.0], dtype=D)
        odebench.odeint(f, y0, t, method=method, gradient=how, options={"dt": 0.25})[-1].sum().backward()
        found.append(float(f.k.grad))
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    assert method != "euler" or found[1] == pytest.approx(1.125**3, rel=1e-12)


class Fed(nn.Module):
    """Meets a tensor that requires a gradient, and is none of its parameters, after its first call."""

    def __init__(self, late: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.k, self.late = nn.Parameter(torch.tensor(1.0, dtype=D)), late
        self.u = torch.tensor(1.0, dtype=D, requires_grad=True)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.k * y + (self.u if self.late(t, y) else 0.0)


LATE: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "after a time": lambda t, y: t > 0.5,
    "near the end": lambda t, y: t > 0.8,
    "for a moment": lambda t, y: 0.3 < t < 0.7,
    "where the state has come down": lambda t, y: y.detach().max() < 0.7,
}


@pytest.mark.parametrize(("how", "method"), WITHOUT_FORWARD, ids=str)
@pytest.mark.parametrize("name", LATE)
def test_a_dependence_that_begins_late_is_an_error(name: str, how: Any, method: str) -> None:
    with pytest.raises(UsageError, match=r"requires a gradient and is none of its parameters; name all"):
        gradient(lambda: Fed(LATE[name]), how, method)


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("kind", ["one of two", "none", "in a list", "another module's"])
def test_params_that_leave_one_out_are_an_error(kind: str, how: Any, method: str) -> None:
    w, v = (torch.tensor(x, dtype=D, requires_grad=True) for x in (0.5, 0.2))
    box, other = [v], nn.Linear(2, 2).double()
    f, params = {
        "one of two": (lambda t, y: w * y + v, (w,)),
        "none": (lambda t, y: w * y, ()),
        "in a list": (lambda t, y: w * y + box[0], (w,)),
        "another module's": (lambda t, y: w * other(y), (w,)),
    }[kind]
    with pytest.raises(UsageError, match="requires a gradient and is none of its parameters"):
        odebench.odeint(f, start(), T, method=method, gradient=how, params=params, options=FIXED)


@pytest.mark.parametrize(("how", "method"), WITHOUT_FORWARD, ids=str)
def test_params_that_leave_out_one_that_comes_late_are_an_error(how: Any, method: str) -> None:
    w, v = (torch.tensor(x, dtype=D, requires_grad=True) for x in (0.5, 0.2))
    with pytest.raises(UsageError, match="name all that f depends on"):
        gradient(lambda: lambda t, y: w * y + (v if t > 0.6 else 0.0), how, method, params=lambda f: (w,))


class Encoded(nn.Module):
    """Holds tensors made from its own parameters before the solve."""

    def __init__(self, keep: Callable[[Encoded, Tensor], None]) -> None:
        super().__init__()
        self.enc, self.net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double(), net()
        keep(self, self.enc(torch.tensor([0.5, -1.0], dtype=D)))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y) + self.made()


def in_a_closure(f: Encoded, z: Tensor) -> None:
    f.made = lambda: z


def in_an_attribute(f: Encoded, z: Tensor) -> None:
    f.z = z
    f.made = lambda: f.z


def in_a_list(f: Encoded, z: Tensor) -> None:
    f.held = [z, 3.0]
    f.made = lambda: f.held[0] * f.held[1]


def in_a_mapping(f: Encoded, z: Tensor) -> None:
    f.held = {"z": (z,)}
    f.made = lambda: f.held["z"][0]


def in_a_submodule(f: Encoded, z: Tensor) -> None:
    f.net[0].z = z
    f.made = lambda: f.net[0].z


def as_a_buffer(f: Encoded, z: Tensor) -> None:
    f.register_buffer("z", z)
    f.made = lambda: f.z


HELD = [in_an_attribute, in_a_closure, in_a_list, in_a_mapping, in_a_submodule, as_a_buffer]


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("keep", HELD, ids=lambda keep: keep.__name__)
def test_what_was_made_from_parameters_passes_their_gradient_on(keep: Any, how: Any, method: str) -> None:
    with nothing_told():
        got = gradient(lambda: Encoded(keep), how, method)
    assert apart(got, gradient(lambda: Encoded(keep), "direct", method)) < close(how)


class Hyper(nn.Module):
    """Its weights are what another network says."""

    def __init__(self) -> None:
        super().__init__()
        self.hyper = nn.Linear(1, 4).double()
        self.weight = self.hyper(torch.ones(1, dtype=D)).reshape(2, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ self.weight)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def parametrised() -> nn.Module:
    layer = nn.Linear(2, 2).double()
    nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
    return nn.utils.parametrizations.weight_norm(layer, "bias", dim=0)


class Of(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.inner(y))


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
def test_a_hypernetwork_gets_its_gradient(how: Any, method: str) -> None:
    assert apart(gradient(Hyper, how, method), gradient(Hyper, "direct", method)) < close(how)


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
def test_parametrised_weights_may_be_cached_around_the_solve(how: Any, method: str) -> None:
    cached = nn.utils.parametrize.cached
    make = lambda: Of(parametrised())  # noqa: E731
    got = gradient(make, how, method, around_solve=cached)
    assert apart(got, gradient(make, "direct", method)) < close(how)


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("whole", [False, True], ids=["the made one", "and its maker"])
def test_params_may_be_no_leaves(whole: bool, how: Any, method: str) -> None:
    """Made of others by somebody else; naming what they were made of too asks for no gradient twice."""
    found = []
    for each in ("direct", how):
        leaf = torch.linspace(-1, 1, 4, dtype=D).reshape(2, 2).requires_grad_()
        made = leaf.exp()
        params = (made, leaf) if whole else (made,)
        ys = odebench.odeint(
            lambda t, y, w=made: torch.tanh(y @ w), start(), T,
            method=method, gradient=each, params=params, options=FIXED,
        )  # fmt: skip
        found.append(torch.autograd.grad(ys.square().sum(), leaf)[0])
    assert apart(found[1], found[0]) < close(how)


class Born(nn.Module):
    """Makes its layers at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.net: nn.Module | None = None

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.net is None:
            with torch.random.fork_rng():
                torch.manual_seed(1)
                self.net = net()
        return self.net(y)


def lazy() -> nn.Module:
    return Of(nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2)).double())


def lazy_norm() -> nn.Module:
    return Of(nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.Tanh(), nn.LazyLinear(2)).double())


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("make", [Born, lazy, lazy_norm], ids=lambda make: make.__name__)
def test_parameters_that_come_to_be_at_the_first_call_get_their_gradient(make: Any, how: Any, method: str) -> None:
    if make is lazy_norm and (how in CONTINUOUS or how is FORWARD):
        pytest.skip("batch statistics of other points are another field")
    got, true = (gradient(make, each, method) for each in (how, "direct"))
    assert len(got) == len(true) > 12
    assert apart(got, true) < close(how)


class Marking(nn.Module):
    """A state that f marks itself: energies, scores, divergences are gradients in it."""

    def __init__(self, mark: bool, leaf: bool = False) -> None:
        super().__init__()
        self.net, self.mark, self.leaf = net(), mark, leaf

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            if self.mark:
                y.requires_grad_(True)
            y = y.clone() if self.leaf else y
            energy = self.net(y).square().sum()
            return -torch.autograd.grad(energy, y, create_graph=True)[0]


class Flow(nn.Module):
    """torchdiffeq's own example of a normalising flow."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(-0.7, dtype=D))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z = state[0]
        with torch.set_grad_enabled(True):
            z.requires_grad_(True)
            dz = self.a * z
            trace = torch.autograd.grad(dz.sum(), z, create_graph=True)[0].sum(1, keepdim=True)
        return dz, -trace


@pytest.mark.parametrize(("how", "method"), [*WITHOUT_FORWARD, ("adjoint", "dopri5")], ids=str)
def test_a_flow_may_mark_its_state(how: Any, method: str) -> None:
    f, z, logp = Flow(), torch.ones(4, 2, dtype=D), torch.zeros(4, 1, dtype=D)
    ys = odebench.odeint(f, (z, logp), T, method=method, gradient=how, options=FIXED)
    ys[1][-1].sum().backward()
    assert float(f.a.grad) == pytest.approx(-8.0, rel=1e-10)
    assert not z.requires_grad


@pytest.mark.parametrize(("how", "method"), WITHOUT_FORWARD, ids=str)
@pytest.mark.parametrize("mark", [False, True], ids=["as it comes", "marked"])
def test_an_energy_may_be_differentiated_in_the_state(mark: bool, how: Any, method: str) -> None:
    got, true = (gradient(lambda: Marking(mark, leaf=mark), each, method) for each in (how, "direct"))
    assert apart(got, true) < close(how)


@pytest.mark.parametrize(("how", "method"), WITHOUT_FORWARD, ids=str)
def test_leaves_that_f_makes_in_its_call_are_nobodys_parameters(how: Any, method: str) -> None:
    class Probing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            one = torch.ones(2, dtype=D, requires_grad=True)
            return self.net(y) * one

    assert apart(gradient(Probing, how, method), gradient(Probing, "direct", method)) < close(how)


@pytest.mark.parametrize(("how", "method"), EVERY, ids=str)
@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
def test_two_tensors_one_made_of_the_other_are_not_counted_twice(named: bool, how: Any, method: str) -> None:
    class Chained(Encoded):
        def __init__(self) -> None:
            super().__init__(lambda f, z: f.__dict__.update(z=z, next=z + 1.0, made=lambda: f.z * f.next))

    if not named:
        assert apart(gradient(Chained, how, method), gradient(Chained, "direct", method)) < close(how)
        return
    with pytest.raises(UsageError, match="and another that was made from it"):
        gradient(Chained, how, method, params=lambda f: (f.z, f.next, *f.net.parameters()))
