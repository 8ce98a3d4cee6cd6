"""torchdiffeq as a peer: the same mesh, the same numbers, counted; refusals; what it does its own way."""

from __future__ import annotations

import pytest

pytest.importorskip("torchdiffeq")

import torch
from ode_peer_solves import (
    ADAPTIVE,
    TIGHT,
    Broken,
    CountingField,
    Forced,
    gradient_of,
    modules_after_importing,
    native,
    posed,
    relative,
    small,
)

from odebench.controllers import Fixed
from odebench.errors import Divergence, Refusal, SolveError
from odebench.peers import torchdiffeq as peer
from odebench.spec import Spec

FIXED = Spec.of("fixed", {"steps": 12})
TWINS = [(name, method.twin) for name, method in peer.METHODS.items() if method.twin and method.fixed]
GRADIENTS = [Spec("direct"), Spec("adjoint")]
PAIRS = [
    pytest.param(name, gradient, stepping, id=f"{name}-{gradient}-{stepping.name}")
    for name in peer.METHODS
    for gradient in GRADIENTS
    for stepping in (FIXED, ADAPTIVE)
    if peer.refusal(name, gradient, stepping, saves=2, dtype="float64", device="cpu") is None
]
quietly = pytest.mark.filterwarnings("ignore:Functional iteration did not converge")


def test_every_method_of_the_installed_release_is_there_with_its_order() -> None:
    from torchdiffeq._impl.odeint import SOLVERS

    assert list(peer.METHODS) == list(SOLVERS)
    for name, solver in SOLVERS.items():
        if hasattr(solver, "order"):
            assert peer.METHODS[name].order == solver.order


def test_importing_the_adapter_imports_neither_torch_nor_the_library() -> None:
    assert not modules_after_importing("odebench.peers.torchdiffeq") & {"torch", "torchdiffeq", "jax", "numpy"}


@pytest.mark.parametrize(("name", "twin"), TWINS)
@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
@pytest.mark.parametrize(("saves", "backwards"), [(1, False), (4, True)])
@pytest.mark.parametrize("problem", ["mlp", "lotka_volterra"])
def test_on_a_fixed_mesh_solution_and_gradient_are_the_twins(
    problem: str, saves: int, backwards: bool, gradient: str, name: str, twin: str
) -> None:
    bound = small(problem, saves, backwards)
    ys = peer.solve(name, Spec(gradient), FIXED, bound, bound.f)
    reference = native(bound, twin, gradient, Fixed(steps=12))
    assert ys.dtype == torch.float64
    assert ys.shape == reference.shape
    assert relative(ys, reference) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


@pytest.mark.parametrize(("name", "twin"), [("rk4", "rk38"), ("dopri5", "dopri5")])
@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
def test_a_mesh_with_shorter_steps_before_saved_times_is_kept(gradient: str, name: str, twin: str) -> None:
    bound = small("lotka_volterra", saves=2)
    ys = peer.solve(name, Spec(gradient), Spec.of("fixed", {"dt": 0.15}), bound, bound.f)
    reference = native(bound, twin, gradient, Fixed(dt=0.15))
    assert relative(ys, reference) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


@pytest.mark.parametrize("name", ["rk4", "dopri5"])
def test_f_gets_its_time_also_where_time_decreases(name: str) -> None:
    bound = posed(Forced(), (1.0, 0.25, -0.5))
    for gradient in ("direct", "adjoint"):
        ys = peer.solve(name, Spec(gradient), FIXED, bound, bound.f)
        reference = native(bound, peer.METHODS[name].twin or "", gradient, Fixed(steps=12))
        assert relative(ys, reference) <= 1e-12
        assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


def test_adaptive_heun_and_fehlberg2_have_no_twin_since_they_reuse_a_slope_that_is_not_the_solutions() -> None:
    bound = small("mlp")
    ys = peer.solve("adaptive_heun", Spec("direct"), FIXED, bound, bound.f)
    assert relative(ys, native(bound, "heun", "direct", Fixed(steps=12))) > 1e-5
    finer = peer.solve("adaptive_heun", Spec("direct"), Spec.of("fixed", {"steps": 24}), bound, bound.f)
    truth = native(bound, "dopri8", "direct", TIGHT)
    assert 3.0 < relative(ys, truth) / relative(finer, truth) < 5.0  # second order nevertheless


@quietly
@pytest.mark.parametrize(("name", "gradient", "stepping"), PAIRS)
def test_every_accepted_pair_runs_counts_and_comes_near_the_truth(name: str, gradient: Spec, stepping: Spec) -> None:
    bound = small("lotka_volterra", saves=2)
    counted = CountingField(bound.f)
    ys = peer.solve(name, gradient, stepping, bound, counted)
    forward = counted.calls
    found = gradient_of(bound, ys)
    truth = native(bound, "dopri8", "direct", TIGHT)
    near = 0.2 if name == "euler" else 0.05
    assert relative(ys, truth) < near
    assert relative(found, gradient_of(bound, truth)) < near
    backward = counted.calls - forward
    if gradient.name == "direct":
        assert backward == 0
        assert 0 < counted.cotangents <= forward
    else:
        assert counted.cotangents == backward > 0
    told = peer.reported(name, gradient, stepping, bound, bound.f)
    _compare_counts(name, stepping, told, forward, backward)


