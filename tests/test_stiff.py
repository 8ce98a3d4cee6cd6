"""Implicit solvers: published end values, orders, gradients, Newton's failures, batches, and counts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import log2

import pytest
import torch
from matrix import mlp, refusal, relative, solve
from torch import Tensor

from odebench import odeint, registry
from odebench.controllers import Adaptive, Fixed, Replay
from odebench.errors import Divergence, OptionError, Refusal, SolveError
from odebench.gradients import Backsolve, Direct, Recompute, StoreAll, Sweep
from odebench.integrate import Walk, timed, walk
from odebench.measure.count import CountedField, count
from odebench.measure.trial import NativePair, TorchTrial
from odebench.problems import Bound, bind
from odebench.solvers.jacobian import linearise
from odebench.spec import Spec
from odebench.truth import compute_truth

IMPLICIT = ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5")
ORDERS = dict(zip(IMPLICIT, (1, 3, 4, 5), strict=True))
FAR = Spec.of("robertson", {"span": (0.0, 1e11)})
RELAXATION = Spec.of("van_der_pol", {"mu": 1000.0, "span": (0.0, 2000.0)})


def bound(problem: Spec, batch: int = 1, dtype: str = "float64") -> Bound:
    return bind(problem, batch=batch, seed=0, dtype=dtype, device="cpu")


def run(
    f: Callable[[Tensor, Tensor], Tensor], solver: str | Spec, control: object, ts: tuple[float, ...], y0: Tensor
) -> Walk:
    stepper, field = registry.solvers.build(Spec(solver) if isinstance(solver, str) else solver), timed(f, y0)
    with torch.no_grad():
        return walk(field, stepper, control, ts, stepper.init(field, ts[0], y0.detach()))  # type: ignore[arg-type]


def gap(got: Tensor, published: list[float]) -> float:
    wanted = torch.tensor(published, dtype=torch.float64)
    return float(((got[0] - wanted) / wanted).abs().max())


@pytest.mark.parametrize(
    ("problem", "rtol", "atol", "published", "allowed"),
    [
        (Spec("robertson"), 1e-7, 1e-14, [0.715827068719405, 9.18553476455e-6, 0.284163745745830], 2e-8),
        (FAR, 1e-7, 1e-18, [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050], 2e-6),
        (RELAXATION, 1e-7, 1e-10, [1.706167732170469, -0.8928097010248125e-3], 2e-6),
        (Spec("oregonator"), 1e-5, 1e-8, [1.000814870318523, 1228.178521549917, 132.0554942846706], 1e-3),
    ],
    ids=str,
)
def test_stiff_problems_are_solved_to_their_published_end_values(
    problem: Spec, rtol: float, atol: float, published: list[float], allowed: float
) -> None:
    case = bound(problem)
    got = run(case.f, "kvaerno5", Adaptive(rtol, atol), case.ts, case.y0)
    assert gap(got.ys[-1], published) < allowed
    assert len(got.mesh) < 1000


def test_an_explicit_solver_says_how_far_it_got() -> None:
    case = bound(RELAXATION)
    with pytest.raises(SolveError, match="1000 steps were tried and t = "):
        run(case.f, "dopri5", Adaptive(1e-3, 1e-6, max_steps=1000), case.ts, case.y0)


@pytest.mark.parametrize(
    ("problem", "published", "digits"),
    [
        (Spec("robertson"), [0.715827068719405, 9.18553476455e-6, 0.284163745745830], 1e-11),
        (Spec.of("robertson", {"span": (0.0, 1e5)}), [1.78659211421e-2, 7.27475146844e-8, 0.982134006110385], 1e-11),
    ],
    ids=str,
)
def test_the_truths_of_stiff_problems_have_the_published_digits(
    problem: Spec, published: list[float], digits: float
) -> None:
    truth = compute_truth(problem, dtype="float64", batch=1, seed=0)
    assert gap(torch.as_tensor(truth.y1), published) < digits
    assert truth.route.startswith("Radau")
    assert truth.agreement < 1e-6


def test_the_truth_of_hires_agrees_with_scipys_radau() -> None:
    from scipy.integrate import solve_ivp

    spec = Spec.of("hires", {"span": (0.0, 1.0)})
    case, truth = bound(spec), compute_truth(spec, dtype="float64", batch=1, seed=0)

    def f(t: float, y: object) -> object:
        with torch.no_grad():
            return case.f(torch.tensor(t), torch.as_tensor(y)[None])[0].numpy()

    theirs = solve_ivp(f, case.ts, case.y0.detach()[0].numpy(), method="Radau", rtol=1e-8, atol=1e-11)
    assert relative(torch.as_tensor(theirs.y[:, -1]), torch.as_tensor(truth.y1)[0]) < 1e-7


def test_the_gradient_of_a_stiff_truth_is_that_of_finite_differences() -> None:
    spec = {"span": (0.0, 4.0)}
    truth = compute_truth(Spec.of("robertson", spec), dtype="float64", batch=1, seed=0)

    def loss(k1: float) -> float:
        case = bound(Spec.of("robertson", {**spec, "k1": k1}))
        return float(run(case.f, "kvaerno5", Adaptive(1e-8, 1e-14), case.ts, case.y0).ys[-1].square().sum())

    slope = (loss(0.0404) - loss(0.0396)) / 0.0008
    assert truth.gradient_parameters[0] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("solver", IMPLICIT)
def test_the_observed_order_is_the_claimed_one(solver: str) -> None:
    case = bound(Spec.of("lotka_volterra", {"span": (0.0, 1.0)}))
    true = run(case.f, "dopri8", Fixed(steps=400), case.ts, case.y0).ys[-1]
    counts = (80, 160, 320) if solver == "implicit_euler" else (16, 32, 64)
    errors = [relative(run(case.f, solver, Fixed(steps=n), case.ts, case.y0).ys[-1], true) for n in counts]
    observed = log2(errors[1] / errors[2])
    print(f"\n| {solver} | {ORDERS[solver]} | {observed:.3f} |", end="")
    assert abs(observed - ORDERS[solver]) < 0.25


def prothero_robinson(rate: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: -rate * (y - torch.cos(t)) - torch.sin(t)


@pytest.mark.parametrize("solver", IMPLICIT)
def test_stiffness_lowers_the_order_and_leaves_the_error_small(solver: str) -> None:
    """Prothero & Robinson: with λ·dt → ∞ a stiffly accurate scheme has error O(dt^q / λ), q its stage order or more."""
    y0 = torch.ones(1, 1, dtype=torch.float64)
    found = {}
    for rate in (1e5, 1e7):
        ends = [run(prothero_robinson(rate), solver, Fixed(steps=n), (0.0, 2.0), y0).ys[-1] for n in (20, 40)]
        found[rate] = [abs(float(end) - torch.cos(torch.tensor(2.0, dtype=torch.float64)).item()) for end in ends]
    assert found[1e5][0] < 1e-6
    assert found[1e5][1] < found[1e5][0]
    assert found[1e7][0] < 0.02 * found[1e5][0]


@pytest.mark.parametrize("solver", IMPLICIT)
def test_one_huge_step_of_a_decaying_mode_leaves_nothing(solver: str) -> None:
    y0 = torch.ones(1, 1, dtype=torch.float64)
    got = run(lambda t, y: -1e9 * y, solver, Fixed(steps=1), (0.0, 1.0), y0).ys[-1]
    assert abs(float(got)) < 1e-7


def along(case: Bound, solver: Spec, mesh: Replay, seed: int) -> tuple[float, Tensor]:
    """(the loss's derivative along a random direction of all leaves, by Richardson's differences; the direction)."""
    case = copy.deepcopy(case)
    leaves = (case.y0, *case.f.parameters())
    draw = torch.Generator().manual_seed(seed)
    directions = [torch.randn(leaf.shape, generator=draw, dtype=torch.float64) * leaf.detach().abs() for leaf in leaves]
    starts = [leaf.detach().clone() for leaf in leaves]

    def loss(step: float) -> float:
        with torch.no_grad():
            for leaf, start, direction in zip(leaves, starts, directions, strict=True):
                leaf.copy_(start + step * direction)
        return float(case.loss(torch.stack(run(case.f, solver, mesh, case.ts, case.y0).ys)))

    def slope(step: float) -> float:
        return (loss(step) - loss(-step)) / (2 * step)

    a, b, c = slope(4e-3), slope(2e-3), slope(1e-3)
    a, b = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * b - a) / 15, torch.cat([direction.reshape(-1) for direction in directions])


GRADIENTS = [Direct(), Sweep(StoreAll()), Sweep(Recompute(3))]


@pytest.mark.parametrize("linear", ["dense", "krylov"])
@pytest.mark.parametrize("solver", IMPLICIT)
def test_gradients_are_those_of_the_steps_taken(solver: str, linear: str) -> None:
    spec, case = Spec.of(solver, {"linear": linear}), mlp(batch=3, saves=2, span=(0.0, 4.0))
    first = solve(case, spec, GRADIENTS[0], Adaptive(1e-3, 1e-4))
    mesh = Replay(first.log.mesh)
    for gradient in GRADIENTS:
        got = solve(case, spec, gradient, mesh)
        assert relative(got.gradient, first.gradient) < 1e-13, gradient
    true, direction = along(case, spec, mesh, seed=1)
    assert abs(float(first.gradient @ direction) - true) < 1e-10 * abs(true)


def test_gradients_of_a_stiff_solve_are_those_of_its_steps() -> None:
    case, spec = bound(Spec.of("robertson", {"span": (0.0, 10.0)})), Spec("kvaerno5")
    got = [solve(case, spec, gradient, Adaptive(1e-4, 1e-8)) for gradient in GRADIENTS]
    assert all(relative(each.gradient, got[0].gradient) < 1e-12 for each in got)
    true, direction = along(case, spec, Replay(got[0].log.mesh), seed=2)
    assert abs(float(got[0].gradient @ direction) - true) < 1e-9 * abs(true)


def test_the_adjoint_takes_an_implicit_solver_back_with_a_jacobian_of_its_own() -> None:
    spec = Spec.of("van_der_pol", {"mu": 20.0, "span": (0.0, 0.1)})  # stiffer, and the way back is no way back
    case, true = bound(spec), compute_truth(spec, dtype="float64", batch=1, seed=0)
    wanted = torch.cat([torch.as_tensor(true.gradient_y0).reshape(-1), torch.as_tensor(true.gradient_parameters)])
    errors = [
        relative(solve(case, Spec("kvaerno5"), Backsolve(), Adaptive(r, r)).gradient, wanted) for r in (1e-6, 1e-9)
    ]
    assert errors[1] < min(1e-4, errors[0])


def test_what_cannot_be_undone_or_transposed_is_refused_with_a_sentence() -> None:
    fixed = Spec.of("fixed", {"steps": 4})
    for solver in IMPLICIT:
        assert "cannot be undone" in str(refusal(Spec(solver), Spec("reversible"), fixed))
        assert "gradient aca" in str(refusal(Spec(solver), Spec("symplectic"), fixed))
    with pytest.raises(OptionError, match="coupled needs a one-step base"):
        registry.solvers.build(Spec.of("coupled", {"base": "kvaerno3"}))
    with pytest.raises(OptionError, match="linear must be one of auto, dense, krylov"):
        registry.solvers.build(Spec.of("kvaerno3", {"linear": "sparse"}))
    with pytest.raises(OptionError, match=r"tolerance must be in \(0, 1\)"):
        registry.solvers.build(Spec.of("kvaerno3", {"tolerance": 0.0}))
    with pytest.raises(OptionError, match="jacobian must be one of autodiff, differences"):
        registry.solvers.build(Spec.of("kvaerno3", {"jacobian": "numpy"}))


def test_second_derivatives_are_refused_with_a_sentence() -> None:
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    ys = odeint(lambda t, y: -y * y, y0, torch.tensor([0.0, 1.0]), method="kvaerno3", options={"dt": 0.5})
    with pytest.raises(Refusal, match="second derivatives through implicit stages"):
        torch.autograd.grad(ys[-1].sum(), y0, create_graph=True)


def test_without_anything_to_differentiate_no_graph_is_begun() -> None:
    y0 = torch.ones(1, 1, dtype=torch.float64)
    assert not odeint(lambda t, y: -y, y0, torch.tensor([0.0, 1.0]), method="kvaerno3").requires_grad


def jump(t: Tensor, y: Tensor) -> Tensor:
    """No solution: y is driven to 0 from either side, and 0 is no rest."""
    return torch.where(y > 0, -torch.ones_like(y), torch.ones_like(y)) * 10


def test_a_stage_without_a_solution_ends_in_a_sentence_and_never_hangs() -> None:
    y0 = torch.full((1, 1), 0.05, dtype=torch.float64)
    with pytest.raises(SolveError, match=r"was not solved.*take smaller steps"):
        run(jump, "implicit_euler", Fixed(steps=3), (0.0, 1.0), y0)
    with pytest.raises(SolveError, match=r"underflowed|steps were tried"):
        run(jump, "kvaerno5", Adaptive(1e-6, 1e-9, max_steps=500), (0.0, 1.0), y0)


def test_a_step_whose_newton_fails_is_rejected_and_taken_smaller() -> None:
    # The implicit Euler step y = y0 + dt·y² has a solution for dt·y0 < 1/4 only.
    y0 = torch.ones(1, 1, dtype=torch.float64)
    got = run(lambda t, y: y * y, "implicit_euler", Adaptive(1e-2, 1e-2, first_step=0.5), (0.0, 0.5), y0)
    assert got.rejected > 0
    assert abs(float(got.ys[-1]) - 2.0) < 0.3
    with pytest.raises(SolveError, match="was not solved"):
        run(lambda t, y: y * y, "implicit_euler", Fixed(steps=1), (0.0, 0.5), y0)


@pytest.mark.parametrize("control", [Fixed(steps=20), Adaptive(1e-6, 1e-9)], ids=repr)
def test_a_field_that_turns_into_nan_is_a_divergence(control: object) -> None:
    y0 = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(Divergence, match=r"not finite just after t = 0\.[45]"):
        run(lambda t, y: -y if t < 0.5 else y * torch.nan, "kvaerno3", control, (0.0, 1.0), y0)


def coupled_rows(t: Tensor, y: Tensor) -> Tensor:
    return -50.0 * (y - y.mean(0, keepdim=True)) - y**3


@pytest.mark.parametrize("differences", [False, True])
def test_rows_that_depend_on_one_another_are_found_out(differences: bool) -> None:
    y0 = torch.linspace(0.5, 2.0, 6, dtype=torch.float64).view(3, 2)
    with torch.no_grad():
        jacobian = linearise(coupled_rows, 0.0, 1.0, y0, "auto", differences).jacobian
        blocks = linearise(lambda t, y: -(y**3), 0.0, 1.0, y0, "auto", differences).jacobian
    true = torch.autograd.functional.jacobian(lambda y: coupled_rows(torch.zeros(()), y), y0).reshape(6, 6)
    assert jacobian.shape == (1, 6, 6)
    assert torch.allclose(jacobian[0], true, rtol=1e-6 if differences else 1e-12)
    assert blocks.shape == (3, 2, 2)
    wanted = run(coupled_rows, "dopri8", Fixed(steps=2000), (0.0, 1.0), y0).ys[-1]
    assert relative(run(coupled_rows, "kvaerno5", Fixed(steps=200), (0.0, 1.0), y0).ys[-1], wanted) < 1e-7


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 2)], ids=str)
def test_states_of_any_shape_are_solved(shape: tuple[int, ...]) -> None:
    y0 = torch.linspace(1.0, 2.0, max(1, torch.Size(shape).numel()), dtype=torch.float64).reshape(shape)
    got = run(lambda t, y: -100 * y, "kvaerno5", Fixed(steps=200), (0.0, 0.1), y0).ys[-1]
    assert torch.allclose(got, y0 * torch.exp(torch.tensor(-10.0, dtype=torch.float64)), rtol=1e-6)


def test_every_sample_of_a_batch_is_solved_as_it_is_alone() -> None:
    many = bound(Spec.of("robertson", {"span": (0.0, 10.0)}), batch=4)
    together = run(many.f, "kvaerno5", Adaptive(1e-7, 1e-13), many.ts, many.y0)
    for row in range(4):
        alone = run(many.f, "kvaerno5", Replay(together.mesh), many.ts, many.y0[row : row + 1])
        assert torch.allclose(alone.ys[-1], together.ys[-1][row : row + 1], rtol=1e-11, atol=0)


def test_a_large_state_is_solved_without_its_jacobian() -> None:
    n = 400  # the heat equation: stiff, and too many columns

    def heat(t: Tensor, y: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(y, (1, 1))
        return (padded[:, 2:] - 2 * y + padded[:, :-2]) * (n + 1) ** 2 * 0.01

    x = torch.arange(1, n + 1, dtype=torch.float64) / (n + 1)
    y0 = torch.sin(torch.pi * x)[None]
    counted = CountedField(heat)
    got = run(counted, "kvaerno3", Fixed(steps=4), (0.0, 0.1), y0)
    rate = 0.04 * (n + 1) ** 2 * torch.sin(torch.tensor(torch.pi / (2 * (n + 1)), dtype=torch.float64)) ** 2
    assert got.last[2].numel() == 0
    assert counted.cotangents == 0
    assert relative(got.ys[-1], y0 * torch.exp(-rate * 0.1)) < 1e-7


def test_float32_is_solved_to_the_digits_it_has() -> None:
    case, wide = bound(Spec("robertson"), dtype="float32"), bound(Spec("robertson"))
    wanted = run(wide.f, "kvaerno5", Adaptive(1e-8, 1e-14), wide.ts, wide.y0).ys[-1]
    got = solve(case, Spec("kvaerno5"), Sweep(StoreAll()), Adaptive(1e-4, 1e-8))
    assert got.ys.dtype == got.gradient.dtype == torch.float32
    assert relative(got.ys[-1].double(), wanted) < 1e-5
    again = solve(case, Spec("kvaerno5"), Direct(), Replay(got.log.mesh))
    assert relative(got.gradient, again.gradient) < 1e-4


def test_the_jacobian_is_kept_from_step_to_step() -> None:
    case = bound(Spec("robertson"))
    counted = CountedField(case.f)
    got = run(counted, "kvaerno5", Adaptive(1e-5, 1e-10), case.ts, case.y0)
    stages = 6 * (len(got.mesh) + got.rejected)
    assert counted.cotangents % 3 == 0
    assert counted.cotangents / 3 < 0.4 * stages


def test_a_looser_newton_costs_less_and_says_so_in_its_error() -> None:
    case = bound(Spec.of("brusselator", {"span": (0.0, 2.0)}))
    counts, ends = [], []
    for options in ({}, {"tolerance": 1e-6}):
        counted = CountedField(case.f)
        ends.append(run(counted, Spec.of("kvaerno3", options), Fixed(steps=40), case.ts, case.y0).ys[-1])
        counts.append(counted.calls)
    assert counts[1] < 0.8 * counts[0]
    assert 0 < relative(ends[1], ends[0]) < 1e-4


class Instrumented(torch.nn.Module):
    """Calls and cotangents by means of its own: an autograd function around a linear field."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor([[-100.0, 1.0], [0.0, -1.0]], dtype=torch.float64))
        self.calls = self.cotangents = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        return Seen.apply(y @ self.matrix.T, self)  # type: ignore[no-any-return,no-untyped-call]


