"""What programs written for torchdiffeq pass to it and catch from it, taken by odebench."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
import torch
from torch import Tensor, nn

import odebench
import odebench.torchdiffeq as ours
from odebench.errors import Divergence, SolveError, UsageError
from odebench.measure.trial import TorchTrial
from odebench.solve.call import Choices

theirs: Any = pytest.importorskip("torchdiffeq")

D = torch.float64
T = torch.linspace(0.0, 1.0, 3, dtype=D)
ONES = torch.ones(3, dtype=D)
EXACT = ("aca", "symplectic", {"recursive": {"checkpoints": 2}}, "forward")
BY_ALF = {"gradient": "reversible", "method": "alf", "options": {"step_size": 0.02}}


def decay(t: Tensor, y: Tensor) -> Tensor:
    return -y


def said(call: Callable[[], Any]) -> tuple[Any, list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return call(), found


def apart(xs: Any, ys: Any) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(xs, ys, strict=True))


# The right-hand side by name


def test_the_right_hand_side_is_taken_as_f_and_as_func_and_first() -> None:
    first = odebench.odeint(decay, ONES, T)
    assert torch.equal(odebench.odeint(func=decay, y0=ONES, t=T), first)
    assert torch.equal(odebench.odeint(f=decay, y0=ONES, t=T), first)
    assert torch.equal(ours.odeint(func=decay, y0=ONES, t=T), first)


def test_a_right_hand_side_given_twice_or_not_at_all_is_told() -> None:
    for call in (lambda: odebench.odeint(decay, ONES, T, func=decay), lambda: odebench.odeint(ONES, T, func=decay),
                 lambda: odebench.odeint(f=decay, func=decay, y0=ONES, t=T)):  # fmt: skip
        with pytest.raises(UsageError, match="func beside f, and both are the right-hand side") as raised:
            call()
        assert isinstance(raised.value, TypeError)
    for call in (lambda: odebench.odeint(y0=ONES, t=T), lambda: odebench.odeint(func=None, y0=ONES, t=T)):
        with pytest.raises(TypeError, match="no right-hand side; give f"):
            call()


def test_the_signature_reads_as_it_is_documented_and_type_checkers_know_all_of_it() -> None:
    found = inspect.signature(odebench.odeint).parameters
    assert list(found)[:3] == ["f", "y0", "t"]
    by_name = {name for name, each in found.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert by_name == set(get_type_hints(Choices))
    assert "func" in (inspect.getdoc(odebench.odeint) or "")


# Options that a method does not follow


def swinging(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack((y[1], -100 * y[0]))


IDLE = [
    ("dopri5", "eps", 1e-6),
    ("rk4", "eps", 1e-3),
    ("implicit_adams", "eps", 1e-3),
    ("rk4", "interp", "cubic"),
    ("dopri8", "interp", "linear"),
    ("euler", "interp", "linear"),
    ("rk4", "max_num_steps", 100),
    ("explicit_adams", "max_num_steps", 2**31 - 1),
    ("midpoint", "first_step", 0.1),
    ("euler", "min_step", 0.1),
    ("heun3", "max_step", 0.1),
    ("rk4", "safety", 0.8),
    ("rk4", "ifactor", 5.0),
    ("rk4", "dfactor", 0.1),
    ("dopri5", "perturb", True),
    ("bosh3", "perturb", True),
    ("adaptive_heun", "perturb", True),
    ("dopri5", "max_iters", 4),
    ("implicit_adams", "max_iters", 4),
    ("dopri5", "max_order", 8),
    ("rk4", "max_order", 4),
    ("dopri5", "implicit", True),
    ("dopri5", "solver", "RK45"),
    ("rk4", "solver", "LSODA"),
    ("dopri5", "grid_constructor", lambda f, y0, t: t),
    ("fehlberg2", "grid_constructor", lambda f, y0, t: torch.linspace(0, 1, 5, dtype=D)),
]


@pytest.mark.parametrize(("method", "name", "value"), IDLE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_an_option_of_torchdiffeqs_that_the_method_does_not_follow_is_warned_of_once(
    method: str, name: str, value: Any
) -> None:
    how: dict[str, Any] = {"method": method, "rtol": 1e-4, "atol": 1e-6}
    ys, found = said(lambda: odebench.odeint(swinging, ONES[:2], T, options={name: value}, **how))
    assert len(found) == 1
    assert found[0].category is UserWarning
    assert f"'{name}'" in str(found[0].message)
    assert method in str(found[0].message)
    assert found[0].filename == __file__
    assert torch.equal(ys, odebench.odeint(swinging, ONES[:2], T, **how))


@pytest.mark.parametrize(("method", "name", "value"), IDLE, ids=lambda x: getattr(x, "__name__", str(x)))
def test_torchdiffeq_runs_with_each_of_these_too(method: str, name: str, value: Any) -> None:
    """So that none of them stands in the table for nothing."""
    said(lambda: theirs.odeint(swinging, ONES[:2], T, method=method, rtol=1e-4, atol=1e-6, options={name: value}))


def test_a_grid_beside_a_method_that_goes_by_tolerances_loses_no_accuracy() -> None:
    y0, options = torch.tensor([1.0, 0.0], dtype=D), {"grid_constructor": lambda f, y0, t: t}
    with pytest.warns(UserWarning, match="its steps are chosen by the tolerances"):
        got = odebench.odeint(swinging, y0, T, rtol=1e-8, atol=1e-8, options=options)[-1, 0]
    assert abs(float(got) - math.cos(10)) < 1e-6


def test_the_way_back_is_warned_of_by_its_own_argument() -> None:
    how = {"method": "rk4", "adjoint_params": (), "options": {"step_size": 0.25, "eps": 0.1}}
    y0 = ONES.clone().requires_grad_()
    _, found = said(lambda: odebench.odeint_adjoint(decay, y0, T, **how))
    assert [str(each.message).partition(":")[0] for each in found] == ["rk4 does not follow 'eps' of options"]
    back = {"adjoint_options": {"step_size": 0.25, "eps": 0.1}}
    _, found = said(lambda: odebench.odeint_adjoint(decay, y0, T, **how, **back))
    assert [str(each.message).partition(":")[0].rpartition(" ")[2] for each in found] == ["options", "adjoint_options"]
    how = {"method": "dopri5", "adjoint_method": "rk4", "adjoint_options": {"first_step": 0.1, "step_size": 0.1}}
    _, found = said(lambda: odebench.odeint_adjoint(decay, y0, T, adjoint_params=(), **how))
    assert ["first_step" in str(each.message) for each in found] == [True]


def test_what_is_misspelt_or_odebenchs_own_is_no_warning() -> None:
    for options, near in (
        ({"stepsize": 0.1}, "step_size"),
        ({"max_ordr": 4}, "max_order"),
        ({"grid_point": T}, "grid_points"),
    ):
        with pytest.raises(UsageError, match=f"did you mean '{near}'"):
            odebench.odeint(decay, ONES, T, options=options)
    for name, value in (("controller", "pi"), ("per_sample", True), ("max_steps", 10), ("max_factor", 5.0)):
        with pytest.raises(UsageError, match=f"option '{name}' is for steps chosen by tolerances"):
            odebench.odeint(decay, ONES, T, method="rk4", options={"first_step": 0.1, name: value})


# Orders of the Adams methods


@pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams", "fixed_adams"])
@pytest.mark.parametrize("order", [2, 3])
def test_below_order_four_adams_methods_are_kuttas_rule_as_with_torchdiffeq(method: str, order: int) -> None:
    how: dict[str, Any] = {"method": method, "options": {"max_order": order, "step_size": 0.1}}
    with pytest.warns(UserWarning, match="all steps are those of rk38"):
        got = odebench.odeint(swinging, ONES[:2], T, **how)
    true, _ = said(lambda: theirs.odeint(swinging, ONES[:2], T, **how))
    assert torch.allclose(got, true, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("method", "behind"), [("explicit_adams", 1), ("implicit_adams", 0)])
@pytest.mark.parametrize("order", [4, 5])
def test_max_order_is_the_order_here_and_one_less_in_torchdiffeqs_explicit_methods(
    method: str, behind: int, order: int
) -> None:
    def error(solve: Any, steps: int) -> float:
        ends = torch.tensor([0.0, 2.0], dtype=D)
        how = {"method": method, "options": {"step_size": 2 / steps, "max_order": order}}
        got = solve(lambda t, y: -y * torch.cos(t), ONES[:1], ends, rtol=1e-12, atol=1e-12, **how)
        return abs(float(got[-1]) - math.exp(-math.sin(2.0)))

    def slope(solve: Any) -> float:
        return math.log2(error(solve, 80) / error(solve, 160))

    assert slope(odebench.odeint) == pytest.approx(order, abs=0.2)
    assert slope(theirs.odeint) == pytest.approx(order - behind, abs=0.4)
    plain = {"abm" if method == "implicit_adams" else "adams_bashforth": {"order": order}}
    step = {"step_size": 0.1}
    told = odebench.odeint(decay, ONES, T, method=method, options={"max_order": order} | step)
    assert torch.equal(told, odebench.odeint(decay, ONES, T, method=plain, options=step))


def test_implicit_adams_that_is_told_to_be_explicit_is() -> None:
    step = {"step_size": 0.1}
    got = odebench.odeint(decay, ONES, T, method="implicit_adams", options={"implicit": False, "max_order": 5} | step)
    assert torch.equal(got, odebench.odeint(decay, ONES, T, method={"adams_bashforth": {"order": 5}}, options=step))


# Leaves that f makes


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.7, dtype=D))


class MarkedTime(Flow):
    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        t.requires_grad_()
        return (-self.w * y[0] * torch.cos(t), *map(torch.zeros_like, y[1:]))


class CopiedTime(Flow):
    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        t = t.detach().clone().requires_grad_()
        return (-self.w * y[0] * torch.cos(t), *map(torch.zeros_like, y[1:]))


class Constant(Flow):
    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        one = torch.ones(1, dtype=D, requires_grad=True)
        return (-self.w * y[0] * one, *map(torch.zeros_like, y[1:]))


class Passenger(Flow):
    """Slopes of the other parts are leaves that are new in each call."""

    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (-self.w * y[0], *(torch.zeros_like(x).requires_grad_() for x in y[1:]))


class Written(Flow):
    """The same, written as a parameter and as a buffer's successor."""

    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rest = [nn.Parameter(torch.zeros_like(x)) if i else x.detach().mul(0).requires_grad_() for i, x in enumerate(y)]
        return (-self.w * y[0], *rest[1:])


