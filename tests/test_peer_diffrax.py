"""diffrax beside odebench's own: the same f, the same steps, the same numbers, and exact counts under jit."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from odebench import registry
from odebench.errors import Refusal, SolveError
from odebench.peers import diffrax as peer
from odebench.peers.diffrax import GRADIENTS, LEFT_OUT, METHODS, DiffraxTrial
from odebench.peers.diffrax_solve import class_name
from odebench.peers.jax_field import Tally, bind, configure, counted, jax_arrays
from odebench.registry import problem
from odebench.spec import Spec

diffrax = pytest.importorskip("diffrax", reason="diffrax is not installed here")
torch = pytest.importorskip("torch")
registry.load_builtins()

MLP = Spec.of("mlp", {"dim": 5, "hidden": 11, "span": (0.0, 2.0)})
LOTKA = Spec.of("lotka_volterra", {"span": (0.0, 1.0)})
TWELVE = Spec.of("fixed", {"steps": 12})
UNEVEN = Spec.of("fixed", {"dt": 0.13})
LOOSE = Spec.of("adaptive", {"rtol": 1e-4, "atol": 1e-6})
DIRECT, ADJOINT, RECURSIVE = Spec("direct"), Spec("adjoint"), Spec("recursive")
TWINS = [name for name, method in METHODS.items() if method.twin]


def trial(problem: Spec, method: str, gradient: Spec, stepping: Spec, batch: int = 3) -> DiffraxTrial:
    return DiffraxTrial(problem, method, gradient, stepping, batch=batch)


def native(problem: Spec, method: str, gradient: Spec, stepping: Spec) -> tuple[Any, Any, Any]:
    """(y1, dL/dy0, dL/dθ) by odebench's own solver with the same tableau."""
    from odebench.integrate import timed
    from odebench.problems import bind as bind_torch

    bound = bind_torch(problem, batch=3, seed=0, dtype="float64", device="cpu")
    twin = METHODS[method].twin
    assert twin is not None
    ys = registry.gradients.build(gradient).solve(
        timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, registry.solvers.build(Spec(twin)),
        registry.steppings.build(stepping), None,
    )  # fmt: skip
    bound.loss(ys).backward()
    theta = torch.cat([parameter.grad.reshape(-1) for parameter in bound.params])
    return tuple(x.detach().reshape(-1).numpy() for x in (ys[-1], bound.y0.grad, theta))


def apart(got: Any, wanted: Any) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def test_importing_the_adapter_imports_neither_jax_nor_torch_nor_the_library() -> None:
    code = "import sys, odebench.peers.diffrax; print([m for m in ('jax', 'diffrax', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_solver_class_that_diffrax_has_is_offered_or_left_out_with_a_reason() -> None:
    classes = {
        name
        for name, thing in vars(diffrax).items()
        if inspect.isclass(thing) and issubclass(thing, diffrax.AbstractSolver) and not inspect.isabstract(thing)
        if not name.startswith("Abstract")
    }
    offered = {class_name(method) for method in METHODS}
    left_out = {name for names in LEFT_OUT.values() for name in names}
    assert not offered & left_out
    assert offered | left_out == classes


@pytest.mark.parametrize("method", METHODS)
def test_orders_are_those_that_diffrax_says(method: str) -> None:
    solver = getattr(diffrax, class_name(method))()
    term = diffrax.ODETerm(lambda t, y, args: y)
    assert METHODS[method].order == solver.order(term)
    assert METHODS[method].adaptive == isinstance(solver, diffrax.AbstractAdaptiveSolver) or method == "euler"
    if METHODS[method].error_order is not None:
        assert METHODS[method].error_order == solver.error_order(term)


@pytest.mark.parametrize("method", TWINS)
def test_on_the_same_steps_solution_and_gradient_are_those_of_the_twin(method: str) -> None:
    problem = LOTKA if method in ("heun", "dopri5", "dopri8") else MLP
    got, wanted = trial(problem, method, DIRECT, TWELVE).answer(), native(problem, method, DIRECT, TWELVE)
    assert apart(got[0], wanted[0]) < 1e-12
    assert apart(got[1], wanted[1]) < 1e-10
    assert apart(got[2], wanted[2]) < 1e-10


