from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")  # which TorchDiffEqPack needs and does not declare
pack = pytest.importorskip("TorchDiffEqPack")

import torch  # noqa: E402
from peer_pair import adaptive, fixed, forced, gap, imported_with, native, peer, posed, truth  # noqa: E402

from odebench import registry  # noqa: E402
from odebench.errors import Refusal  # noqa: E402
from odebench.integrate import timed  # noqa: E402
from odebench.peers import torchdiffeqpack as adapter  # noqa: E402
from odebench.peers.torchdiffeqpack import GRADIENTS, METHODS, refusal, reported  # noqa: E402
from odebench.spec import Spec  # noqa: E402

ALF = ("sym12async", "fixedstep_sym12async")
TWINS = [(method, known.twin) for method, known in METHODS.items() if known.twin]
MESHED = [(method, twin) for method, twin in TWINS if METHODS[method].fixed and method != "Dopri5"]
STAGES = {"RK12": 2, "RK23": 4, "Dopri5": 7}


def asked(method: str, gradient: str, stepping: Spec, saves: int = 1, dtype: str = "float64") -> str | None:
    return refusal(method, Spec(gradient), stepping, saves=saves, dtype=dtype, device="cpu")


def test_its_methods_are_those_that_the_installed_release_offers() -> None:
    # Its solvers are picked by name in a chain of comparisons, so that only the classes can be listed.
    from TorchDiffEqPack.odesolver import adaptive_grid_solver, fixed_grid_solver, stiff_ode_solver, symplectic

    rooms = (adaptive_grid_solver, fixed_grid_solver, stiff_ode_solver, symplectic)
    assert {name.lower() for name in METHODS} == {name.lower() for room in rooms for name in room.__all__}
    chain = Path(pack.__file__).with_name("odesolver").joinpath("ode_solver.py").read_text(encoding="utf-8")
    assert all(f"== '{name.lower()}'" in chain for name in METHODS)


def test_importing_the_adapter_loads_neither_torch_nor_the_library() -> None:
    loaded = imported_with("odebench.peers.torchdiffeqpack", "torch", "TorchDiffEqPack", "matplotlib", "numpy")
    assert loaded == []


@pytest.mark.parametrize(("method", "twin"), TWINS)
def test_one_step_of_its_solver_and_of_the_twin_are_the_same_numbers(method: str, twin: str) -> None:
    bound, t, dt = forced((0.25, 0.5)), 0.25, 0.375  # times that float32 holds
    with torch.no_grad():
        field, stepper = timed(bound.f, bound.y0), registry.solvers.build(Spec(twin))
        state = stepper.init(field, t, bound.y0)
        expected = stepper.step(field, t, dt, state)
        options = {"method": method, "h": dt, "t0": torch.tensor(t), "t1": t + dt}
        solver = pack.odesolve_endtime(bound.f, bound.y0, options, return_solver=True)
        got, error, *_ = solver.step(solver.func, torch.tensor(t, dtype=torch.float64), dt, state[:2])
    assert gap(got[0], expected.state[0]) < 1e-14
    if METHODS[method].adaptive:
        assert expected.error is not None
        # A difference of two solutions, so it holds the rounding of either: theirs has decimal coefficients.
        rounding = torch.finfo(torch.float64).eps * expected.state[0].abs()
        assert ((error[0].abs() - expected.error.abs()).abs() <= rounding).all()


@pytest.mark.parametrize("steps", [10, 30])
@pytest.mark.parametrize("saves", [1, 2])
@pytest.mark.parametrize("problem", ["mlp", "lotka_volterra"])
@pytest.mark.parametrize(("method", "twin"), MESHED)
def test_on_a_mesh_it_gives_the_twins_solution_and_direct_gradient(
    method: str, twin: str, problem: str, saves: int, steps: int
) -> None:
    ys, gradient, *_ = peer(adapter, method, "direct", fixed(steps), posed(problem, saves))
    expected, exact = native(twin, "direct", fixed(steps), posed(problem, saves))
    assert gap(ys, expected) < 1e-12
    assert gap(gradient, exact) < 1e-10


