"""Problems as they are bound: shapes, seeds, options, gradients, and closed forms."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from odebench.errors import OptionError, UnknownName, UsageError
from odebench.problems import Bound, bind, check_problem, pose
from odebench.problems.torch_field import TorchArrays
from odebench.registry import Entry, problems
from odebench.spec import Spec

NAMES = tuple(entry.name for entry in problems if entry.source == "odebench")
ANALYTIC = ("linear_decay", "growth", "harmonic_oscillator", "logistic", "linear_system")
SPIRALLING = {"eigenvalues": [-0.2, 0.1, -1.5], "frequencies": [3.0, 0.0, 0.5]}


def bound(name: str, options: dict[str, Any] | None = None, **place: Any) -> Bound:
    given = {"batch": 3, "seed": 0, "dtype": "float64", "device": "cpu"} | place
    return bind(Spec.of(name, options), **given)


def test_importing_the_problems_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, odebench.problems, odebench.truth; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_roster_is_whole() -> None:
    assert set(NAMES) == {
        *ANALYTIC, "lotka_volterra", "van_der_pol", "lorenz", "fitzhugh_nagumo", "brusselator", "arenstorf",
        "robertson", "oregonator", "hires",
        "cubic_spiral", "rigid_body", "pendulum", "kepler", "henon_heiles", "mlp", "conv",
        "neural_hamiltonian", "one_stiff", "cde_as_ode",
    }  # fmt: skip
    assert problems.get("rotation").name == "harmonic_oscillator"


@pytest.mark.parametrize("name", NAMES)
def test_every_problem_has_a_summary_and_a_citation(name: str) -> None:
    assert problems.get(name).summary
    assert problems.get(name).reference


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_a_bound_field_keeps_shape_and_dtype_and_its_leaves_take_gradients(name: str, dtype: str) -> None:
    case = bound(name, dtype=dtype)
    slope = case.f(torch.zeros((), dtype=case.y0.dtype), case.y0)
    assert slope.shape == case.y0.shape
    assert slope.dtype == case.y0.dtype == getattr(torch, dtype)
    assert case.y0.shape[0] == 3
    assert all(leaf.is_leaf and leaf.requires_grad for leaf in (case.y0, *case.params))
    assert tuple(case.f.parameters()) == case.params


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient_that_is_not_zero(name: str) -> None:
    case = bound(name)
    y, t = case.y0, torch.zeros((), dtype=torch.float64)
    for _ in range(3):
        y = y + 0.01 * case.f(t, y)
    for gradient in torch.autograd.grad(y.square().sum(), (case.y0, *case.params)):
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_numbers(name: str) -> None:
    one, two = bound(name, seed=5), bound(name, seed=5)
    assert torch.equal(one.y0, two.y0)
    assert all(torch.equal(a, b) for a, b in zip(one.params, two.params, strict=True))


@pytest.mark.parametrize("name", ["mlp", "conv", "linear_system", "neural_hamiltonian"])
def test_another_seed_gives_other_weights(name: str) -> None:
    one, two = bound(name, seed=0), bound(name, seed=1)
    assert not torch.equal(one.params[0], two.params[0])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "one_stiff"])  # its rows differ on purpose
def test_row_0_is_the_start_and_the_others_are_within_a_tenth_of_it(name: str) -> None:
    rows, start = bound(name, batch=40).y0.detach().numpy(), pose(Spec(name)).problem.start(0)
    np.testing.assert_array_equal(rows[0], start)
    assert (np.abs(rows[1:] - start) <= 0.1 * np.abs(start) * (1 + 1e-12)).all()
    assert np.abs(rows[1:] - start).max() > 0.05 * np.abs(start).max()


def test_a_smaller_batch_is_the_beginning_of_a_larger_one() -> None:
    assert torch.equal(bound("lorenz", batch=4).y0, bound("lorenz", batch=9).y0[:4])


def test_a_scalar_problem_has_one_component() -> None:
    assert bound("linear_decay", batch=7).y0.shape == (7, 1)


def test_saved_times_are_equally_spaced_with_exact_ends() -> None:
    ts = bound("linear_decay", {"span": [0.1, 0.7], "saves": 3}).ts
    assert (ts[0], ts[-1], len(ts)) == (0.1, 0.7, 4)
    assert np.diff(ts) == pytest.approx(0.2)


def test_a_span_may_run_backwards() -> None:
    assert bound("linear_decay", {"span": [1, 0]}).ts == (1.0, 0.0)


def test_the_loss_is_the_sum_of_squares_of_the_last_state() -> None:
    ys = torch.tensor([[[9.0, 9.0]], [[1.0, 2.0]]])
    assert bound("lotka_volterra").loss(ys).item() == 5.0


def test_the_loss_may_see_every_saved_time() -> None:
    ys = torch.tensor([[[3.0, 0.0]], [[1.0, 2.0]], [[0.0, 4.0]]])
    assert bound("lotka_volterra", {"saves": 2, "loss_at": "saves"}).loss(ys).item() == 9.0 + 5.0 + 16.0
    assert bound("lotka_volterra", {"saves": 2, "loss_at": "end"}).loss(ys).item() == 16.0


def test_a_problem_with_a_loss_of_its_own_takes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Judged(Module):
        def loss(self, xp: Any, ys: torch.Tensor) -> torch.Tensor:
            return ys.sum()

    monkeypatch.setitem(
        problems.entries, "own", Entry("problem", "own", Judged, source="plugin", common=problems.common)
    )
    with pytest.raises(OptionError, match="has a loss of its own; leave out loss_at"):
        check_problem(Spec.of("own", {"loss_at": "saves"}))


def test_components_that_are_added_start_at_0_and_leave_the_others_where_they_start() -> None:
    plain, more = bound("mlp", {"dim": 2}), bound("mlp", {"dim": 2, "augment": 3})
    assert torch.equal(more.y0[:, :2][0], plain.y0[0])
    assert torch.equal(more.y0[:, 2:], torch.zeros(3, 3, dtype=torch.float64))
    assert more.f(torch.zeros(()), more.y0)[:, 2:].abs().min() > 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("linear_decay", {"span": [1, 1]}, "two different finite numbers"),
        ("linear_decay", {"span": [0, float("inf")]}, "two different finite numbers"),
        ("linear_decay", {"saves": 0}, "saves must be a whole number"),
        ("linear_decay", {"saves": True}, "saves must be a whole number"),
        ("linear_decay", {"rat": 1}, "did you mean 'rate'"),
        ("mlp", {"activation": "tahn"}, "activation must be one of tanh, relu"),
        ("mlp", {"depth": 0}, "depth must be at least 1, got 0"),
        ("mlp", {"augment": -1}, "augment must be at least 0, got -1"),
        ("mlp", {"loss_at": "start"}, "loss_at must be end or saves, got 'start'"),
        ("cde_as_ode", {"observations": 1}, "observations must be at least 2"),
        ("conv", {"kernel": 4}, "kernel must be odd"),
        ("van_der_pol", {"convention": "other"}, "'standard' or 'aca'"),
        ("linear_system", {"eigenvalues": []}, "at least one"),
        ("linear_system", {"eigenvalues": [1.0], "frequencies": [1.0, 2.0]}, "as many as eigenvalues"),
        ("harmonic_oscillator", {"omega": 0.0}, "must not be 0"),
    ],
)
def test_a_bad_option_is_refused_with_a_reason(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_problem(Spec.of(name, options))


def test_an_unknown_problem_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean 'lorenz'"):
        check_problem(Spec("lorentz"))


@pytest.mark.parametrize(
    ("place", "message"), [({"batch": 0}, "batch"), ({"seed": -1}, "seed"), ({"dtype": "int32"}, "dtype")]
)
def test_a_place_that_makes_no_sense_is_refused(place: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bound("linear_decay", **place)


@pytest.mark.parametrize("name", ANALYTIC)
def test_an_exact_answer_satisfies_its_field_and_starts_where_it_should(name: str) -> None:
    options = SPIRALLING if name == "linear_system" else {}
    case, problem = bound(name, options), pose(Spec.of(name, options)).problem
    t0, t = 0.25, torch.tensor(1.5, dtype=torch.float64)
    y0, theta = case.y0.detach(), tuple(p.detach() for p in case.params)

    def answer(at: torch.Tensor) -> torch.Tensor:
        return problem.exact(TorchArrays, t0, at, y0, theta)  # type: ignore[no-any-return]

    y, slope = torch.func.jvp(answer, (t,), (torch.ones_like(t),))
    torch.testing.assert_close(slope, case.f(t, y).detach(), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(answer(torch.tensor(t0, dtype=torch.float64)), y0, rtol=1e-14, atol=0)


def test_a_linear_system_has_the_spectrum_that_was_asked_for() -> None:
    problem = pose(Spec.of("linear_system", SPIRALLING)).problem
    found = np.sort_complex(np.linalg.eigvals(problem.parameters(3)["matrix"]))
    assert found == pytest.approx(np.sort_complex([-0.2 + 3j, -0.2 - 3j, 0.1, -1.5 + 0.5j, -1.5 - 0.5j]), abs=1e-13)


def test_the_two_conventions_of_van_der_pol_are_one_equation_at_mu_1() -> None:
    t = torch.zeros((), dtype=torch.float64)
    for mu, same in ((1.0, True), (0.15, False)):
        standard = bound("van_der_pol", {"mu": mu})
        aca = bound("van_der_pol", {"mu": mu, "convention": "aca"})
        y = torch.tensor([[0.7, -1.3]], dtype=torch.float64)
        assert torch.allclose(standard.f(t, y), aca.f(t, y)) is same
    y = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    assert aca.f(t, y)[0, 1].item() == pytest.approx((0.15 - 0.25) * 2.0 - 0.5)
    assert bound("van_der_pol", {"mu": 3.0}).f(t, y)[0, 1].item() == pytest.approx(3.0 * 0.75 * 2.0 - 0.5)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "elu", "gelu", "silu", "sigmoid"])
def test_an_mlp_is_the_torch_network_of_its_definition(activation: str) -> None:
    nonlinear = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "softplus": torch.nn.Softplus, "elu": torch.nn.ELU,
                 "gelu": torch.nn.GELU, "silu": torch.nn.SiLU, "sigmoid": torch.nn.Sigmoid}[activation]  # fmt: skip
    linear = torch.nn.Linear
    network = torch.nn.Sequential(linear(5, 11), nonlinear(), linear(11, 11), nonlinear(), linear(11, 5)).double()
    case = bound("mlp", {"dim": 5, "hidden": 11, "depth": 2, "activation": activation})
    with torch.no_grad():
        for theirs, ours in zip(network.parameters(), case.params, strict=True):
            theirs.copy_(ours)
    torch.testing.assert_close(case.f(torch.zeros(()), case.y0), network(case.y0))


def test_a_conv_field_keeps_the_size_of_its_images() -> None:
    case = bound("conv", {"channels": 2, "hidden": 3, "size": 6, "kernel": 5, "depth": 2}, batch=2)
    assert case.f(torch.zeros(()), case.y0).shape == (2, 2, 6, 6)
    assert [tuple(p.shape) for p in case.params[::2]] == [(3, 2, 5, 5), (3, 3, 5, 5), (2, 3, 5, 5)]


def test_a_field_follows_its_parameters_when_they_are_cast() -> None:
    case = bound("mlp", dtype="float32")
    case.f.double()
    assert all(parameter.dtype == torch.float64 for parameter in case.params)
    assert case.f(torch.zeros(()), case.y0.double()).dtype == torch.float64


@dataclass(frozen=True)
class Module:
    """A field given as a torch module, as a plugin may."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    width: int = 4

    def start(self, seed: int) -> Any:
        return np.ones(2)

    def module(self, seed: int) -> torch.nn.Module:
        class Field(torch.nn.Module):
            def __init__(self, width: int) -> None:
                super().__init__()
                self.inner, self.outer = torch.nn.Linear(2, width), torch.nn.Linear(width, 2)

            def forward(self, t: torch.Tensor, y: torch.Tensor) -> Any:
                return self.outer(torch.tanh(self.inner(y)))

        return Field(self.width)


def test_a_plugin_may_give_a_module_and_its_weights_follow_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        problems.entries, "own", Entry("problem", "own", Module, source="plugin", common=problems.common)
    )
    before = torch.random.get_rng_state()
    one, two, other = (bound("own", {"width": 3}, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert len(one.params) == 4
    assert all(torch.equal(a, b) for a, b in zip(one.params, two.params, strict=True))
    assert not torch.equal(one.params[0], other.params[0])


def test_a_plugin_without_what_problems_have_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        problems.entries, "own", Entry("problem", "own", object, source="plugin", common=problems.common)
    )
    with pytest.raises(OptionError, match=r"default_span, start\(seed\)"):
        check_problem(Spec("own"))
