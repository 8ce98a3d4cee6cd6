from __future__ import annotations

from dataclasses import replace
from math import log2

import pytest

pytest.importorskip("torch")
library = pytest.importorskip("torchsde")

import torch  # noqa: E402
from peer_pair import adaptive, fixed, forced, gap, imported_with, native, peer, posed, truth  # noqa: E402
from torchsde.settings import METHODS as OFFERED  # noqa: E402

from odebench.controllers import Fixed  # noqa: E402
from odebench.errors import Divergence, Refusal  # noqa: E402
from odebench.peers import torchsde as adapter  # noqa: E402
from odebench.peers.torchsde import GRADIENTS, METHODS, refusal, reported, solve, step_length  # noqa: E402
from odebench.spec import Spec  # noqa: E402

TWINS = [(method, known.twin) for method, known in METHODS.items() if known.twin]
# Evaluations of f per step; reversible_heun makes one more at the start, and all make one to check shapes.
STAGES = dict.fromkeys(METHODS, 2) | {"euler": 1, "milstein": 1, "euler_heun": 1, "srk": 3, "reversible_heun": 1}


def asked(method: str, gradient: str, stepping: Spec, saves: int = 1) -> str | None:
    return refusal(method, Spec(gradient), stepping, saves=saves, dtype="float64", device="cpu")


def test_its_methods_are_those_that_the_installed_release_offers() -> None:
    assert {*METHODS, "adjoint_reversible_heun"} == set(OFFERED.all())


def test_importing_the_adapter_loads_neither_torch_nor_the_library() -> None:
    assert imported_with("odebench.peers.torchsde", "torch", "torchsde", "numpy") == []


@pytest.mark.parametrize("problem", ["mlp", "lotka_volterra"])
@pytest.mark.parametrize(("method", "twin"), TWINS)
def test_on_a_mesh_it_gives_the_twins_solution_and_direct_gradient(method: str, twin: str, problem: str) -> None:
    ys, gradient, *_ = peer(adapter, method, "direct", fixed(20), posed(problem, saves=2))
    expected, exact = native(twin, "direct", fixed(20), posed(problem, saves=2))
    assert gap(ys, expected) < 1e-12
    assert gap(gradient, exact) < 1e-10


@pytest.mark.parametrize("steps", [10, 30, 64])
@pytest.mark.parametrize("problem", ["mlp", "lotka_volterra"])
def test_reversible_gradients_are_exact_also_where_steps_are_no_binary_fractions(problem: str, steps: int) -> None:
    _, gradient, *_ = peer(adapter, "reversible_heun", "reversible", fixed(steps), posed(problem, saves=2))
    _, exact = native("reversible_heun", "direct", fixed(steps), posed(problem, saves=2))
    assert gap(gradient, exact) < 1e-10


def test_the_library_left_alone_is_still_wrong_at_a_step_of_a_tenth() -> None:
    bound = posed("mlp", span=(0.0, 1.0))
    sde = adapter._Still(bound.f, bound.y0.new_zeros(3, 5, 0), "stratonovich")
    ys = library.sdeint_adjoint(
        sde, bound.y0, list(bound.ts), method="reversible_heun", adjoint_params=bound.params, dt=0.1
    )
    found = torch.autograd.grad(ys.square().sum(), (bound.y0, *bound.params))
    _, exact = native("reversible_heun", "direct", fixed(10), posed("mlp", span=(0.0, 1.0)))
    assert gap(torch.cat([x.reshape(-1) for x in found]), exact) > 1e-9


@pytest.mark.parametrize(("method", "twin"), [pair for pair in TWINS if pair[0] != "reversible_heun"])
def test_its_adjoint_on_a_mesh_is_the_twins(method: str, twin: str) -> None:
    _, gradient, *_ = peer(adapter, method, "adjoint", fixed(20), posed("mlp", saves=2))
    assert gap(gradient, native(twin, "adjoint", fixed(20), posed("mlp", saves=2))[1]) < 1e-10


def test_the_adjoint_of_reversible_heun_goes_back_by_midpoint_and_is_close_to_the_truth_only() -> None:
    _, gradient, *_ = peer(adapter, "reversible_heun", "adjoint", fixed(64), posed("mlp"))
    assert 1e-10 < gap(gradient, truth(posed("mlp"))[1]) < 1e-3


def test_srk_without_noise_is_a_second_order_scheme_of_its_own() -> None:
    exact = truth(posed("lotka_volterra"))[0][-1]
    errors = [gap(peer(adapter, "srk", "direct", fixed(n), posed("lotka_volterra"))[0][-1], exact) for n in (20, 40)]
    assert log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("stepping", [fixed(12), adaptive(1e-3)], ids=str)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", METHODS)