class Regularised(Flow):
    """As ffjord has it: the state and the time marked, a divergence, and an empty place for a regulariser."""

    def forward(self, t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            z = y[0].requires_grad_()
            t.requires_grad_()
            dz = torch.tanh(self.w * z) * torch.cos(t)
            trace = torch.autograd.grad(dz.sum(), z, create_graph=True)[0]
        return (dz, -trace, *(torch.zeros_like(x).requires_grad_() for x in y[2:]))


FLOWS = (MarkedTime, CopiedTime, Constant, Passenger, Written, Regularised)


def flow_gradient(solve: Any, flow: type[Flow], **how: Any) -> list[Tensor]:
    f = flow()
    y0 = (ONES.clone().requires_grad_(), 0.5 * ONES, torch.zeros(3, dtype=D))
    ys = solve(f, y0, T, **({"rtol": 1e-9, "atol": 1e-10} | how))
    sum(each[-1].square().sum() for each in ys).backward()
    assert f.w.grad is not None
    assert y0[0].grad is not None
    return [f.w.grad, y0[0].grad]


@pytest.mark.parametrize("flow", FLOWS)
def test_leaves_born_inside_f_are_nobodys_parameters(flow: type[Flow]) -> None:
    true = flow_gradient(theirs.odeint_adjoint, flow)
    assert apart(flow_gradient(odebench.odeint_adjoint, flow), true) < 1e-6
    for gradient in EXACT:
        assert apart(flow_gradient(odebench.odeint, flow, gradient=gradient), true) < 1e-6
    assert apart(flow_gradient(odebench.odeint, flow, **BY_ALF), true) < 1e-3


def test_a_leaf_that_lives_on_outside_f_is_still_somebodys() -> None:
    outside = torch.zeros(3, dtype=D, requires_grad=True)

    class Leaning(Flow):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return outside if float(self.w.detach()) else y

    with pytest.raises(UsageError, match="is none of its parameters"):
        odebench.odeint(Leaning(), ONES, T, gradient="aca")


# Shapes of the parts of a tuple


@pytest.mark.parametrize(
    ("part", "slope"), [((3,), (3, 1)), ((3,), (1, 3)), ((3, 1), (3,)), ((2, 3), (2, 1, 3)), ((), (1,)), ((1, 1), ())]
)
def test_slopes_in_a_tuple_may_differ_from_their_part_in_axes_of_length_one(
    part: tuple[int, ...], slope: tuple[int, ...]
) -> None:
    def f(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return -y[0], (-2 * y[1]).reshape(slope)

    values = torch.linspace(1, 2, math.prod(part), dtype=D)
    y0 = (ONES.clone().requires_grad_(), values.reshape(part).requires_grad_())
    for solve in (odebench.odeint, ours.odeint):
        ys, true = (each(f, y0, T, method="rk4", options={"step_size": 0.1}) for each in (solve, theirs.odeint))
        assert ys[1].shape == (3, *part)
        assert torch.allclose(ys[1], true[1], atol=1e-5)
    adjoint = odebench.odeint_adjoint(f, y0, T, adjoint_params=())
    (bar,) = torch.autograd.grad(adjoint[1][-1].sum(), y0[1])
    assert bar.shape == part
    assert torch.allclose(bar, torch.full(part, math.exp(-2), dtype=D), atol=1e-6)


def test_slopes_of_other_lengths_or_of_one_tensor_are_refused() -> None:
    y0 = (ONES, torch.ones(2, 3, dtype=D))
    for slope in ((3, 2), (6,), (2, 1)):
        with pytest.raises(UsageError, match="a tuple of tensors shaped like y"):
            odebench.odeint(lambda t, y, slope=slope: (-y[0], torch.ones(slope, dtype=D)), y0, T)
    with pytest.raises(UsageError, match="a tensor shaped like y"):
        odebench.odeint(lambda t, y: -y[:, None], ONES, T)


# Parameters that are no leaves


class Path:
    """A control path: what it holds is made of its coefficients when it is made."""

    def __init__(self, c: Tensor) -> None:
        self.first, self.second, self.third = c[0], c[1], 2 * c[1] ** 2

    def slope(self, t: Tensor) -> Tensor:
        return self.first + self.second * t + self.third * t * t


class Both(Path):
    """The coefficients themselves are asked too."""

    def __init__(self, c: Tensor) -> None:
        self.c, self.third = c, 2 * c[1] ** 2

    def slope(self, t: Tensor) -> Tensor:
        return self.c[0] + self.c[1] * t + self.third * t * t


class Chained(Path):
    """One of what it holds is made of another."""

    def __init__(self, c: Tensor) -> None:
        self.first, self.second = c.unbind()
        self.third = 2 * self.second**2


class Driven(nn.Module):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.w, self.path = nn.Parameter(torch.tensor(0.5, dtype=D)), path

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(self.w * z) * self.path.slope(t)


def driven_gradient(solve: Any, path: type[Path], named: str, **how: Any) -> list[Tensor]:
    data = torch.tensor([0.3, 0.7], dtype=D, requires_grad=True)
    c = 2 * torch.sin(data)
    f, z0 = Driven(path(c)), ONES.clone().requires_grad_()
    given = {named: (*f.parameters(), c)} if named else {}
    solve(f, z0, T, **given, **how)[-1].square().sum().backward()
    assert data.grad is not None
    assert f.w.grad is not None
    assert z0.grad is not None
    return [data.grad, f.w.grad, z0.grad]


@pytest.mark.parametrize("path", [Path, Both, Chained])
@pytest.mark.parametrize("fixed", [False, True], ids=["dopri5", "rk4"])
def test_adjoint_params_that_are_no_leaves_get_torchdiffeqs_gradients(path: type[Path], fixed: bool) -> None:
    how: dict[str, Any] = {"method": "rk4", "options": {"step_size": 0.1}} if fixed else {"rtol": 1e-9, "atol": 1e-10}
    true = driven_gradient(theirs.odeint_adjoint, path, "adjoint_params", **how)
    assert apart(driven_gradient(ours.odeint_adjoint, path, "adjoint_params", **how), true) < (1e-12 if fixed else 1e-6)
    direct = driven_gradient(ours.odeint, path, "", **how)
    for gradient in EXACT:
        assert apart(driven_gradient(ours.odeint, path, "params", gradient=gradient, **how), direct) < 1e-10


@pytest.mark.parametrize("solve", [ours.odeint_adjoint, theirs.odeint_adjoint], ids=["ours", "theirs"])
def test_a_path_of_coefficients_serves_one_solve_after_another(solve: Any) -> None:
    """torchdiffeq leaves the graph from the coefficients to the path as it is; so does odebench."""
    for path in (Path, Both, Chained):
        c = torch.tensor([0.3, 0.7], dtype=D, requires_grad=True)
        f, found = Driven(path(c)), []
        for _ in range(2):
            ys = solve(f, ONES, T, method="rk4", adjoint_params=(*f.parameters(), c))
            loss = ys[-1].sum()
            loss.backward(retain_graph=True)
            loss.backward()
            assert c.grad is not None
            found.append(c.grad.clone())
            c.grad = None
        assert torch.equal(*found)


def test_data_that_nobody_named_behind_a_path_are_told_by_the_callers_argument() -> None:
    data = torch.tensor([0.3, 0.7], dtype=D, requires_grad=True)
    with pytest.raises(UsageError, match=r"name all that f depends on in adjoint_params=\(…\)"):
        odebench.odeint_adjoint(Driven(Path(2 * data)), ONES, T)


# What is caught


def exploding(t: Tensor, y: Tensor) -> Tensor:
    return y * y


def breaking(t: Tensor, y: Tensor) -> Tensor:
    return y / (t < 0.3).to(y)


CAUGHT: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "the step limit": (decay, {"options": {"max_num_steps": 3}}),
    "the step limit by odebench's name": (decay, {"options": {"max_steps": 3}, "method": "bosh3"}),
    "a solution that leaves": (exploding, {"rtol": 1e-9}),
    "an f that is not finite": (breaking, {}),
    "fixed steps that leave": (lambda t, y: 1e200 * y**3, {"method": "rk4"}),
}


@pytest.mark.parametrize("what", CAUGHT)
def test_a_solve_that_cannot_go_on_is_an_assertion_error_as_with_torchdiffeq(what: str) -> None:
    f, how = CAUGHT[what]
    ends = torch.tensor([0.0, 2.0], dtype=D)
    for solve in (odebench.odeint, ours.odeint, lambda *x, **how: ours.odeint_adjoint(*x, adjoint_params=(), **how)):
        with pytest.raises(AssertionError) as raised:
            solve(f, ONES, ends, **how)
        assert isinstance(raised.value, SolveError)
        assert isinstance(raised.value, odebench.OdebenchError)


@pytest.mark.parametrize(
    "back",
    [{"max_num_steps": 1, "first_step": 1e-4}, {"norm": lambda parts: math.inf * parts[1].abs().max()}],
    ids=["the step limit", "an underflow"],
)
def test_it_is_one_on_the_way_back_too(back: dict[str, Any]) -> None:
    y0 = ONES.clone().requires_grad_()
    ys = odebench.odeint_adjoint(decay, y0, T, adjoint_params=(), adjoint_options=back)
    with pytest.raises(AssertionError, match="on the way back") as raised:
        ys.sum().backward()
    assert isinstance(raised.value, SolveError)


def test_what_was_said_before_is_said_still() -> None:
    assert issubclass(Divergence, AssertionError)
    assert Divergence("gone", {"nfe": 3.0}).metrics == {"nfe": 3.0}
    assert str(SolveError("stuck")) == "stuck"


# What is said


def test_each_sentence_names_the_argument_that_its_caller_has() -> None:
    outside = torch.tensor(0.5, dtype=D, requires_grad=True)

    class Leaning(Flow):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -self.w * outside * y

    for call, argument in (
        (lambda: odebench.odeint_adjoint(Leaning(), ONES, T), "adjoint_params"),
        (lambda: ours.odeint_adjoint(Leaning(), ONES, T), "adjoint_params"),
        (lambda: ours.odeint_adjoint(Leaning(), ONES, T, gradient="aca"), "adjoint_params"),
        (lambda: ours.odeint_adjoint(Leaning(), ONES, T, gradient="forward"), "adjoint_params"),
        (lambda: odebench.odeint(Leaning(), ONES, T, gradient="aca"), "params"),
        (lambda: odebench.odeint(Leaning(), ONES, T, gradient="forward"), "params"),
    ):
        with pytest.raises(UsageError, match=rf" in {argument}=\(…\)"):
            call()
    with pytest.raises(TypeError, match=r"^adjoint_params must be tensors"):
        odebench.odeint_adjoint(decay, ONES, T, adjoint_params=(1.0,))  # type: ignore[arg-type]


def test_the_step_limit_is_called_as_its_caller_calls_it() -> None:
    for name in ("max_num_steps", "max_steps"):
        with pytest.raises(SolveError, match=rf"\b{name}\b"):
            odebench.odeint(decay, ONES, T, options={name: 2})
        with pytest.raises(UsageError, match=name):
            odebench.odeint(decay, ONES, T, options={name: 0})
    with pytest.raises(UsageError, match="dfactor"):
        odebench.odeint(decay, ONES, T, options={"dfactor": 3.0})


def test_a_solve_error_on_the_way_back_is_not_taken_for_an_assertion_of_another_library() -> None:
    """The gauges read what a peer's assertion means; a sentence of odebench's own they must leave alone."""

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, error: Exception) -> Tensor:
            ctx.error = error
            return x.clone()

        @staticmethod
        def backward(ctx: Any, bar: Tensor) -> Any:
            raise ctx.error

    class Foreign:
        bound = SimpleNamespace(f=decay, loss=torch.sum)

        def __init__(self, error: Exception) -> None:
            self.error = error

        def solve(self, f: Any, trace: Any) -> Any:
            return Failing.apply(ONES.clone().requires_grad_(), self.error)

        def fault(self, error: AssertionError) -> Exception:
            return SolveError(f"torchdiffeq: {error}")

    for error, message in ((SolveError("stuck"), "^stuck$"), (AssertionError("odd"), "^torchdiffeq: odd$")):
        trial = TorchTrial.of(Foreign(error))  # type: ignore[arg-type]
        trial.forward()
        with pytest.raises(SolveError, match=message):
            trial.backward()


@pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams"])
def test_an_adjoint_by_an_adams_method_takes_max_order_on_both_ways(method: str) -> None:
    """As ffjord and TrajectoryNet call it, with the options of the way there for the way back."""

    def gradient(solve: Any, **how: Any) -> list[Tensor]:
        f, y0 = Driven(Both(torch.tensor([0.3, 0.7], dtype=D))), ONES.clone().requires_grad_()
        return list(torch.autograd.grad(solve(f, y0, T, **how)[-1].sum(), (f.w, y0)))

    options = {"max_order": 4, "step_size": 0.02}
    exact = gradient(theirs.odeint, rtol=1e-10, atol=1e-12)
    for back in (None, options):
        got = gradient(ours.odeint_adjoint, method=method, options=options, adjoint_options=back)
        assert apart(got, exact) < 1e-5
