"""Steps that every sample takes by itself: as if it were alone, exact gradients, and no call for who is done."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matrix import Solved, relative, solve
from torch import Tensor, nn
from typer.testing import CliRunner

import odebench
from odebench import registry
from odebench.cli.app import app
from odebench.controllers import Adaptive, by_sample
from odebench.errors import Divergence, Refusal, SolveError, UsageError
from odebench.gradients import Direct
from odebench.integrate import Walk, timed, walk
from odebench.measure.weigh import allocations
from odebench.per_sample import Again
from odebench.problems import Bound, bind
from odebench.spec import Spec
from odebench.types import Step, Tick

D = torch.float64
APART = Adaptive(1e-5, 1e-7, per_sample=True)
PAIRS = ["heun", "bosh3", "dopri5", "dopri8", "vern6", "vern7"]
EXACT = [Spec("direct"), Spec("aca"), Spec("recursive"), Spec.of("recursive", {"checkpoints": 3}), Spec("symplectic")]


class Oscillators(nn.Module):
    """Van der Pol's, each row with a stiffness in its third component, driven by the time of the row."""

    def __init__(self) -> None:
        super().__init__()
        self.drive = nn.Parameter(torch.tensor(0.3, dtype=D))
        self.seen: list[int] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.seen.append(len(y))
        x, v, mu = y[:, :1], y[:, 1:2], y[:, 2:]
        return torch.cat((v, mu * (1 - x * x) * v - x + self.drive * torch.sin(3 * t), 0 * mu), 1)


def oscillators(*stiffness: float, ts: tuple[float, ...] = (0.0, 3.0)) -> Bound:
    f = Oscillators()
    start = [[2.0 + 0.1 * row, 0.3 * row, mu] for row, mu in enumerate(stiffness)]
    y0 = torch.tensor(start, dtype=D, requires_grad=True)
    return Bound(f, (f.drive,), y0, ts, lambda ys: (ys * torch.arange(1.0, len(ts) + 1).view(-1, 1, 1)).square().sum())


def alone(bound: Bound, row: int) -> Bound:
    return replace(bound, y0=bound.y0[row : row + 1].detach())


def walked(bound: Bound, solver: str, control: Any) -> Walk:
    stepper, f = registry.solvers.build(Spec(solver)), timed(bound.f, bound.y0)
    with torch.no_grad():
        return walk(f, stepper, control, bound.ts, stepper.init(f, bound.ts[0], bound.y0))


def same(mesh: tuple[Tick, ...], other: tuple[Tick, ...]) -> bool:
    """But for rounding, which the length of each step passes on to the next."""
    lands = [tick.lands for tick in mesh] == [tick.lands for tick in other]
    return lands and np.allclose([tick[:2] for tick in mesh], [tick[:2] for tick in other], rtol=1e-6, atol=1e-8)


CONTROLS: dict[str, dict[str, Any]] = {
    "i": {},
    "pi": {"controller": "pi"},
    "pid": {"controller": "pid"},
    "largest": {"norm": "max"},
    "own norm": {"norm": lambda x: x.abs().mean()},
    "first step": {"first_step": 0.2},
    "bounded": {"min_step": 1e-4, "max_step": 0.05},
    "dense": {"dense": True},
    "a tolerance for each element": {"rtol": torch.tensor([1e-5, 1e-4, 1e-3], dtype=D)},
}


SPAN, SAVES, BACK = (0.0, 3.0), (0.0, 0.4, 0.41, 2.0, 3.0), (0.2, 0.19, 0.15, 0.1)
# A step cut short to land has an error that is all rounding, which a controller with a memory hands on to the next:
# those are tried on the bare span.
WAYS = [(name, SPAN) for name in CONTROLS] + [(name, ts) for name in ("i", "dense") for ts in (SAVES, BACK)]