class Seen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, owner):  # type: ignore[no-untyped-def]
        ctx.owner = owner
        return x.clone()

    @staticmethod
    def backward(ctx, bar):  # type: ignore[no-untyped-def]
        ctx.owner.cotangents += 1
        return bar, None


@pytest.mark.parametrize("gradient", [*GRADIENTS, Backsolve()], ids=repr)
@pytest.mark.parametrize("linear", ["dense", "krylov"])
def test_counts_are_those_of_an_instrumented_field(gradient: object, linear: str) -> None:
    f = Instrumented()
    y0 = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    case = Bound(f, (f.matrix,), y0, (0.0, 1.0), lambda ys: ys[-1].square().sum())
    stepper = registry.solvers.build(Spec.of("kvaerno3", {"linear": linear}))
    trial = TorchTrial(NativePair(case, stepper, gradient, Fixed(steps=5)), f)  # type: ignore[arg-type]
    counts = count(trial)
    assert counts.nfe_forward + counts.nfe_backward == f.calls
    assert counts.vjp_forward is not None
    second = isinstance(gradient, Backsolve) and linear == "dense"  # what passes twice is counted by its hooks alone
    assert second or counts.vjp_forward + counts.vjp_backward == f.cotangents
    # One Jacobian of two columns and one product that shows the samples to be independent: the field is linear.
    assert counts.vjp_forward == (3 if linear == "dense" else 0)
    assert counts.metrics()["work"] == counts.nfe_forward + counts.nfe_backward + 2 * counts.vjp_backward


def test_an_explicit_scheme_passes_no_cotangent_forward() -> None:
    case = mlp()
    pair = NativePair(case, registry.solvers.build(Spec("rk4")), Direct(), Fixed(steps=5))
    assert count(TorchTrial.of(pair)).vjp_forward == 0
