"""torchode as a peer: the same mesh, the same numbers, counted; refusals; what it does its own way."""

from __future__ import annotations

import pytest

pytest.importorskip("torchode")

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

from odebench.controllers import Adaptive, Fixed
from odebench.errors import Divergence, Refusal, SolveError
from odebench.peers import torchode as peer
from odebench.spec import Spec

FIXED = Spec.of("fixed", {"steps": 12})
WAYS = [("direct", True), ("adjoint", True), ("adjoint", False)]  # gradient, joint
way = pytest.mark.parametrize(("gradient", "joint"), WAYS, ids=["direct", "joint backsolve", "backsolve"])
stages = {"euler": 1, "heun": 2, "dopri5": 6, "tsit5": 6}


def test_every_method_of_the_installed_release_is_there_with_its_order() -> None:
    from torchode import single_step_methods
    from torchode.interface import METHODS

    offered = {name.lower(): each for name, each in vars(single_step_methods).items() if hasattr(each, "TABLEAU")}
    offered["euler"] = single_step_methods.Euler
    assert set(peer.METHODS) == set(offered) == {*METHODS, "euler"}
    for name, each in offered.items():
        assert peer.METHODS[name].order == each(None).convergence_order()


def test_every_gradient_of_the_installed_release_is_used() -> None:
    from torchode import adjoints

    offered = {name for name in vars(adjoints) if name.endswith("Adjoint")} - {"Adjoint"}
    assert all(name in " ".join(peer.GRADIENTS.values()) for name in offered)


def test_importing_the_adapter_imports_neither_torch_nor_the_library() -> None:
    assert not modules_after_importing("odebench.peers.torchode") & {"torch", "torchode", "jax", "numpy"}


@pytest.mark.parametrize("name", peer.METHODS)
@way
@pytest.mark.parametrize(("saves", "backwards"), [(1, False), (4, True)])
@pytest.mark.parametrize("problem", ["mlp", "lotka_volterra"])
def test_on_a_fixed_mesh_solution_and_gradient_are_the_twins(
    problem: str, saves: int, backwards: bool, gradient: str, joint: bool, name: str
) -> None:
    bound = small(problem, saves, backwards)
    ys = peer.solve(name, Spec(gradient), FIXED, bound, bound.f, joint=joint)
    reference = native(bound, peer.METHODS[name].twin or "", gradient, Fixed(steps=12))
    assert ys.dtype == torch.float64
    assert ys.shape == reference.shape
    assert relative(ys, reference) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


@way
def test_states_of_any_shape_go_in_and_out(gradient: str, joint: bool) -> None:
    bound = small("conv", saves=2)
    ys = peer.solve("dopri5", Spec(gradient), FIXED, bound, bound.f, joint=joint)
    reference = native(bound, "dopri5", gradient, Fixed(steps=12))
    assert relative(ys, reference) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