@pytest.mark.parametrize(("control", "ts"), WAYS, ids=lambda each: each if isinstance(each, str) else str(len(each)))
@pytest.mark.parametrize("solver", ["heun", "dopri5", "vern7"])
def test_every_sample_takes_the_steps_that_it_takes_alone(solver: str, control: str, ts: tuple[float, ...]) -> None:
    # Steps that stability keeps short hang on every digit of the last ones: at stiffness 20 one ulp in y0 changes them
    # in the sixth digit, with or without a batch around them.
    bound = oscillators(1.0, 8.0, 5.0, 0.1, ts=ts)
    law = Adaptive(**{"rtol": 1e-4, "atol": 1e-5} | CONTROLS[control])
    together = walked(bound, solver, replace(law, per_sample=True))
    assert together.rounds is not None
    for row in range(4):
        by_itself = walked(alone(bound, row), solver, law)
        assert same(together.rounds.of(row), by_itself.mesh)
        assert together.rounds.rejected[row] == by_itself.rejected
        for got, wanted in zip(together.ys, by_itself.ys, strict=True):
            assert relative(got[row], wanted[0]) < 1e-9


@pytest.mark.parametrize("solver", PAIRS)
def test_a_batch_of_one_is_solved_as_ever(solver: str) -> None:
    bound, control = oscillators(5.0, ts=(0.0, 1.0, 2.0)), Adaptive(1e-4, 1e-5)
    apart, ever = (solve(bound, Spec(solver), Spec("aca"), replace(control, per_sample=each)) for each in (True, False))
    assert same(apart.log.mesh, ever.log.mesh)
    assert (apart.nfe_forward, apart.nfe_backward) == (ever.nfe_forward, ever.nfe_backward)
    assert relative(apart.ys, ever.ys) < 1e-9
    assert relative(apart.gradient, ever.gradient) < 1e-8


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("gradient", EXACT, ids=str)
@pytest.mark.parametrize("solver", PAIRS)
def test_exact_gradients_equal_backpropagation_through_the_very_same_rounds(
    solver: str, gradient: Spec, dense: bool
) -> None:
    loose = Adaptive(1e-3, 1e-3, per_sample=True, dense=dense)
    bound = oscillators(1.0, 20.0, 5.0, ts=(0.0, 0.4, 0.41, 2.0, 3.0))
    got = solve(bound, Spec(solver), gradient, loose)
    assert got.log.rounds is not None
    assert got.log.rounds.rejected.sum() > 0 or solver == "heun"
    again = solve(bound, Spec(solver), Direct(), Again(got.log.rounds))
    # Verner's interpolants have coefficients of 1e6, in which the rounding of a sum shows.
    assert relative(again.ys, got.ys) < 1e-13
    assert relative(got.gradient, again.gradient) < 1e-11
    assert again.log.rounds is got.log.rounds


def test_differences_agree_with_the_gradient_on_the_same_rounds() -> None:
    bound = oscillators(1.0, 20.0, ts=(0.0, 0.5, 1.0))
    got = solve(bound, Spec("dopri5"), Spec("aca"), Adaptive(1e-3, 1e-3, per_sample=True))
    direction, h = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=D), 1e-5

    def loss(shift: float) -> float:
        moved = replace(bound, y0=(bound.y0 + shift * direction.view(2, 3)).detach())
        assert got.log.rounds is not None
        return float(bound.loss(torch.stack(walked(moved, "dopri5", Again(got.log.rounds)).ys)))

    slope = float(got.gradient[:6] @ direction)
    assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx(slope, rel=1e-6)


def test_states_of_any_shape_step_apart() -> None:
    bound = bind(Spec.of("conv", {"span": (0.0, 4.0)}), batch=3, seed=0, dtype="float64", device="cpu")
    got = solve(bound, Spec("dopri5"), Spec("symplectic"), APART)
    assert got.log.rounds is not None
    again = solve(bound, Spec("dopri5"), Spec("direct"), Again(got.log.rounds))
    assert relative(got.gradient, again.gradient) < 1e-12
    for row in range(3):
        assert same(got.log.rounds.of(row), walked(alone(bound, row), "dopri5", Adaptive(1e-5, 1e-7)).mesh)