@pytest.mark.parametrize("gradient", [RECURSIVE, ADJOINT], ids=str)
def test_uneven_steps_backwards_in_time_between_saved_times_are_those_of_the_twin_too(gradient: Spec) -> None:
    problem = Spec.of("mlp", {"dim": 5, "hidden": 11, "span": (1.5, -0.5), "saves": 3})
    got, wanted = trial(problem, "bosh3", gradient, UNEVEN).answer(), native(problem, "bosh3", gradient, UNEVEN)
    assert max(apart(*pair) for pair in zip(got, wanted, strict=True)) < 1e-12


@pytest.mark.parametrize(("method", "gradient"), [*zip(METHODS, cycle((RECURSIVE, ADJOINT, DIRECT)), strict=False)])
def test_every_method_solves_with_the_steps_it_takes(method: str, gradient: Spec) -> None:
    stepping = LOOSE if METHODS[method].adaptive else TWELVE
    if method in ("heun", "midpoint", "implicit_euler"):
        stepping = TWELVE
    assert peer.refusal(method, gradient, stepping, saves=1, dtype="float64", device="cpu") is None
    got, truth = trial(LOTKA, method, gradient, stepping).answer(), native(LOTKA, "dopri5", DIRECT, TWELVE)
    rough = METHODS[method].order == 1 or method == "leapfrog_midpoint"
    assert all(apart(*pair) < (0.5 if rough else 0.03) for pair in zip(got, truth, strict=True))


def test_counts_on_fixed_steps_are_those_of_the_tableau() -> None:
    solved = trial(MLP, "tsit5", DIRECT, TWELVE)
    solved.forward()
    assert solved.reported() == {"steps": 12, "rejected": 0}
    counts = solved.counts()
    assert (counts["nfe_forward"], counts["nfe_backward"]) == (12 * 6 + 1, 0)
    assert counts["work"] == counts["nfe_forward"] + counts["nfe_backward"] + 2 * counts["vjp_backward"]


def test_counts_of_an_adaptive_solve_agree_with_what_diffrax_reports() -> None:
    counts = trial(LOTKA, "dopri5", ADJOINT, Spec.of("adaptive", {"rtol": 1e-6, "atol": 1e-8})).counts()
    tries = counts["steps"] + counts["rejected"]
    assert counts["nfe_forward"] == 6 * tries + 1 + 2  # two for the first step size
    assert counts["nfe_backward"] == counts["vjp_backward"] > 0


def test_checkpoints_are_always_stated_and_fewer_of_them_recompute_more() -> None:
    many, few = (
        trial(MLP, "heun", RECURSIVE, TWELVE),
        trial(MLP, "heun", Spec.of("recursive", {"checkpoints": 2}), TWELVE),
    )
    assert (many.checkpoints, few.checkpoints) == (4, 2)
    assert few.counts()["nfe_backward"] > many.counts()["nfe_backward"] > 0
    assert trial(MLP, "heun", DIRECT, TWELVE).checkpoints is None


def test_an_adaptive_mesh_lands_on_saved_times_and_meets_its_tolerance() -> None:
    problem = Spec.of("lotka_volterra", {"span": (0.0, 3.0), "saves": 3})
    solved = trial(problem, "tsit5", RECURSIVE, Spec.of("adaptive", {"rtol": 1e-7, "atol": 1e-9}))
    assert {0.0, 1.0, 2.0, 3.0} <= set(solved.mesh())
    truth = native(problem, "dopri8", DIRECT, Spec.of("fixed", {"steps": 300}))
    assert apart(solved.answer()[0], truth[0]) < 1e-5


def test_a_solve_that_needs_more_steps_than_it_may_take_says_so() -> None:
    hopeless = Spec.of("adaptive", {"rtol": 1e-9, "atol": 1e-9, "max_steps": 3})
    with pytest.raises(SolveError, match="maximum number of"):
        trial(LOTKA, "heun", RECURSIVE, hopeless).both()


def test_memory_is_what_xla_laid_out_and_checkpoints_save_it() -> None:
    sixty = Spec.of("fixed", {"steps": 60})
    direct, recursive = (trial(MLP, "heun", each, sixty).memory()["peak_memory_bytes"] for each in (DIRECT, RECURSIVE))
    assert 0 < recursive < direct


