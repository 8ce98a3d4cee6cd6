"""A neural CDE as an ODE: its paths, its rows, and its truth, which lands where the field has kinks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from odebench import truth
from odebench.errors import Refusal
from odebench.problems import Bound, bind, pose
from odebench.problems.cde_as_ode import END, backward_differences, spirals
from odebench.spec import Spec


def bound(batch: int = 3, **options: object) -> Bound:
    return bind(Spec.of("cde_as_ode", options), batch=batch, seed=1, dtype="float64", device="cpu")


def hermite_slope(x0: float, x1: float, m0: float, m1: float, h: float, s: float) -> float:
    """The derivative of the cubic through two points with two slopes, in the basis of textbooks."""
    basis = 6 * s * s - 6 * s, 3 * s * s - 4 * s + 1, 6 * s - 6 * s * s, 3 * s * s - 2 * s
    return basis[0] * x0 / h + basis[1] * m0 + basis[2] * x1 / h + basis[3] * m1


def test_the_field_is_the_network_times_the_slope_of_the_path() -> None:
    case, points = bound(observations=7), 7
    series, h = spirals(3, points, 1), END / 6
    for t in (0.0, 0.3 * h, 1.4 * h, 3.0 * h, 5.9 * h, 6.0 * h):
        k = min(int(t / h + 1e-12), points - 2)
        s = t / h - k
        slopes = np.empty((3, 3))
        for row in range(3):
            for channel in range(3):
                x = series[row, :, channel]
                ends = [(x[max(j, 1)] - x[max(j, 1) - 1]) / h for j in (k, k + 1)]
                slopes[row, channel] = hermite_slope(x[k], x[k + 1], *ends, h, s)
        w0, b0, w1, b1 = (p.detach() for p in case.params)
        hidden = torch.nn.functional.softplus(case.y0.detach() @ w0.T + b0)
        matrix = torch.tanh(hidden @ w1.T + b1).reshape(3, 8, 3)
        wanted = torch.einsum("bij,bj->bi", matrix, torch.tensor(slopes))
        got = case.f(torch.tensor(t, dtype=torch.float64), case.y0).detach()
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


def test_time_is_the_first_channel_and_passes_at_rate_1() -> None:
    slopes = backward_differences(spirals(4, 20, 0), END / 19)
    assert slopes.shape == (4, 20, 3)
    np.testing.assert_allclose(slopes[:, :, 0], 1.0, rtol=1e-12)


def test_samples_turn_either_way_and_a_smaller_batch_is_the_beginning_of_a_larger_one() -> None:
    many, few = spirals(6, 30, 2), spirals(3, 30, 2)
    np.testing.assert_array_equal(many[:3], few)
    turned = np.diff(np.unwrap(np.arctan2(many[:, :10, 2], many[:, :10, 1]), axis=1), axis=1).sum(1)
    assert list(np.sign(turned)) == [-1.0, 1.0] * 3


def test_the_slope_is_continuous_over_an_observation_and_goes_on_beyond_the_ends() -> None:
    case, h = bound(observations=7), END / 6
    before, after = (case.f(torch.tensor(2 * h + dt, dtype=torch.float64), case.y0) for dt in (-1e-9, 1e-9))
    torch.testing.assert_close(before, after, rtol=1e-7, atol=1e-8)
    assert case.f(torch.tensor(END + 1.0, dtype=torch.float64), case.y0).isfinite().all()
    assert case.f(torch.tensor(-1.0, dtype=torch.float64), case.y0).isfinite().all()


@pytest.mark.parametrize("which", ["rows", "times"])
def test_a_part_of_the_batch_and_a_time_for_each_row_are_refused(which: str) -> None:
    case = bound()
    t = torch.zeros((3, 1) if which == "times" else (), dtype=torch.float64)
    with pytest.raises(Refusal, match="each of the 3 samples has a path of its own"):
        case.f(t, case.y0 if which == "times" else case.y0[:2])


def test_paths_are_no_parameters_and_follow_the_dtype() -> None:
    case = bind(Spec("cde_as_ode"), batch=2, seed=0, dtype="float32", device="cpu")
    assert [tuple(p.shape) for p in case.params] == [(128, 8), (128,), (24, 128), (24,)]
    assert [b.dtype for b in case.f.buffers()] == [torch.float32]


def test_the_truth_lands_on_the_observations_and_its_loss_sees_the_saved_times_alone() -> None:
    case = bound(observations=5, span=(0.0, 7.0), saves=2)
    breaks = pose(Spec.of("cde_as_ode", {"observations": 5})).problem.breaks
    assert breaks == pytest.approx([k * math.pi for k in range(5)])
    landed = truth._stopping(case, breaks)
    assert landed.ts == pytest.approx((0.0, math.pi, 3.5, 2 * math.pi, 7.0))
    ys = torch.arange(5.0).reshape(5, 1, 1)
    assert landed.loss(ys) == case.loss(ys[[0, 2, 4]])
    assert truth._stopping(case, ()) is case


def test_its_truth_can_be_had() -> None:
    spec = Spec.of("cde_as_ode", {"observations": 4, "width": 6, "hidden": 3})
    found = truth.compute_truth(spec, dtype="float64", batch=2, seed=0)
    assert found.agreement < 1e-10
    assert found.y1.shape == (2, 3)