def test_float32_and_complex_states_step_apart() -> None:
    for dtype in (torch.float32, torch.complex128):
        y0 = torch.tensor([[1.0, 2.0], [0.5, 1.0]], dtype=dtype)
        rate = torch.tensor([[1.0], [30.0]], dtype=D)
        ys = odebench.odeint(
            lambda t, y, rate=rate: -y * rate.to(y.real.dtype), y0, torch.linspace(0, 1, 3, dtype=D),
            rtol=1e-5, atol=1e-6, options={"per_sample": True},
        )  # fmt: skip
        assert ys.dtype == dtype
        assert float((ys[-1] - y0 * torch.exp(-rate).to(y0.real.dtype)).abs().max()) < 1e-4


def test_a_sample_that_is_done_is_called_for_no_more() -> None:
    bound = oscillators(*(1.0 for _ in range(15)), 200.0)
    together = solve(bound, Spec("dopri5"), Spec("aca"), Adaptive(1e-5, 1e-7))
    bound.f.seen.clear()
    apart = solve(bound, Spec("dopri5"), Spec("aca"), APART)
    rounds = apart.log.rounds
    assert rounds is not None
    assert rounds.slowest == 15
    assert rounds.steps[:15].max() < 0.2 * rounds.steps[15]
    # Every trial of every sample takes six rows; the start, the first steps and the look take the rest.
    start = 16 + 16 + (16 + 1 + 1)
    assert sum(bound.f.seen[: apart.nfe_forward]) == start + 6 * int((rounds.steps + rounds.rejected).sum())
    assert sum(bound.f.seen) < 0.25 * 16 * (together.nfe_forward + together.nfe_backward)
    assert apart.nfe_forward == pytest.approx(together.nfe_forward, rel=0.1)


def test_the_states_held_are_those_of_the_steps_taken_and_no_more() -> None:
    control = Adaptive(1e-4, 1e-6)

    def held(per_sample: bool) -> tuple[int, Any]:
        bound = oscillators(*(1.0 for _ in range(15)), 200.0)
        stepper, f = registry.solvers.build(Spec("dopri5")), timed(bound.f, bound.y0)
        aca, own = registry.gradients.build(Spec("aca")), replace(control, per_sample=per_sample)
        kept: list[Tensor] = []

        def run() -> None:
            kept.append(aca.solve(f, bound.params, bound.y0, bound.ts, stepper, own))

        run()
        return sum(allocations(run)), walked(bound, "dopri5", replace(control, per_sample=True)).rounds

    (apart, rounds), (together, _) = held(True), held(False)
    row = 2 * 3 * 8  # y and the slope at it
    trials = int((rounds.steps + rounds.rejected).sum())
    assert int(rounds.steps.sum()) * row < apart < trials * row + 16_000
    assert apart < 0.3 * together


def test_a_rejected_trial_that_is_not_finite_leaves_the_gradient_alone() -> None:
    """A tank that empties: a trial too long ends below the floor, where the root has no derivative."""

    def f(t: Tensor, y: Tensor) -> Tensor:
        return -rate * torch.sqrt(torch.clamp(y, min=0.0))

    rate = torch.tensor(2.0, dtype=D, requires_grad=True)
    y0 = torch.tensor([[1.0], [25.0], [4.0]], dtype=D, requires_grad=True)
    ts = torch.tensor([0.0, 0.9], dtype=D)
    control = {"first_step": 0.9, "per_sample": True}
    ys = odebench.odeint(f, y0, ts, rtol=1e-6, atol=1e-6, options=control, params=(rate,))
    found = torch.autograd.grad(ys[-1].sum(), (y0, rate))
    # √y falls by rate·t/2.
    root = y0.detach().sqrt() - 0.9
    assert torch.allclose(ys[-1], root.square(), rtol=1e-4)
    assert torch.allclose(found[0], root / y0.detach().sqrt(), rtol=1e-3)
    assert float(found[1]) == pytest.approx(float(-0.9 * root.sum()), rel=1e-3)