def test_dopri5_on_a_mesh_is_refused_in_float64_since_its_coefficients_are_rounded_to_float32() -> None:
    assert "float32" in str(asked("Dopri5", "direct", fixed(10)))
    assert asked("Dopri5", "direct", fixed(10), dtype="float32") is None
    ys, *_ = peer(adapter, "Dopri5", "direct", fixed(10), posed("mlp"))
    assert 1e-12 < gap(ys, native("dopri5", "direct", fixed(10), posed("mlp"))[0]) < 1e-6


@pytest.mark.parametrize("saves", [1, 3])
@pytest.mark.parametrize("method", [method for method, known in METHODS.items() if known.fixed])
def test_in_float32_a_mesh_gives_the_twins_solution_to_its_precision(method: str, saves: int) -> None:
    twin = METHODS[method].twin
    assert twin is not None
    ys, gradient, *_ = peer(adapter, method, "direct", fixed(30), posed("mlp", saves, "float32"))
    expected, exact = native(twin, "direct", fixed(30), posed("mlp", saves, "float32"))
    assert ys.dtype == torch.float32
    assert gap(ys, expected) < 3e-6
    assert gap(gradient, exact) < 3e-6


@pytest.mark.parametrize("steps", [10, 30, 64])
def test_mali_on_a_mesh_has_the_gradient_of_backpropagation(steps: int) -> None:
    _, gradient, *_ = peer(adapter, "fixedstep_sym12async", "reversible", fixed(steps), posed("mlp"))
    assert gap(gradient, native("alf", "direct", fixed(steps), posed("mlp"))[1]) < 1e-10


@pytest.mark.parametrize(("method", "gradient"), [("RK23", "aca"), ("Dopri5", "aca"), ("sym12async", "reversible")])
def test_adaptive_gradients_are_backpropagation_through_the_same_steps_to_float32_only(
    method: str, gradient: str
) -> None:
    _, found, *_ = peer(adapter, method, gradient, adaptive(1e-4), posed("lotka_volterra"))
    _, exact, *_ = peer(adapter, method, "direct", adaptive(1e-4), posed("lotka_volterra"))
    assert 1e-12 < gap(found, exact) < 3e-6


@pytest.mark.parametrize("stepping", [fixed(12), adaptive(1e-3)], ids=str)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", METHODS)
def test_every_pair_runs_or_is_refused_with_a_sentence(method: str, gradient: str, stepping: Spec) -> None:
    why = asked(method, gradient, stepping)
    if why is not None:
        assert "TorchDiffEqPack" in why
        return
    ys, found, *_ = peer(adapter, method, gradient, stepping, posed("mlp"))
    assert torch.isfinite(ys).all()
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    ("method", "gradient"),
    [(m, "direct") for m in ("RK12", "RK23", "Dopri5", "sym12async")]
    + [(m, "aca") for m in STAGES]
    + [("sym12async", "reversible")],
)
def test_adaptive_steps_come_close_to_the_truth(method: str, gradient: str) -> None:
    exact, slope = truth(posed("mlp"))
    ys, found, *_ = peer(adapter, method, gradient, adaptive(1e-5), posed("mlp"))
    assert gap(ys, exact) < 1e-4
    assert gap(found, slope) < 1e-3


@pytest.mark.parametrize(("method", "stages"), STAGES.items())
def test_aca_replays_each_step_twice_and_evaluates_once_at_the_end(method: str, stages: int) -> None:
    bound = posed("lotka_volterra")
    *_, forward, backward = peer(adapter, method, "aca", adaptive(1e-4), bound)
    steps = reported(method, Spec("aca"), adaptive(1e-4), bound, bound.f)["steps"]
    assert backward == 2 * stages * steps + 1
    # Two for the first step size; each step but the last is tried, at least once, and taken; the last is taken.
    assert forward >= 2 + stages * (2 * steps - 1)
    assert (forward - 2 - stages * (2 * steps - 1)) % stages == 0


def test_mali_counts_its_steps_and_one_evaluation_for_the_slope_it_starts_with() -> None:
    bound = posed("mlp")
    for method, stepping in (("fixedstep_sym12async", fixed(10)), ("sym12async", adaptive(1e-3))):
        *_, forward, backward = peer(adapter, method, "reversible", stepping, bound)
        steps = reported(method, Spec("reversible"), stepping, bound, bound.f)["steps"]
        assert backward == 2 * steps + 1
        assert forward == (steps + 1 if method == "fixedstep_sym12async" else forward)
    assert reported("RK4", Spec("direct"), fixed(7), bound, bound.f) == {"steps": 7}
    assert reported("RK23", Spec("direct"), fixed(7), bound, bound.f) == {"steps": 7}


