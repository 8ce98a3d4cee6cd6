"""Truths: right, verified, kept, and worked out again when they must be."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import odebench.truth
from odebench.errors import OdebenchError
from odebench.problems import bind
from odebench.problems.analytic import LinearDecay
from odebench.registry import Entry, problems
from odebench.spec import Spec
from odebench.truth import compute_truth, ensure_truth, load_truth, readable, truth_path

DECAY = Spec.of("linear_decay", {"rate": 0.5, "span": [0, 2]})


def path_of(spec: Spec, folder: Path, dtype: str = "float64", batch: int = 2, seed: int = 0) -> Path:
    return truth_path(spec, dtype, batch, seed, folder)


def register(monkeypatch: pytest.MonkeyPatch, factory: Any) -> Spec:
    monkeypatch.setitem(
        problems.entries, "own", Entry("problem", "own", factory, source="plugin", common=problems.common)
    )
    return Spec("own")


def difference(one: Any, two: Any) -> float:
    return float(np.linalg.norm(one - two) / np.linalg.norm(two))


def test_the_mali_toy_has_its_analytic_gradient() -> None:
    truth = compute_truth(Spec.of("growth", {"alpha": 0.2, "span": [0, 5]}), dtype="float64", batch=1, seed=0)
    squared = math.exp(2 * 0.2 * 5)
    assert truth.y1[0, 0] == pytest.approx(math.exp(1.0), rel=1e-14)
    assert truth.gradient_y0[0, 0] == pytest.approx(2 * squared, rel=1e-14)
    assert truth.gradient_parameters == pytest.approx([2 * 5 * squared], rel=1e-14)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear_decay", {"span": [0, 5]}),
        ("growth", {"saves": 4}),
        ("harmonic_oscillator", {"omega": 1.7}),
        ("logistic", {"rate": 0.6, "span": [3, 9]}),
        ("linear_system", {"eigenvalues": [-0.2, 0.1, -1.5], "frequencies": [3.0, 0.0, 0.5]}),
        ("linear_system", {"eigenvalues": [-40.0, -1.0]}),
    ],
)
def test_closed_forms_and_reference_agree_in_solution_and_gradient(name: str, options: dict[str, Any]) -> None:
    truth = compute_truth(Spec.of(name, options), dtype="float64", batch=3, seed=1)
    assert truth.route == "closed form, checked by extrapolation"
    assert truth.agreement < 1e-11


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("lotka_volterra", 1e-8),
        ("van_der_pol", 1e-8),
        ("fitzhugh_nagumo", 1e-8),
        ("brusselator", 1e-8),
        ("cubic_spiral", 1e-8),
        ("rigid_body", 1e-8),
        ("pendulum", 1e-8),
        ("mlp", 1e-10),
        ("conv", 1e-10),
        ("arenstorf", 1e-6),
    ],
)
def test_every_other_problem_has_a_verified_truth_at_its_defaults(name: str, allowed: float) -> None:
    truth = compute_truth(Spec(name), dtype="float64", batch=1, seed=0)
    case = bind(Spec(name), batch=1, seed=0, dtype="float64", device="cpu")
    assert truth.agreement < allowed
    assert truth.y1.shape == truth.gradient_y0.shape == tuple(case.y0.shape)
    assert truth.gradient_parameters.shape == (sum(parameter.numel() for parameter in case.params),)
    ends = np.cumsum([parameter.numel() for parameter in case.params])
    for part in np.split(truth.gradient_parameters, ends[:-1]):
        assert np.abs(part).max() > 0


def test_a_field_with_kinks_has_a_verified_truth_too() -> None:
    relu = {"dim": 8, "hidden": 32, "activation": "relu", "span": [0, 2]}
    truth = compute_truth(Spec.of("mlp", relu), dtype="float64", batch=1, seed=0)
    assert "per span" in truth.route
    assert truth.agreement < 1e-7


def test_a_chaotic_problem_far_out_says_how_well_it_is_known() -> None:
    truth = compute_truth(Spec.of("lorenz", {"span": [0, 15]}), dtype="float64", batch=1, seed=0)
    assert 0 < truth.agreement < 1e-6


def test_a_float32_truth_is_of_the_problem_that_float32_is_given() -> None:
    spec = Spec.of("linear_decay", {"rate": 0.1})
    truth = compute_truth(spec, dtype="float32", batch=1, seed=0)
    rounded = float(np.float32(0.1))
    assert truth.y1.dtype == np.float64
    assert truth.y1[0, 0] == pytest.approx(math.exp(-rounded), rel=1e-15)
    assert truth.y1[0, 0] != pytest.approx(math.exp(-0.1), rel=1e-10)


def test_every_row_of_a_batch_has_the_truth_it_has_alone() -> None:
    spec = Spec.of("lotka_volterra", {"span": [0, 4]})
    one, many = (compute_truth(spec, dtype="float64", batch=batch, seed=0) for batch in (1, 4))
    assert difference(many.y1[:1], one.y1) < 1e-11
    assert difference(many.gradient_y0[:1], one.gradient_y0) < 1e-9


def test_computing_twice_gives_the_same_bits() -> None:
    one, two = (compute_truth(Spec("mlp"), dtype="float32", batch=3, seed=2) for _ in range(2))
    for name in ("y1", "gradient_y0", "gradient_parameters"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_truth_is_kept_and_not_worked_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of(DECAY, tmp_path)
    ensure_truth(DECAY, dtype="float64", batch=2, seed=0, path=path)
    first = path.stat()
    ensure_truth(DECAY, dtype="float64", batch=2, seed=0, path=path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [path]
    assert load_truth(path).gradient_y0.shape == (2, 1)


@pytest.mark.parametrize("damage", ["torn", "empty", "altered", "other"])
def test_a_damaged_file_is_noticed_and_worked_out_again(tmp_path: Path, damage: str) -> None:
    path = path_of(DECAY, tmp_path)
    ensure_truth(DECAY, dtype="float64", batch=2, seed=0, path=path)
    good = load_truth(path)
    if damage == "altered":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "y1": arrays["y1"] + 1e-12})
    else:
        whole = path.read_bytes()
        path.write_bytes({"torn": whole[: len(whole) // 2], "empty": b"", "other": b"not an archive"}[damage])
    assert not readable(path)
    with pytest.raises(OdebenchError, match="delete it and run again"):
        load_truth(path)
    ensure_truth(DECAY, dtype="float64", batch=2, seed=0, path=path)
    np.testing.assert_array_equal(load_truth(path).y1, good.y1)


def test_a_missing_file_is_no_truth(tmp_path: Path) -> None:
    assert not readable(tmp_path / "nothing.npz")


def test_the_name_depends_on_all_that_the_truth_depends_on(tmp_path: Path) -> None:
    base = path_of(DECAY, tmp_path)
    others = [
        path_of(Spec.of("linear_decay", {"rate": 0.6, "span": [0, 2]}), tmp_path),
        path_of(Spec.of("linear_decay", {"rate": 0.5, "span": [0, 3]}), tmp_path),
        path_of(DECAY, tmp_path, dtype="float32"),
        path_of(DECAY, tmp_path, batch=3),
        path_of(DECAY, tmp_path, seed=1),
    ]
    assert len({base, *others}) == 6


def test_the_name_does_not_depend_on_spelling(tmp_path: Path) -> None:
    assert path_of(Spec("linear_decay"), tmp_path) == path_of(
        Spec.of("linear_decay", {"rate": 1, "span": [0, 1], "saves": 8}), tmp_path
    )
    assert path_of(Spec("rotation"), tmp_path) == path_of(Spec("harmonic_oscillator"), tmp_path)


@pytest.mark.parametrize("source", ["truth.py", "reference.py", "problems/analytic.py"])
def test_a_change_of_a_source_gives_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    package = Path(odebench.truth.__file__).parent
    copy = tmp_path / "odebench"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(odebench.truth, "__file__", str(copy / "truth.py"))
    monkeypatch.setattr("odebench.problems.analytic.__file__", str(copy / "problems/analytic.py"))
    before = path_of(DECAY, tmp_path)
    with (copy / source).open("a") as file:
        file.write("# another line\n")
    assert path_of(DECAY, tmp_path) != before


def test_a_problem_that_this_process_does_not_know_still_has_a_name(tmp_path: Path) -> None:
    one, two = (path_of(Spec.of("somebody/else's", {"k": k}), tmp_path) for k in (1, 2))
    assert one != two
    assert one.parent == tmp_path


@dataclass(frozen=True)
class WrongForm:
    """A decay whose closed form has the wrong rate."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    rate: float = 1.0

    def parameters(self, seed: int) -> Any:
        return LinearDecay(self.rate).parameters(seed)

    def start(self, seed: int) -> Any:
        return LinearDecay(self.rate).start(seed)

    def field(self, xp: Any, t: Any, y: Any, theta: Any) -> Any:
        return -theta[0] * y

    def exact(self, xp: Any, t0: float, t: float, y0: Any, theta: Any) -> Any:
        return y0 * xp.exp(-1.001 * theta[0] * (t - t0))