def _compare_counts(name: str, stepping: Spec, told: dict[str, int], forward: int, backward: int) -> None:
    """Steps told, times stages, are the evaluations counted; 2 intervals were solved back."""
    stages = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
    later = {"dopri8": 13, "dopri5": 6, "bosh3": 3, "fehlberg2": 2, "adaptive_heun": 1}
    if name == "scipy_solver":
        assert told == {}
        return
    trials = told["steps"] + told["rejected"]
    trials_back = told.get("steps_backward", 0) + told.get("rejected_backward", 0)
    if stepping.name == "fixed":
        assert trials == 12
    if name in stages:
        assert (forward, backward) == (stages[name] * trials, stages[name] * trials_back)
    elif name in later:
        start = 1 if stepping.name == "fixed" else 2  # the slope at t0, and the probe of the first step
        assert forward == start + later[name] * trials
        assert backward == (2 * start + later[name] * trials_back if trials_back else 0)


def test_float32_stays_float32() -> None:
    bound = small("mlp", saves=2, dtype="float32")
    for name in ("rk4", "dopri5"):
        ys = peer.solve(name, Spec("adjoint"), FIXED, bound, bound.f)
        assert ys.dtype == torch.float32
        assert relative(ys, native(bound, peer.METHODS[name].twin or "", "adjoint", Fixed(steps=12))) < 1e-5


def test_the_first_step_is_taped_so_that_the_direct_gradient_changes_when_it_is_given() -> None:
    bound, tolerances = small("lotka_volterra"), {"rtol": 1e-2, "atol": 1e-4}
    steps: list[float] = []

    class Watched(CountingField):
        def callback_accept_step(self, t0: torch.Tensor, y0: torch.Tensor, dt: torch.Tensor) -> None:
            steps.append(float(dt.detach()))

    ys = peer.solve("dopri5", Spec("direct"), Spec.of("adaptive", tolerances), bound, Watched(bound.f))
    given = Spec.of("adaptive", {**tolerances, "first_step": steps[0]})
    same = peer.solve("dopri5", Spec("direct"), given, bound, bound.f)
    assert relative(ys, same) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, same)) > 1e-6
    assert "first step is chosen inside the tape" in peer.NOTE


@pytest.mark.parametrize(
    ("name", "gradient", "stepping", "saves", "says"),
    [
        ("rk4", "direct", ADAPTIVE, 1, "estimates no error"),
        ("scipy_solver", "direct", ADAPTIVE, 1, "leaves autograd"),
        ("scipy_solver", "adjoint", FIXED, 1, "chooses its own steps"),
        ("scipy_solver", "adjoint", Spec.of("adaptive", {"rtol": 1e-3, "safety": 0.8}), 1, "not safety"),
        ("dopri5", "recursive", ADAPTIVE, 1, "no `recursive` gradient"),
        ("dopri5", "direct", Spec.of("adaptive", {"controller": "pi"}), 1, "I controller only"),
        ("rk4", "direct", FIXED, 5, "make steps a multiple of 5"),
    ],
)
def test_what_it_lacks_is_refused_in_a_sentence(
    name: str, gradient: str, stepping: Spec, saves: int, says: str
) -> None:
    refused = peer.refusal(name, Spec(gradient), stepping, saves=saves, dtype="float64", device="cpu")
    assert refused is not None
    assert says in refused
    assert "\n" not in refused


@pytest.mark.parametrize("name", ["explicit_adams", "implicit_adams", "fixed_adams"])
def test_adams_methods_refuse_unequal_steps(name: str) -> None:
    bound = small("lotka_volterra")
    with pytest.raises(Refusal, match="takes all steps for equal"):
        peer.solve(name, Spec("direct"), Spec.of("fixed", {"dt": 0.15}), bound, bound.f)


def test_a_step_limit_is_a_solve_error_and_a_field_without_values_a_divergence() -> None:
    bound = small("lotka_volterra")
    limited = Spec.of("adaptive", {"rtol": 1e-8, "atol": 1e-8, "max_steps": 2})
    with pytest.raises(SolveError, match="max_num_steps"):
        peer.solve("dopri5", Spec("direct"), limited, bound, bound.f)
    broken = posed(Broken())
    for stepping in (ADAPTIVE, FIXED):
        with pytest.raises(Divergence):
            peer.solve("dopri5", Spec("direct"), stepping, broken, broken.f)


def test_an_assertion_on_the_way_back_can_be_told_as_a_solve_error() -> None:
    bound = small("lotka_volterra")
    told = peer.reported("dopri5", Spec("adjoint"), ADAPTIVE, bound, bound.f)
    assert told["steps_backward"] > told["steps"]
    limited = Spec.of("adaptive", {**dict(ADAPTIVE.options), "max_steps": told["steps"] + told["rejected"]})
    ys = peer.solve("dopri5", Spec("adjoint"), limited, bound, bound.f)
    with pytest.raises(AssertionError) as raised:
        gradient_of(bound, ys)
    assert "max_num_steps" in str(peer.fault(raised.value))


def test_a_prepared_solve_can_be_called_again() -> None:
    bound = small("mlp")
    prepared = peer.prepare("dopri5", Spec("adjoint"), FIXED, bound, bound.f)
    first, again = prepared(), prepared()
    assert torch.equal(first, again)
    assert torch.equal(gradient_of(bound, first), gradient_of(bound, again))


@pytest.mark.cuda
@pytest.mark.parametrize("stepping", [FIXED, ADAPTIVE], ids=str)
@pytest.mark.parametrize("name", ["rk4", "dopri5", "implicit_adams"])
def test_it_runs_on_a_gpu(name: str, stepping: Spec) -> None:
    from odebench.problems import bind

    bound = bind(Spec.of("mlp", {"saves": 2}), batch=3, seed=0, dtype="float64", device="cuda")
    for gradient in GRADIENTS:
        if peer.refusal(name, gradient, stepping, saves=2, dtype="float64", device="cuda") is None:
            ys = peer.solve(name, gradient, stepping, bound, bound.f)
            assert bool(torch.isfinite(gradient_of(bound, ys)).all())
