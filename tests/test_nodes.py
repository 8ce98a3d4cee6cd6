"""When f is asked: within the span, but by the schemes that say otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from matrix import SOLVERS
from torch import Tensor
from typer.testing import CliRunner

from odebench import odeint, registry
from odebench.cli.app import app
from odebench.errors import Refusal, UsageError
from odebench.solvers import RungeKutta, Tableau
from odebench.solvers.reach import outside
from odebench.spec import Spec
from odebench.types import Step

D = torch.float64
IMPLICIT = [Spec(name) for name in ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5")]
SPANS = {"forwards": (0.3, 1.1), "backwards": (1.1, 0.3)}
STEPS = {
    "fixed": {"dt": 0.16},
    "adaptive": {},
    "dense": {"dense": True},
    "per sample": {"per_sample": True},
    "perturbed": {"dt": 0.16, "perturb": True},
}
LEAVING = {"kvaerno4": (0.0, 1.1456), "kvaerno5": (0.0, 1.2303), "yoshida4": (-0.3512, 1.3512)}


class Asked(torch.nn.Module):
    """Remembers the times; both halves of the state are those of a separable problem that depends on time."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(1.3, dtype=D))
        self.times: list[float] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.times += t.reshape(-1).tolist()
        q, p = y.chunk(2, -1)
        return torch.cat((p * self.rate + torch.cos(t), -torch.sin(q) - t), -1)


def asked(solver: Spec, gradient: str, span: tuple[float, float], options: dict[str, object]) -> list[float]:
    f, (a, b) = Asked(), span
    y0 = torch.tensor([[0.5, -0.2], [0.1, 0.4]], dtype=D, requires_grad=True)
    ts = torch.tensor([a, a + 0.37 * (b - a), b], dtype=D)
    try:
        odeint(f, y0, ts, method=solver, gradient=gradient, options=options, rtol=1e-4, atol=1e-6).sum().backward()
    except (Refusal, UsageError):  # a pair that is none
        return []
    return f.times


@pytest.mark.parametrize("way", SPANS)
@pytest.mark.parametrize("stepping", STEPS)
def test_f_is_asked_within_the_span_but_by_those_that_declare_it(stepping: str, way: str) -> None:
    low, high = sorted(SPANS[way])
    left = set()
    for solver in [*SOLVERS, *IMPLICIT]:
        for gradient in ("aca", "reversible"):
            times = asked(solver, gradient, SPANS[way], STEPS[stepping])
            if times and not (low - 1e-12 <= min(times) and max(times) <= high + 1e-12):
                left.add(solver.name)
    assert left <= LEAVING.keys()
    if stepping == "fixed":
        assert left == LEAVING.keys()


@pytest.mark.parametrize("solver", [*SOLVERS, *IMPLICIT], ids=str)
def test_a_scheme_asks_as_far_as_it_declares(solver: Spec) -> None:
    early, late = LEAVING.get(solver.name, (0.0, 1.0))
    assert (outside(registry.solvers.build(solver)) is None) is ((early, late) == (0.0, 1.0))
    times = asked(solver, "aca", (0.0, 1.0), {"dt": 1.0})
    bounds = min(early * 0.37, 0.37 + early * 0.63), max(late * 0.37, 0.37 + late * 0.63)
    assert bounds[0] - 1e-4 < min(times) <= max(times) < bounds[1] + 1e-4
    if early < 0:
        assert min(times) == pytest.approx(bounds[0], abs=1e-4)
    if late > 1:
        assert max(times) == pytest.approx(bounds[1], abs=1e-4)


@pytest.mark.parametrize("name", LEAVING)
def test_a_jump_at_both_ends_keeps_f_within_the_span(name: str) -> None:
    for span in SPANS.values():
        for options in ({"dt": 0.16}, {}):
            times = asked(Spec(name), "aca", span, {**options, "jump_t": torch.tensor(span, dtype=D)})
            assert not times or min(span) < min(times) <= max(times) < max(span)


def test_an_error_of_f_outside_of_the_span_says_why_it_was_asked_there() -> None:
    def measured(t: Tensor, y: Tensor) -> Tensor:
        if not 0 <= t <= 1:
            raise IndexError("no data")
        return -y

    y0, ts = torch.ones(2, dtype=D), torch.tensor([0.0, 1.0], dtype=D)
    for name in LEAVING:
        with pytest.raises(IndexError, match="no data") as caught:
            odeint(measured, y0, ts, method=name, options={"dt": 0.5})
        (note,) = caught.value.__notes__
        assert f"{name} has nodes up to" in note
        assert "outside of [0, 1]" in note
        odeint(measured, y0, ts, method=name, options={"dt": 0.5, "jump_t": [0.0, 1.0]})


def test_an_error_of_f_within_the_span_gets_no_note() -> None:
    def broken(t: Tensor, y: Tensor) -> Tensor:
        raise IndexError("mine")

    with pytest.raises(IndexError) as caught:
        odeint(broken, torch.ones(2, dtype=D), torch.tensor([0.0, 1.0], dtype=D), method="kvaerno5")
    assert not getattr(caught.value, "__notes__", [])


def test_a_tableau_of_ones_own_that_leaves_its_step_declares_it() -> None:
    tableau = Tableau(((), (1.5,)), (2 / 3, 1 / 3), 2)
    assert outside(RungeKutta(tableau)) == "0.5 of a step behind its end"


@pytest.mark.parametrize("name", ["kvaerno4", "kvaerno5", "yoshida4", "kvaerno3", "leapfrog"])
def test_explain_says_where_the_nodes_lie(name: str) -> None:
    shown = " ".join(CliRunner().invoke(app, ["explain", name]).stdout.split())
    assert ("f is asked outside of the span" in shown) is (name in LEAVING)


def test_a_one_step_scheme_of_ones_own_that_does_not_tell_its_nodes_can_be_coupled() -> None:
    class Halves:
        """Explicit midpoint, with what `coupled` needs and no more."""

        order, error_order = 2, None

        def init(self, f: Any, t: float, y: Tensor) -> tuple[Tensor, ...]:
            return (y,)

        def increment(self, f: Any, t: float, dt: float, y: Tensor, judged: bool) -> tuple[Tensor, None]:
            return dt * f(t + dt / 2, y + dt / 2 * f(t, y)), None

        def step(self, f: Any, t: float, dt: float, state: tuple[Tensor, ...]) -> Step:
            return Step((state[0] + self.increment(f, t, dt, state[0], False)[0],))

    registry.load_builtins()
    registry.solvers.add(registry.Entry("solver", "halves_without_nodes", Halves, "Midpoint", source="here"))
    try:
        found = []
        for base in ("midpoint", "halves_without_nodes"):
            y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
            method = {"coupled": {"base": base}}
            t = torch.tensor([0.0, 1.0], dtype=torch.float64)
            options = {"dt": 0.1}
            ys = odeint(lambda t, y: -y * y, y0, t, method=method, gradient="reversible", params=(), options=options)
            found.append(torch.autograd.grad(ys[-1].sum(), y0)[0])
        torch.testing.assert_close(*found, rtol=1e-12, atol=0)
    finally:
        del registry.solvers.entries["halves_without_nodes"]