def test_a_wrong_closed_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = register(monkeypatch, WrongForm)
    path = path_of(spec, tmp_path)
    with pytest.raises(OdebenchError, match="closed form may be wrong"):
        ensure_truth(spec, dtype="float64", batch=1, seed=0, path=path)
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Path2:
    """y' = -k·y·cos t with a loss along the whole way."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def parameters(self, seed: int) -> Any:
        return {"k": np.asarray(0.7)}

    def start(self, seed: int) -> Any:
        return np.ones(1)

    def field(self, xp: Any, t: Any, y: Any, theta: Any) -> Any:
        return -theta[0] * y * xp.cos(t)

    def loss(self, xp: Any, ys: Any) -> Any:
        return xp.sum(ys)


def test_an_own_loss_sees_every_saved_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(register(monkeypatch, Path2), options=(("saves", 4),))
    truth = compute_truth(spec, dtype="float64", batch=1, seed=0)
    sines = np.sin(np.linspace(0.0, 2.0, 5))
    assert truth.gradient_y0[0, 0] == pytest.approx(np.exp(-0.7 * sines).sum(), rel=1e-12)
    assert truth.gradient_parameters[0] == pytest.approx((-sines * np.exp(-0.7 * sines)).sum(), rel=1e-12)
    assert path_of(spec, tmp_path) != path_of(Spec("own"), tmp_path)


@dataclass(frozen=True)
class Module:
    """A field given as a torch module."""

    default_span: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def start(self, seed: int) -> Any:
        return np.ones(2)

    def module(self, seed: int) -> torch.nn.Module:
        class Field(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear = torch.nn.Linear(2, 2)

            def forward(self, t: torch.Tensor, y: torch.Tensor) -> Any:
                return torch.tanh(self.linear(y))

        return Field()


def test_a_module_has_a_truth_too(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = compute_truth(register(monkeypatch, Module), dtype="float32", batch=2, seed=0)
    assert truth.gradient_parameters.shape == (6,)
    assert truth.agreement < 1e-12


def test_an_answer_beyond_float64_is_refused() -> None:
    with pytest.raises(OdebenchError, match="not finite in float64"):
        compute_truth(Spec.of("growth", {"alpha": 50.0}), dtype="float64", batch=1, seed=0)