def test_the_bare_loop_calls_f_as_often_as_the_solve_and_nothing_moves_out_of_it() -> None:
    bound, tally = bind(MLP, batch=3, seed=0, dtype="float64", device="cpu"), Tally()
    counts = {"nfe_forward": 7, "nfe_backward": 3, "vjp_backward": 4}
    watched = trial(MLP, "heun", DIRECT, TWELVE).bare(counts)
    watched = replace(watched, bound=replace(bound, f=counted(bound.f, tally)))
    watched.both()
    assert tally.take() == {"call": 10, "cotangent": 4, "tangent": 0}
    watched.forward()
    assert tally.take()["call"] == 7
    plain = replace(watched, bound=bound)
    for loop in (plain._plain, plain._pulls):
        compiled = loop.lower(5, *plain._given).compile().as_text()
        for word in ("tanh", "dot_general"):
            assert word in compiled
            assert word not in compiled[compiled.index("ENTRY") :], "moved out of the loop"


def test_functions_of_x_are_torchs_to_rounding() -> None:
    from odebench.problems.torch_field import TorchArrays

    configure("float64", "cpu")
    names = [name for name in vars(TorchArrays) if not name.startswith("_")]
    assert all(hasattr(jax_arrays(), name) for name in names)
    x = np.array([[-30.0, -2.0, -1e-3, 0.5], [0.7, 3.0, 19.9, 25.0]])
    for name in ("sin", "cos", "exp", "tanh", "sigmoid", "relu", "softplus", "elu", "gelu", "silu", "sum"):
        wanted = np.asarray(getattr(TorchArrays, name)(torch.tensor(x)))
        np.testing.assert_allclose(getattr(jax_arrays(), name)(x), wanted, rtol=1e-14, atol=1e-18, err_msg=name)


REFUSED = [
    ("dopri6", DIRECT, TWELVE, 1, "float64", "cpu", "no ODE solver"),
    ("euler", DIRECT, LOOSE, 1, "float64", "cpu", "estimates no error"),
    ("tsit5", Spec("aca"), TWELVE, 1, "float64", "cpu", "recursive"),
    ("reversible_heun", Spec("reversible"), TWELVE, 1, "float64", "cpu", "no reversible adjoint"),
    ("tsit5", Spec.of("recursive", {"checkpoints": 0}), TWELVE, 1, "float64", "cpu", "at least 1"),
    ("leapfrog_midpoint", ADJOINT, TWELVE, 2, "float64", "cpu", "saves: 1"),
    ("tsit5", DIRECT, TWELVE, 1, "bfloat16", "cpu", "float32 and float64"),
    ("tsit5", DIRECT, TWELVE, 1, "float32", "mps", "cpu and cuda"),
]


@pytest.mark.parametrize(("method", "gradient", "stepping", "saves", "dtype", "device", "says"), REFUSED)
def test_what_diffrax_cannot_do_is_refused_with_a_sentence(
    method: str, gradient: Spec, stepping: Spec, saves: int, dtype: str, device: str, says: str
) -> None:
    refused = peer.refusal(method, gradient, stepping, saves=saves, dtype=dtype, device=device)
    assert refused is not None
    assert says in refused
    assert "\n" not in refused


def test_a_problem_that_is_a_torch_module_is_refused() -> None:
    class OnlyTorch:
        """A module of torch's."""

        default_span = (0.0, 1.0)

        def start(self, seed: int) -> Any:
            return np.ones(2)

        def module(self, seed: int) -> Any:
            return torch.nn.Linear(2, 2)

    problem("only_torch")(OnlyTorch)
    try:
        with pytest.raises(Refusal, match="torch module"):
            trial(Spec("only_torch"), "heun", DIRECT, TWELVE)
    finally:
        del registry.problems.entries["only_torch"]


def test_every_gradient_that_is_accepted_has_an_explanation() -> None:
    assert set(GRADIENTS) == {"direct", "recursive", "adjoint"}
    assert all(GRADIENTS.values())
    assert peer.NOTE
    assert peer.GAUGE