def test_what_direct_takes_anew_is_the_accepted_part_of_mixed_rounds() -> None:
    bound = oscillators(1.0, 20.0, 5.0)
    plain, taped = (solve(bound, Spec("dopri5"), Spec(each), APART) for each in ("aca", "direct"))
    assert plain.log.rounds is not None
    assert taped.log.rounds is not None
    mixed = sum(each.moved is not None for each in taped.log.rounds)
    assert mixed > 0
    assert taped.nfe_forward == plain.nfe_forward + 6 * mixed
    assert taped.nfe_backward == 0


@pytest.mark.filterwarnings("ignore:steps of min_step")
@pytest.mark.parametrize("options", [*CONTROLS.values()][:-1], ids=[*CONTROLS][:-1])
def test_the_laws_of_control_are_those_of_the_whole_batch_on_each_sample(options: dict[str, Any]) -> None:
    control, draw = Adaptive(rtol=0.0, atol=1.0, **options), np.random.default_rng(0)
    error = np.concatenate((draw.lognormal(0.0, 3.0, 50), [0.0, 1.0, np.inf, np.nan]))
    dt, newest, last = (draw.lognormal(-3.0, 2.0, len(error)) for _ in range(3))
    dt[-2:], rest = 1e-4, torch.zeros(1, 1, dtype=D)
    with np.errstate(all="ignore"):
        got = by_sample.judge(control, dt, error, 5, (newest, last))
    for at, size in enumerate(error):
        step = Step((rest,), torch.full((1, 1), size, dtype=D))
        wanted = control.judge(float(dt[at]), (rest,), step, 5, (float(newest[at]), float(last[at])))
        assert bool(got.accept[at]) == wanted.accept
        assert got.dt[at] == pytest.approx(wanted.dt, rel=1e-12)
        assert [each[at] for each in got.memory] == pytest.approx(wanted.memory, rel=1e-12)


def odeint(f: Any, y0: Tensor, end: float = 1.0, **options: Any) -> Tensor:
    times = torch.linspace(0.0, end, 3, dtype=D)
    return odebench.odeint(f, y0, times, rtol=1e-6, atol=1e-8, options={"per_sample": True, **options})


def test_odeint_steps_every_row_by_itself_and_gives_each_its_times() -> None:
    columns = set()

    def f(t: Tensor, y: Tensor) -> Tensor:
        if t.ndim:
            columns.add(tuple(t.shape[1:]))
        return torch.cos(20 * t) * y

    y0 = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.1, 0.2]], dtype=D)
    got = odeint(f, y0)
    assert columns == {(1,)}
    times = torch.linspace(0.0, 1.0, 3, dtype=D).view(-1, 1, 1)
    assert torch.allclose(got, y0 * torch.exp(torch.sin(20 * times) / 20), rtol=1e-6)


def test_gradients_by_the_times_and_second_derivatives_are_as_ever() -> None:
    y0 = torch.tensor([[0.5, 1.0], [1.5, 0.2]], dtype=D, requires_grad=True)
    t = torch.tensor([0.0, 0.5, 1.0], dtype=D, requires_grad=True)
    found = []
    for per_sample in (True, False):
        options = {"rtol": 1e-9, "atol": 1e-9, "options": {"per_sample": per_sample}}
        ys = odebench.odeint(lambda t, y: -y * y, y0, t, **options)
        by_times = torch.autograd.grad(ys[-1].square().sum(), t)
        ys = odebench.odeint(lambda t, y: -y * y, y0, t.detach(), **options)
        (first,) = torch.autograd.grad(ys[-1].square().sum(), y0, create_graph=True)
        found.append([*by_times, first.detach(), *torch.autograd.grad(first.sum(), y0)])
    for apart, together in zip(*found, strict=True):
        assert torch.allclose(apart, together, rtol=1e-6)