@way
@pytest.mark.parametrize("stepping", [FIXED, ADAPTIVE], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("name", peer.METHODS)
def test_every_accepted_pair_runs_counts_and_comes_near_the_truth(
    name: str, stepping: Spec, gradient: str, joint: bool
) -> None:
    if peer.refusal(name, Spec(gradient), stepping, saves=2, dtype="float64", device="cpu", joint=joint):
        assert (name, stepping) == ("euler", ADAPTIVE)
        return
    bound = small("lotka_volterra", saves=2)
    counted = CountingField(bound.f)
    ys = peer.solve(name, Spec(gradient), stepping, bound, counted, joint=joint)
    forward = counted.calls
    found = gradient_of(bound, ys)
    truth = native(bound, "dopri8", "direct", TIGHT)
    near = 0.2 if name == "euler" else 0.02
    assert relative(ys, truth) < near
    assert relative(found, gradient_of(bound, truth)) < near
    backward = counted.calls - forward
    told = peer.reported(name, Spec(gradient), stepping, bound, bound.f, joint=joint)
    assert told["nfe_forward"] == forward
    if gradient == "direct":
        assert backward == 0
        assert 0 < counted.cotangents <= forward
        return
    assert counted.cotangents == backward > 0
    start = (0 if name in ("euler", "heun") else 1) if stepping == FIXED else 2
    trials = told["steps_backward"] + told["rejected_backward"]
    assert backward == 2 * start + stages[name] * trials  # two intervals were solved back
    # BacksolveAdjoint goes round the library's own counter on the way back.
    assert told["nfe_backward"] == (backward if joint else 0)


@pytest.mark.parametrize("steps", [3, 7, 10, 49, 100, 1000])
@pytest.mark.parametrize("span", [(0.0, 1.0), (0.1, 0.7), (20.0, 0.0)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_sliver_of_a_step_follows_the_last(dtype: str, span: tuple[float, float], steps: int) -> None:
    bound = posed(Forced().to(getattr(torch, dtype)), span, batch=1)
    y0 = bound.y0.detach().to(getattr(torch, dtype)).requires_grad_()
    bound = type(bound)(bound.f, bound.params, y0, bound.ts, bound.loss)
    told = peer.reported("euler", Spec("adjoint"), Spec.of("fixed", {"steps": steps}), bound, bound.f)
    assert (told["steps"], told["steps_backward"]) == (steps, steps)


@pytest.mark.parametrize(("span", "steps"), [((0.1, 0.7), 1), ((-0.1, 0.3), 3)])
def test_a_sliver_that_rounding_of_the_ends_forces_is_taken_and_counted(span: tuple[float, float], steps: int) -> None:
    bound = small("lotka_volterra", dtype="float32")
    bound = type(bound)(bound.f, bound.params, bound.y0, span, bound.loss)
    stepping = Spec.of("fixed", {"steps": steps})
    told = peer.reported("euler", Spec("adjoint"), stepping, bound, bound.f)
    assert told["steps"] + told["steps_backward"] == 2 * steps + 1
    ys = peer.solve("euler", Spec("adjoint"), stepping, bound, bound.f)
    reference = native(bound, "euler", "adjoint", Fixed(steps=steps))
    assert relative(ys, reference) < 1e-6
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) < 1e-5


def test_a_shorter_last_step_is_taken_and_one_before_a_saved_time_is_refused() -> None:
    stepping = Spec.of("fixed", {"dt": 0.15})
    bound = small("lotka_volterra")
    ys = peer.solve("dopri5", Spec("direct"), stepping, bound, bound.f)
    assert relative(ys, native(bound, "dopri5", "direct", Fixed(dt=0.15))) <= 1e-12
    bound = small("lotka_volterra", saves=2)
    with pytest.raises(Refusal, match="do not shorten before a saved time"):
        peer.solve("dopri5", Spec("direct"), stepping, bound, bound.f)


@way
def test_a_field_that_reads_time_gets_it_on_a_fixed_mesh(gradient: str, joint: bool) -> None:
    bound = posed(Forced(), (1.0, 0.25, -0.5))
    ys = peer.solve("dopri5", Spec(gradient), FIXED, bound, bound.f, joint=joint)
    reference = native(bound, "dopri5", gradient, Fixed(steps=12))
    assert relative(ys, reference) <= 1e-12
    assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


def test_a_field_that_reads_time_is_refused_only_where_samples_step_for_themselves() -> None:
    bound = posed(Forced())
    for gradient, joint in (("direct", True), ("adjoint", False)):
        with pytest.raises(Refusal, match="steps every sample for itself"):
            peer.solve("dopri5", Spec(gradient), ADAPTIVE, bound, bound.f, joint=joint)
    truth = native(bound, "dopri8", "direct", TIGHT)
    together = peer.solve("dopri5", Spec("adjoint"), ADAPTIVE, bound, bound.f)
    assert relative(together, truth) < 1e-4
    alone = posed(Forced(), batch=1)
    ys = peer.solve("dopri5", Spec("direct"), ADAPTIVE, alone, alone.f)
    assert relative(ys, native(alone, "dopri8", "direct", TIGHT)) < 1e-4


def test_a_field_that_branches_on_time_is_found_out_too() -> None:
    from odebench.peers.torchode_field import reads_time

    class Switched(Forced):
        def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return y if float(t.detach()) < 0.2 else -y

    assert reads_time(posed(Switched()))
    assert not reads_time(small("lotka_volterra"))


def test_each_sample_steps_for_itself_with_direct_and_all_together_with_the_joint_adjoint() -> None:
    bound = small("lotka_volterra", batch=8)
    apart = peer.prepare("dopri5", Spec("direct"), ADAPTIVE, bound, bound.f).solved()[1]["n_steps"]
    together = peer.prepare("dopri5", Spec("adjoint"), ADAPTIVE, bound, bound.f).solved()[1]["n_steps"]
    assert apart.shape == (8,)
    assert together.shape == (1,)


def test_controllers_are_odebenchs_own() -> None:
    bound = small("lotka_volterra", batch=1)
    for controller in ("i", "pi", "pid"):
        options = {"rtol": 1e-8, "atol": 1e-8, "first_step": 0.01, "controller": controller}
        ys = peer.solve("tsit5", Spec("direct"), Spec.of("adaptive", options), bound, bound.f)
        reference = native(bound, "tsit5", "direct", Adaptive(**options))  # type: ignore[arg-type]
        assert relative(ys, reference) <= 1e-12
        assert relative(gradient_of(bound, ys), gradient_of(bound, reference)) <= 1e-10


@way
def test_float32_stays_float32(gradient: str, joint: bool) -> None:
    bound = small("mlp", saves=2, dtype="float32")
    for stepping in (FIXED, ADAPTIVE):
        ys = peer.solve("dopri5", Spec(gradient), stepping, bound, bound.f, joint=joint)
        assert ys.dtype == torch.float32
        assert relative(ys, native(bound, "dopri5", gradient, Fixed(steps=12))) < 1e-4
        assert relative(gradient_of(bound, ys), gradient_of(bound, native(bound, "dopri5", gradient, TIGHT_32))) < 1e-3


TIGHT_32 = Adaptive(rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "gradient", "stepping", "options", "says"),
    [
        ("dopri5", "recursive", FIXED, {}, "no checkpointing"),
        ("euler", "direct", ADAPTIVE, {}, "estimates no error"),
        ("dopri5", "direct", FIXED, {"joint": False}, "goes with `adjoint` only"),
        ("dopri5", "direct", FIXED, {"saves": 5}, "make steps a multiple of 5"),
        ("dopri5", "adjoint", FIXED, {"dtype": "bfloat16"}, "too coarse"),
    ],
)
def test_what_it_lacks_is_refused_in_a_sentence(
    name: str, gradient: str, stepping: Spec, options: dict[str, object], says: str
) -> None:
    asked: dict[str, object] = {"saves": 1, "dtype": "float64", "device": "cpu", **options}
    refused = peer.refusal(name, Spec(gradient), stepping, **asked)  # type: ignore[arg-type]
    assert refused is not None
    assert says in refused
    assert "\n" not in refused


def test_a_status_that_torchode_only_returns_is_raised_forward_and_on_the_way_back() -> None:
    bound = small("lotka_volterra")
    for joint in (True, False):
        told = peer.reported("dopri5", Spec("adjoint"), ADAPTIVE, bound, bound.f, joint=joint)
        tried = told["steps"] + told["rejected"]
        assert told["steps_backward"] > tried
        limited = Spec.of("adaptive", {**dict(ADAPTIVE.options), "max_steps": tried})
        ys = peer.solve("dopri5", Spec("adjoint"), limited, bound, bound.f, joint=joint)
        with pytest.raises(SolveError, match=r"on the way back: .*REACHED_MAX_STEPS"):
            gradient_of(bound, ys)
        fewer = Spec.of("adaptive", {**dict(ADAPTIVE.options), "max_steps": tried - 1})
        with pytest.raises(SolveError, match="REACHED_MAX_STEPS"):
            peer.solve("dopri5", Spec("adjoint"), fewer, bound, bound.f, joint=joint)


@way
def test_a_field_without_values_is_a_divergence(gradient: str, joint: bool) -> None:
    bound = posed(Broken(), batch=1)
    with pytest.raises(Divergence):
        peer.solve("dopri5", Spec(gradient), ADAPTIVE, bound, bound.f, joint=joint)


def test_a_frozen_parameter_is_refused_to_the_adjoints_and_no_matter_to_direct() -> None:
    f = Forced()
    f.w.requires_grad_(False)
    bound = posed(f)
    bound = type(bound)(f, (f.a,), bound.y0, bound.ts, bound.loss)
    with pytest.raises(Refusal, match="every parameter of f"):
        peer.solve("dopri5", Spec("adjoint"), FIXED, bound, f)
    gradient_of(bound, peer.solve("dopri5", Spec("direct"), FIXED, bound, f))


def test_backsolve_holds_an_adjoint_of_every_parameter_for_every_sample() -> None:
    from odebench.measure.weigh import allocations

    bound = small("mlp", batch=64)
    peaks = []
    for joint in (True, False):
        prepared = peer.prepare("dopri5", Spec("adjoint"), FIXED, bound, bound.f, joint=joint)
        live = peak = 0
        for size in allocations(lambda prepared=prepared: gradient_of(bound, prepared())):  # type: ignore[misc]
            live += size
            peak = max(peak, live)
        peaks.append(peak)
    assert peaks[1] > 5 * peaks[0]


def test_a_prepared_solve_can_be_called_again() -> None:
    bound = small("mlp")
    for gradient, joint in WAYS:
        prepared = peer.prepare("dopri5", Spec(gradient), ADAPTIVE, bound, bound.f, joint=joint)
        first, again = prepared(), prepared()
        assert torch.equal(first, again)
        assert torch.equal(gradient_of(bound, first), gradient_of(bound, again))


@pytest.mark.cuda
@way
@pytest.mark.parametrize("stepping", [FIXED, ADAPTIVE], ids=["fixed", "adaptive"])
def test_it_runs_on_a_gpu(stepping: Spec, gradient: str, joint: bool) -> None:
    from odebench.problems import bind

    bound = bind(Spec.of("mlp", {"saves": 2}), batch=3, seed=0, dtype="float64", device="cuda")
    ys = peer.solve("dopri5", Spec(gradient), stepping, bound, bound.f, joint=joint)
    assert bool(torch.isfinite(gradient_of(bound, ys)).all())