def test_refusals_say_what_to_do() -> None:
    assert "no `adjoint` gradient" in str(asked("RK4", "adjoint", fixed(4)))
    assert "MALI is for" in str(asked("RK4", "reversible", fixed(4)))
    assert "fails in its backward pass" in str(asked("RK4", "aca", fixed(4)))
    assert "use `adaptive`" in str(asked("RK23", "aca", fixed(4)))
    assert "end alone" in str(asked("RK23", "aca", adaptive(1e-3), saves=2))
    assert "linearly" in str(asked("RK23", "direct", adaptive(1e-3), saves=2))
    assert "batch of 1" in str(asked("ode23s", "direct", adaptive(1e-3)))
    assert "below 1e-06" in str(asked("Dopri5", "direct", adaptive(1e-8)))
    assert asked("Dopri5", "direct", adaptive(1e-8), dtype="float32") is None
    assert "max_steps" in str(asked("Dopri5", "direct", Spec.of("adaptive", {"max_steps": 9})))
    assert "multiple of 3" in str(asked("RK4", "direct", fixed(4), saves=3))
    with pytest.raises(Refusal, match="equal steps"):
        peer(adapter, "RK4", "direct", Spec.of("fixed", {"dt": 0.3}), posed("mlp"))


@pytest.mark.parametrize("ts", [(0.3, 1.2), (1.2, 0.3), (0.3, 0.6, 0.9)])
@pytest.mark.parametrize(("method", "twin"), MESHED)
def test_a_field_that_depends_on_time_is_met_at_the_right_times_both_ways(
    method: str, twin: str, ts: tuple[float, ...]
) -> None:
    ys, found, *_ = peer(adapter, method, "direct", fixed(30), forced(ts))
    expected, exact = native(twin, "direct", fixed(30), forced(ts))
    assert gap(ys, expected) < 1e-12
    assert gap(found, exact) < 1e-10


@pytest.mark.parametrize(("method", "gradient"), [("Dopri5", "aca"), ("sym12async", "reversible"), ("RK12", "direct")])
def test_adaptive_solves_run_backwards_in_time_too(method: str, gradient: str) -> None:
    ts = (1.2, 0.3)
    ys, found, *_ = peer(adapter, method, gradient, adaptive(1e-5), forced(ts))
    exact, slope = truth(forced(ts))
    assert gap(ys, exact) < 1e-4
    assert gap(found, slope) < 1e-3


@pytest.mark.parametrize(("method", "gradient"), [("RK12", "aca"), ("sym12async", "reversible")])
def test_frozen_parameters_and_fields_without_any_have_a_gradient(method: str, gradient: str) -> None:
    bound = forced((0.0, 1.0))
    bound.f.requires_grad_(False)
    _, found, *_ = peer(adapter, method, gradient, adaptive(1e-3), replace(bound, params=()))
    assert found.numel() == bound.y0.numel()


@pytest.mark.parametrize(("method", "saves"), [("RK4", 1), ("RK4", 2), ("RK23", 2), ("fixedstep_sym12async", 2)])
def test_states_of_more_axes_come_back_in_their_shape(method: str, saves: int) -> None:
    twin = METHODS[method].twin
    assert twin is not None
    ys, gradient, *_ = peer(adapter, method, "direct", fixed(8), posed("conv", saves, size=4))
    expected, exact = native(twin, "direct", fixed(8), posed("conv", saves, size=4))
    assert ys.shape == expected.shape
    assert gap(ys, expected) < 1e-12
    assert gap(gradient, exact) < 1e-10
    _, found, *_ = peer(adapter, "RK23", "aca", adaptive(1e-3), posed("conv", size=4))
    assert torch.isfinite(found).all()


def test_what_it_needs_and_does_not_declare_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = adapter.find_spec
    monkeypatch.setattr(adapter, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    assert "pip install 'odebench[torchdiffeqpack]'" in str(asked("RK4", "direct", fixed(4)))


def test_it_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for method, stepping, saves in (("RK4", fixed(12), 3), ("RK23", fixed(12), 3), ("Dopri5", adaptive(1e-4), 1)):
        peer(adapter, method, "direct", stepping, posed("mlp", saves))
    assert capsys.readouterr() == ("", "")