class OwnRate(nn.Module):
    """Holds a rate for every row of the batch, and cannot be asked for some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor([[1.0], [2.0], [80.0], [0.5]], dtype=D))
        self.seen: list[int] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.seen.append(len(y))
        return -self.rate * y


@pytest.mark.parametrize("gradient", EXACT, ids=str)
def test_a_field_with_data_of_its_own_for_each_row_is_called_on_the_whole_batch(gradient: Spec) -> None:
    f, y0 = OwnRate(), torch.ones(4, 2, dtype=D, requires_grad=True)
    times = torch.tensor([0.0, 0.5, 2.0], dtype=D)
    ys = odebench.odeint(f, y0, times, rtol=1e-6, atol=1e-9, gradient=gradient, options={"per_sample": True})
    assert torch.allclose(ys, y0 * torch.exp(-f.rate * times.view(-1, 1, 1)), atol=1e-6)
    by_y0, by_rate = torch.autograd.grad(ys.sum(), (y0, f.rate))
    weight = (times.view(-1, 1, 1) * torch.exp(-f.rate.detach() * times.view(-1, 1, 1))).sum(0)
    assert torch.allclose(by_rate, -2 * weight, atol=1e-5)
    assert torch.allclose(by_y0, torch.exp(-f.rate.detach() * times.view(-1, 1, 1)).sum(0).expand(4, 2), atol=1e-5)
    assert set(f.seen) - {4} == {1}  # but for the look whether it can be asked for one
    assert f.seen.count(1) <= 2


def same_mean(t: Tensor, y: Tensor) -> Tensor:
    return y.mean(0) - y


def largest_of_all(t: Tensor, y: Tensor) -> Tensor:
    return y - y.max(0).values


def neighbour(t: Tensor, y: Tensor) -> Tensor:
    return y.roll(1, 0) - y


def one_time(t: Tensor, y: Tensor) -> Tensor:
    return -y if t < 0.5 else y


def first_time(t: Tensor, y: Tensor) -> Tensor:
    return y * torch.cos(7 * t.reshape(-1)[0])


ROWS = torch.tensor([[1.0, 2.0], [5.0, -4.0], [0.1, 0.2], [2.0, 9.0], [-3.0, 1.0]], dtype=D)


@pytest.mark.parametrize("rows", [2, 3, 5])
@pytest.mark.parametrize("counts", ["later", "once y has moved"])
def test_data_for_each_row_may_begin_to_count_after_the_start(rows: int, counts: str) -> None:
    data = torch.arange(1.0, rows + 1, dtype=torch.float64)[:, None]

    def f(t: Tensor, y: Tensor) -> Tensor:
        own = data[: len(y)]  # another row's, where the last ones are asked for alone
        return 1.0 - y * own * (t if counts == "later" else 1.0)

    y0 = torch.full((rows, 1), 1.0 if counts == "later" else 0.0, dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    apart = odebench.odeint(f, y0, t, rtol=1e-9, atol=1e-9, options={"per_sample": True})
    together = odebench.odeint(f, y0, t, rtol=1e-9, atol=1e-9)
    assert float((apart - together).abs().max()) < 1e-8


@pytest.mark.parametrize("f", [same_mean, largest_of_all, neighbour])
def test_rows_that_depend_on_one_another_are_refused(f: Any) -> None:
    with pytest.raises(Refusal, match=r"a row of f depends on other rows of y; leave per_sample out"):
        odeint(f, ROWS)


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (one_time, r"column of times, one for each row and of shape \(5, 1\), and f cannot take it: RuntimeError"),
        (first_time, "f answers otherwise than with one of them alone; let t broadcast against y"),
    ],
)
def test_a_field_that_can_take_one_time_only_is_refused(f: Any, told: str) -> None:
    with pytest.raises(Refusal, match=told):
        odeint(f, ROWS)
    assert torch.isfinite(odeint(f, ROWS[:1])).all()  # one row has one time


@pytest.mark.parametrize(
    ("y0", "method", "gradient", "told"),
    [
        (ROWS, "alf", "direct", "its steps are not known to scale sample by sample.*such as dopri5"),
        (ROWS, "kvaerno3", "direct", "its steps are not known to scale sample by sample"),
        (ROWS, "dopri5", "adjoint", "no sample could step by itself on the way back; use direct, aca"),
        (ROWS, "dopri5", "interpolated", "no sample could step by itself on the way back; use direct, aca"),
        (ROWS, "dopri5", "forward", "no two samples are at the same time"),
        (ROWS, "dopri5", {"direct": {"control": True}}, "leave out `per_sample`"),
        ((ROWS, ROWS), "dopri5", "direct", "counts samples along the first axis of y0, and it is a tuple"),
        (ROWS[0, 0], "dopri5", "direct", r"counts samples along the first axis of the state.*give y0\[None\]"),
    ],
)
def test_what_cannot_step_apart_is_refused_and_told_what_to_do(y0: Any, method: str, gradient: Any, told: str) -> None:
    def f(t: Tensor, y: Any) -> Any:
        return tuple(-part for part in y) if isinstance(y, tuple) else -y

    with pytest.raises(Refusal, match=told):
        odebench.odeint(
            f, y0, torch.tensor([0.0, 1.0], dtype=D), method=method, gradient=gradient, params=(),
            options={"per_sample": True},
        )  # fmt: skip


def test_fixed_steps_take_no_option_of_the_control() -> None:
    with pytest.raises(UsageError, match="'per_sample' is for steps chosen by tolerances"):
        odeint(lambda t, y: -y, ROWS, dt=0.1)


def test_a_fault_names_its_sample() -> None:
    def gone(t: Tensor, y: Tensor) -> Tensor:
        broken = (y[:, :1] == 5.0) & (t > 0.25)  # a row that rests at 5
        return torch.where(broken, float("nan"), 0 * y) + torch.where(y == 5.0, 0.0, -y)

    y0 = torch.tensor([[1.0, 1.0], [2.0, 2.0], [5.0, 1.0]], dtype=D)
    with pytest.raises(Divergence, match=r"sample 2: f or the solution is not finite just after t = 0\.2"):
        odeint(gone, y0)
    with pytest.raises(SolveError, match=r"sample 1: 9 steps were tried and t = 0\.0\d+ reached; raise max_steps"):
        odeint(lambda t, y: -y * y[:, 1:] * (1 + 0 * t), torch.tensor([[1.0, 0.0], [1.0, 900.0]], dtype=D), max_steps=9)
    with pytest.raises(SolveError, match="sample 1: the step size underflowed at t = 1; "):
        odeint(lambda t, y: y * y, torch.tensor([[0.1], [1.0], [0.5]], dtype=D), end=1.5)


SUITE = """\
name: apart
problems: [{{one_stiff: {{dim: 3, hidden: 8, stiffness: 60{problem}}}}}]
solvers: [dopri5{solvers}]
gradients: [{gradients}]
stepping: [{{adaptive: {{rtol: 1e-4, atol: 1e-5}}}}, {{adaptive: {{rtol: 1e-4, atol: 1e-5, per_sample: true}}}}]
batches: [8]
measure: {{repeats: 2, warmup: 0}}
"""


def call(*words: str) -> Any:
    return CliRunner().invoke(app, words, prog_name="odebench")


def test_a_suite_measures_what_stepping_apart_saves(tmp_path: Path) -> None:
    suite = tmp_path / "apart.yaml"
    suite.write_text(SUITE.format(problem="", solvers="", gradients="direct, aca"))
    assert call("run", str(suite), "-o", str(tmp_path / "out"), "-q", "--no-progress").exit_code == 0
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * 4
    for together, apart in zip(rows[::2], rows[1::2], strict=True):
        assert together["steps_mean"] == ""
        assert int(together["rows_forward"]) == 8 * int(together["nfe_forward"])
        assert int(apart["rows_forward"]) < 0.5 * int(together["rows_forward"])
        assert int(apart["steps"]) > 1.5 * float(apart["steps_mean"]) > 1.5 * int(apart["steps_fewest"]) > 0
        assert float(apart["gradient_error_discrete"]) < 1e-12
        assert float(apart["gradient_error"]) < 1e-2
        assert float(apart["reverse_error"]) == 0
        assert float(apart["solution_error"]) < 1e-3
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    meshes = [record["mesh"] for record in records if "mesh" in record]
    assert [len(mesh) - 1 for mesh in meshes] == [int(row["steps"]) for row in rows]


def test_what_does_not_go_together_is_refused_before_anything_runs(tmp_path: Path) -> None:
    suite = tmp_path / "apart.yaml"
    solvers = ", rk4, alf, kvaerno3, torchdiffeq.dopri5, diffrax.dopri5"
    suite.write_text(SUITE.format(problem="", solvers=solvers, gradients="aca, adjoint, reversible, forward"))
    told = call("validate", str(suite)).stdout
    for sentence in (
        "the adjoint of all samples and parameters is one system",
        "`forward` carries the derivatives by the whole batch in one state",
        "alf's steps are not known to scale sample by sample",  # and kvaerno3's, told with these
        "torchdiffeq is not driven by per_sample",
        "diffrax is not driven by per_sample",
    ):
        assert sentence in told


def test_torchode_steps_apart_and_comes_to_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torchode")
    suite = tmp_path / "apart.yaml"
    suite.write_text(SUITE.format(problem=", span: [0, 1]", solvers=", torchode.dopri5", gradients="direct, adjoint"))
    records = odebench.run(suite, output=tmp_path / "out")
    theirs = {
        (record.cell.gradient.name, "per_sample" in dict(record.cell.stepping.options)): record
        for record in records
        if record.cell.solver.name == "torchode.dopri5"
    }
    ours = next(each for each in records if each.status == "ok" and "steps_mean" in each.metrics)
    assert "torchode's joint adjoint solves the batch as one system" in theirs["adjoint", True].reason
    apart = theirs["direct", True]
    assert apart.status == "ok"
    assert apart.metrics["steps"] == pytest.approx(ours.metrics["steps"], rel=0.2)
    assert apart.metrics["rows_forward"] == 8 * apart.metrics["nfe_forward"]
    assert apart.metrics["rows_forward"] > 2 * ours.metrics["rows_forward"]


def test_the_option_is_in_the_schema_and_explained() -> None:
    schema = json.loads(call("schema").stdout)
    assert '"per_sample": {"description": "Every sample of the batch takes steps of its own' in json.dumps(schema)
    assert "per_sample" in call("explain", "adaptive").stdout
    assert "added up over its calls" in " ".join(call("explain", "rows_forward").stdout.split())


def test_the_batch_of_one_stiff_sample_is_as_its_page_says() -> None:
    bound = bind(Spec.of("one_stiff", {"dim": 4, "stiffness": 9.0}), batch=3, seed=1, dtype="float64", device="cpu")
    wider = bind(Spec.of("one_stiff", {"dim": 4, "stiffness": 9.0}), batch=5, seed=1, dtype="float64", device="cpu")
    assert bound.y0[:, -1].tolist() == [9.0, 1.0, 1.0]
    assert torch.equal(wider.y0[:3], bound.y0)
    slope = bound.f(torch.tensor(0.0), bound.y0)
    assert torch.equal(slope[:, -1], torch.zeros(3, dtype=D))
    milder = torch.cat((bound.y0[:1, :-1], torch.ones(1, 1, dtype=D)), 1)
    assert torch.allclose(slope[:1], 9 * bound.f(torch.tensor(0.0), milder))


@pytest.mark.cuda
@pytest.mark.parametrize("gradient", EXACT, ids=str)
def test_on_a_gpu_the_steps_and_gradients_are_the_same(gradient: Spec) -> None:
    here, there = (
        bind(Spec.of("one_stiff", {"stiffness": 40.0}), batch=6, seed=0, dtype="float64", device=device)
        for device in ("cpu", "cuda")
    )
    for dense in (False, True):
        control = replace(APART, dense=dense)
        got: list[Solved] = [
            solve(replace(each, ts=(0.0, 0.5, 1.0)), Spec("dopri5"), gradient, control) for each in (here, there)
        ]
        assert got[0].log.rounds is not None
        assert got[1].log.rounds is not None
        assert got[0].log.rounds.steps.tolist() == got[1].log.rounds.steps.tolist()
        assert relative(got[1].ys.cpu(), got[0].ys) < 1e-9
        assert relative(got[1].gradient.cpu(), got[0].gradient) < 1e-9