def test_every_pair_runs_or_is_refused_with_a_sentence(method: str, gradient: str, stepping: Spec) -> None:
    why = asked(method, gradient, stepping)
    if why is not None:
        assert "torchsde" in why
        return
    ys, found, *_ = peer(adapter, method, gradient, stepping, posed("mlp"))
    assert torch.isfinite(ys).all()
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
@pytest.mark.parametrize("method", ["heun", "midpoint", "log_ode", "srk", "reversible_heun"])
def test_adaptive_steps_come_close_to_the_truth(method: str, gradient: str) -> None:
    exact, slope = truth(posed("mlp"))
    ys, found, *_ = peer(adapter, method, gradient, adaptive(1e-5), posed("mlp"))
    assert gap(ys, exact) < 1e-3
    assert gap(found, slope) < 1e-2


@pytest.mark.parametrize("method", METHODS)
def test_evaluations_are_its_stages_and_one_to_check_shapes(method: str) -> None:
    *_, forward, backward = peer(adapter, method, "direct", fixed(10), posed("mlp"))
    assert (forward, backward) == (10 * STAGES[method] + 1 + (method == "reversible_heun"), 0)
    bound = posed("mlp")
    assert reported(method, Spec("direct"), fixed(10), bound, bound.f) == {}


def test_the_way_back_of_reversible_heun_costs_two_evaluations_a_step() -> None:
    assert peer(adapter, "reversible_heun", "reversible", fixed(10), posed("mlp"))[2:] == (12, 20)


@pytest.mark.parametrize("ts", [(0.0, 1.0), (0.0, 0.3, 0.6), (-1.0, 1.0), (1000.0, 1001.0), (0.0, 20.0)])
@pytest.mark.parametrize("steps", [2, 10, 70, 1000])
def test_a_step_is_lengthened_by_roundings_alone(ts: tuple[float, ...], steps: int) -> None:
    dt = step_length(Fixed(steps=steps), ts)
    assert dt is not None
    largest = max(abs(t) for t in ts)
    assert 0 <= dt - (ts[-1] - ts[0]) / steps <= 1e-14 * largest


def test_a_shorter_last_step_is_taken_forward_and_refused_to_reversible() -> None:
    uneven = Spec.of("fixed", {"dt": 0.3})
    ys, found, *_ = peer(adapter, "reversible_heun", "direct", uneven, posed("mlp"))
    expected, exact = native("reversible_heun", "direct", uneven, posed("mlp"))
    assert gap(ys, expected) < 1e-12
    assert gap(found, exact) < 1e-10
    with pytest.raises(Refusal, match="shorter step"):
        peer(adapter, "reversible_heun", "reversible", uneven, posed("mlp"))
    with pytest.raises(Refusal, match="saved times"):
        peer(adapter, "heun", "direct", uneven, posed("mlp", saves=2))


def test_refusals_say_what_to_do() -> None:
    assert "no `aca` gradient" in str(asked("euler", "aca", fixed(4)))
    assert "reversible_heun" in str(asked("midpoint", "reversible", fixed(4)))
    assert "use `fixed`" in str(asked("reversible_heun", "reversible", adaptive(1e-3)))
    assert "linearly" in str(asked("heun", "direct", adaptive(1e-3), saves=2))
    assert "controller" in str(asked("heun", "direct", Spec.of("adaptive", {"controller": "pi"})))
    assert "multiple of 3" in str(asked("heun", "direct", fixed(4), saves=3))
    with pytest.raises(Refusal, match="forward in time"):
        peer(adapter, "heun", "direct", fixed(4), posed("mlp", span=(1.0, 0.0)))


@pytest.mark.parametrize(
    ("method", "gradient"), [("heun", "direct"), ("midpoint", "adjoint"), ("reversible_heun", "reversible")]
)
def test_a_field_that_depends_on_time_is_met_at_the_right_times(method: str, gradient: str) -> None:
    ts = (0.3, 1.2)
    ys, found, *_ = peer(adapter, method, gradient, fixed(30), forced(ts))
    expected, exact = native(method, gradient, fixed(30), forced(ts))
    assert gap(ys, expected) < 1e-12
    assert gap(found, exact) < 1e-10


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_states_of_more_axes_come_back_in_their_shape_and_dtype(gradient: str) -> None:
    bound = posed("conv", dtype="float32", size=4)
    ys, found, *_ = peer(adapter, "reversible_heun", gradient, fixed(8), bound)
    assert ys.shape == (2, *bound.y0.shape)
    assert ys.dtype == torch.float32
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_field_without_parameters_has_a_gradient_in_the_start(gradient: str) -> None:
    bound = forced((0.0, 1.0))
    bound.f.requires_grad_(False)
    bound = replace(bound, params=())
    _, found, *_ = peer(adapter, "reversible_heun", gradient, fixed(8), bound)
    assert found.numel() == bound.y0.numel()


def test_a_state_that_is_not_finite_diverges() -> None:
    bound = forced((0.0, 1.0))
    with torch.no_grad():
        bound.params[0].fill_(float("nan"))
    with pytest.raises(Divergence):
        solve("heun", Spec("direct"), adaptive(1e-3), bound, bound.f)
