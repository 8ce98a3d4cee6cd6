"""The ODE-net classifier: that it learns, that its gradients are exact, and what its options make of it."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from odebench import api, registry
from odebench.controllers import Adaptive, Fixed
from odebench.errors import DataError, SuiteError
from odebench.gradients import Direct
from odebench.measure.check import relative
from odebench.plan import make_plan
from odebench.solvers import RungeKutta, tableaus
from odebench.spec import Spec
from odebench.suite.loading import load_suites
from odebench.training.solving import Solving
from odebench.workloads import digits as digits_module
from odebench.workloads.image_files import Images
from odebench.workloads.odenet import OdeNet
from odebench.workloads.odenet_task import Classifier, cropped

SUITE = """
name: images
kind: train
problems: [PROBLEMS]
solvers: [tsit5]
gradients: [aca]
stepping: [{adaptive: {rtol: 1e-3, atol: 1e-3}}]
batches: [64]
dtypes: [float32]
train: {steps: 40, evaluate_every: 20}
"""


def suite(folder: Path, problems: str, more: str = "") -> Path:
    """The suite with its words filled in."""
    text = SUITE.replace("PROBLEMS", problems) + more
    path = folder / "images.yaml"
    path.write_text(text)
    return path


def made(seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> Classifier:
    return OdeNet(**options).build(seed, dtype, torch.device("cpu"))


def solving() -> Solving:
    """Two steps of RK4: what a test needs a solve for."""
    return Solving(RungeKutta(tableaus.RK4), Direct(), Fixed(steps=2))


def mnist(folder: Path) -> str:
    """A folder with a few images in the files of MNIST."""
    for part, count in (("train", 7), ("t10k", 3)):
        images, labels = np.zeros((count, 28, 28), np.uint8), np.zeros(count, np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
            (folder / name).write_bytes(header + array.tobytes())
    return str(folder)


def test_both_blocks_learn_digits_and_the_ode_takes_fewer_parameters(tmp_path: Path) -> None:
    path = suite(tmp_path, "odenet, {odenet: {block: residual}}")
    ode, residual = api.run(path, output=tmp_path / "out")
    for each in (ode, residual):
        assert each.status == "ok", each.reason
        assert each.samples["evaluated_quality"][0] < 0.3
        assert each.metrics["quality"] > 0.5
        assert each.metrics["cross_entropy"] < each.samples["evaluated_cross_entropy"][0] / 1.5
        assert 0.95 < each.metrics["quality_reference"] < 1.0
    assert ode.metrics["gradient_error_discrete"] < 1e-6
    assert ode.metrics["nfe_forward"] >= 7
    assert min(ode.samples["trained_nfe_backward"]) >= 6
    assert not residual.metrics.get("nfe_forward")
    convolutions = 2 * 16 * (17 * 9 + 1) + 6 * 16, 6 * (2 * 16 * 16 * 9 + 4 * 16)
    around = 16 * 10 + 16 * (16 * 16 + 1) + 2 * 16 + 2 * 16 + 17 * 10
    assert ode.settings["parameters"] == convolutions[0] + around == 9_530
    assert residual.settings["parameters"] == convolutions[1] + around == 32_538


def test_exact_gradients_agree_through_the_block() -> None:
    found = {}
    for name in ("direct", "aca", "recursive", "symplectic", "adjoint"):
        task, stepping = made(width=4), Adaptive(1e-3, 1e-3)
        solve = Solving(RungeKutta(tableaus.TSIT5), registry.gradients.build(Spec(name)), stepping)
        task.loss(0, 8, solve).backward()
        found[name] = torch.cat([each.grad.reshape(-1) for each in task.model.parameters()])
    errors = {name: relative(each, found["direct"]) for name, each in found.items()}
    assert all(errors[name] < 1e-11 for name in ("aca", "recursive", "symplectic")), errors
    assert 1e-9 < errors["adjoint"] < 0.5


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"width": 64}, 208_266),
        ({"width": 64, "block": "residual"}, 576_778),
        ({"network": "mlp"}, 166_418),
        ({"network": "mlp", "block": "residual", "blocks": 2}, 2 * (784 * 100 * 2 + 884) + 7_850),
    ],
)
def test_by_option_the_models_are_those_of_the_papers(tmp_path: Path, options: dict[str, Any], count: int) -> None:
    task = made(data="mnist", path=mnist(tmp_path), checksums=False, **options)
    assert sum(each.numel() for each in task.model.parameters()) == count
    loss = task.loss(0, 4, solving())
    loss.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in task.model.parameters())
    assert set(task.evaluate(solving())) == {"quality", "cross_entropy"}


def test_colour_images_are_standardised_by_channel() -> None:
    shade = np.array([1, 2, 3], np.uint8)[:, None, None]
    images, labels = np.ones((4, 3, 32, 32), np.uint8) * shade, np.zeros(4, np.int64)
    data = Images(2 * images, labels, 3 * images, labels, top=10, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    options = OdeNet(data="cifar10", path="not read", width=4)
    task, read = Classifier(options, data, 0, torch.float64, torch.device("cpu")), []
    task.model["stem"].register_forward_pre_hook(lambda _, given: read.append(given[0]))
    task.loss(0, 4, solving())
    task.evaluate(solving())
    assert torch.allclose(read[0], torch.zeros(4, 3, 32, 32, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(read[1], torch.ones(4, 3, 32, 32, dtype=torch.float64))


def test_a_minibatch_depends_on_the_seed_and_its_number_alone() -> None:
    one, other, third = (made(seed, width=4, crop=1) for seed in (0, 0, 1))
    third.model.load_state_dict(one.model.state_dict())
    with torch.no_grad():
        one.loss(40, 8, solving())
        assert one.loss(5, 8, solving()) == other.loss(5, 8, solving())
        assert one.loss(5, 8, solving()) != one.loss(6, 8, solving())
        assert one.loss(5, 8, solving()) != third.loss(5, 8, solving())


def test_weights_are_those_of_the_seed_in_either_dtype() -> None:
    pairs = zip(made(3).model.parameters(), made(3, torch.float32).model.parameters(), strict=True)
    assert all(torch.equal(double.float(), single) for double, single in pairs)


def test_the_held_out_digits_are_every_fifth_of_each_class() -> None:
    data = digits_module.digits()
    assert data.train.shape == (1437, 1, 8, 8)
    assert data.test.shape == (360, 1, 8, 8)
    every = np.bincount(np.concatenate((data.train_labels, data.test_labels)))
    assert np.all(np.abs(np.bincount(data.test_labels) - every / 5) <= 1)
    every_row = np.concatenate((data.train, data.test)).reshape(1797, 64)
    assert data.train.max() == data.top == every_row.max()
    from sklearn.datasets import load_digits

    assert sorted(map(tuple, every_row)) == sorted(map(tuple, load_digits().data.astype(np.uint8)))


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits_module.digits.cache_clear()
    with pytest.raises(DataError, match=r"pip install 'odebench\[train\]'"):
        made()


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_comes() -> None:
    images = torch.randint(1, 256, (200, 2, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    padded = functional.pad(images, (1, 1, 1, 1))
    windows = {at: padded[:, :, at[0] : at[0] + 4, at[1] : at[1] + 5] for at in product(range(3), range(3))}
    found = Counter()
    for index, each in enumerate(cropped(images, 1, torch.Generator().manual_seed(1))):
        (at,) = [at for at, window in windows.items() if torch.equal(window[index], each)]
        found[at] += 1
    assert len(found) == 9
    assert max(found.values()) < 3 * min(found.values())


def test_the_path_matrix_bounds_the_jacobian_of_the_field() -> None:
    task = made(network="mlp", width=5)
    field, y = task.model["block"], torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    paths = task.path_matrix()
    with torch.no_grad():
        field.first.weight[:, 7] = 0.0  # nothing reads pixel 7
    jacobian = torch.autograd.functional.jacobian(lambda row: field(torch.tensor(0.5), row[None])[0], y)
    assert (jacobian.abs() <= paths + 1e-12).all()
    assert task.path_matrix()[:, 7].count_nonzero() == 0
    assert jacobian[:, 7].count_nonzero() == 0
    assert jacobian.count_nonzero() == 64 * 63


def test_only_an_mlp_has_paths_to_regularise(tmp_path: Path) -> None:
    problems = "odenet, {odenet: {network: mlp}}"
    planned = make_plan(load_suites([suite(tmp_path, problems, "regularisers: [path]")]), 0).cells
    conv, mlp = (each.refusal for each in planned)
    assert "a product of layers" in str(conv)
    assert mlp is None


def test_files_that_cannot_be_used_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not the published one; `checksums: false` .* get it from https://"):
        made(data="mnist", path=mnist(tmp_path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{data: minst}", "did you mean 'mnist'"),
        ("{data: mnist}", "mnist is read from files of yours; give `path`"),
        ("{path: here}", "digits come with scikit-learn and are read from no path"),
        ("{blocks: 3}", "blocks are of `block: residual`"),
        ("{network: mlp, halvings: 1}", "`network: mlp` has none"),
        ("{width: 0}", "width must be at least 1, got 0"),
        ("{width: 15}", "width must be even"),
        ("{width: 80}", "a multiple of 32 beyond 64"),
        ("{halvings: 3}", "digits can be halved 2 times at most, got 3"),
        ("{crop: -1}", "crop must be at least 0, got -1"),
        ("{activation: swish}", "expected one of 'relu'"),
    ],
)
def test_options_that_no_model_has_are_refused(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suites([suite(tmp_path, f"{{odenet: {options}}}")])
    assert said in str(caught.value)


def test_planning_it_loads_no_torch() -> None:
    code = "import sys, odebench.workloads.odenet as o; o.OdeNet(); assert not {'torch', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
