"""What bounds adaptive steps: norms, the shortest and the longest step, the first one."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from test_stepping import decay, run
from torch import Tensor

from odebench import registry
from odebench.controllers import Adaptive
from odebench.errors import Divergence, OptionError
from odebench.integrate import timed
from odebench.peers.peer import Peer
from odebench.spec import Spec


def wave(t: Tensor, y: Tensor) -> Tensor:
    return torch.cos(10 * t) * torch.ones_like(y)


def lengths(found: Any) -> list[float]:
    return [abs(tick.dt) for tick in found.mesh]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"norm": "l2"}, "norm must be one of rms, max"),
        ({"min_step": -1.0}, "min_step must be at least 0"),
        ({"max_step": 0.0}, "less than max_step"),
        ({"min_step": 0.5, "max_step": 0.1}, "leave out the one that is not meant"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_what_to_do(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Adaptive(**options)


def test_a_suite_cannot_name_a_norm_that_there_is_not() -> None:
    from odebench.suite.options import canonical

    with pytest.raises(OptionError, match="'rms', 'max'"):
        canonical("stepping", {"adaptive": {"norm": "l2"}})
    assert (
        str(canonical("stepping", {"adaptive": {"norm": "max", "max_step": 1}})) == "adaptive(max_step=1.0, norm=max)"
    )


def test_the_largest_error_asks_for_more_steps_than_the_mean_where_one_component_alone_errs() -> None:
    y0 = torch.cat([torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 99, dtype=torch.float64)], 1)
    mean, most = (run(decay, "dopri5", Adaptive(1e-8, 1e-8, norm=norm), (0.0, 5.0), y0) for norm in ("rms", "max"))
    assert len(most.mesh) > 1.3 * len(mean.mesh)
    alone = run(decay, "dopri5", Adaptive(1e-8, 1e-8), (0.0, 5.0))
    assert lengths(most) == pytest.approx(lengths(alone), rel=1e-9)


def test_a_norm_of_ones_own_sees_tensors_shaped_like_the_state() -> None:
    shapes = set()

    def norm(x: Tensor) -> Tensor:
        shapes.add(tuple(x.shape))
        return x.square().mean().sqrt()

    own = run(decay, "dopri5", Adaptive(1e-6, 1e-8, norm=norm), (0.0, 1.0))
    assert shapes == {(1, 1)}
    assert lengths(own) == pytest.approx(lengths(run(decay, "dopri5", Adaptive(1e-6, 1e-8), (0.0, 1.0))), rel=1e-9)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("first_step", [None, 1.0])
def test_no_step_is_longer_than_the_longest_allowed(first_step: float | None, dense: bool) -> None:
    control = Adaptive(1e-3, 1e-3, max_step=0.07, first_step=first_step, dense=dense)
    found = run(decay, "dopri5", control, (0.0, 0.35, 1.0))
    assert max(lengths(found)) <= 0.07
    assert len(found.mesh) in (15, 16)  # nothing but the limit holds it up


def test_steps_of_the_shortest_length_are_taken_whatever_their_error_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match=r"min_step = 0\.25 were taken .* lower min_step, or loosen the tolerance"):
        found = run(wave, "heun", Adaptive(1e-9, 1e-9, min_step=0.25), (0.0, 1.0))
    assert lengths(found) == [0.25] * 4


def test_a_step_may_be_shorter_than_the_shortest_to_land() -> None:
    with pytest.warns(UserWarning, match="above the tolerance"):
        found = run(wave, "heun", Adaptive(1e-9, 1e-9, min_step=0.25), (0.0, 0.1, 1.0))
    assert lengths(found) == pytest.approx([0.1, 0.25, 0.25, 0.25, 0.15])


def test_a_field_that_is_not_finite_is_a_divergence_also_where_steps_may_not_shrink() -> None:
    def f(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t > 0.5, torch.full_like(y, float("nan")), -y)

    with pytest.raises(Divergence, match=r"t = 0\.4"):
        run(f, "dopri5", Adaptive(1e-3, 1e-3, min_step=0.2), (0.0, 1.0))


@pytest.mark.parametrize(("solver", "calls"), [("dopri5", 2), ("heun", 2)])
def test_the_first_step_is_hairers(solver: str, calls: int) -> None:
    seen: list[float] = []

    def f(t: Tensor, y: Tensor) -> Tensor:
        seen.append(float(t))
        return -2 * y

    stepper, y0, tolerance = registry.solvers.build(Spec(solver)), torch.tensor([[3.0, 4.0]], dtype=torch.float64), 1e-6
    field = timed(f, y0)
    h, _ = Adaptive(tolerance, tolerance).first(field, stepper, (0.0, 10.0), stepper.init(field, 0.0, y0))
    # d0, d1, d2 are the RMS of y, y' and y'' in units of the tolerance: y' = −2y, y'' = 4y.
    units = sqrt(sum((y / (tolerance + tolerance * y)) ** 2 for y in (3.0, 4.0)) / 2)
    h0 = 0.01 * units / (2 * units)
    h1 = (0.01 / max(2 * units, 4 * units)) ** (1 / stepper.error_order)
    assert h == pytest.approx(min(100 * h0, h1), rel=1e-12)
    assert seen == pytest.approx([0.0, h0])
    assert len(seen) == calls


@pytest.mark.parametrize(("option", "value"), [("norm", "max"), ("min_step", 0.1), ("max_step", 0.1)])
def test_what_no_other_library_is_driven_by_is_refused_there(option: str, value: Any) -> None:
    asked = {"saves": 1, "dtype": "float64", "device": "cpu"}
    for library, method in (("torchdiffeq", "dopri5"), ("torchode", "dopri5"), ("diffrax", "dopri5")):
        said = Peer(library, method).misfit(Spec("direct"), Spec.of("adaptive", {option: value}), **asked)
        assert said is not None
        assert f"not driven by {option}" in said
    default = Spec.of("adaptive", {option: getattr(Adaptive, option)})
    assert Peer("torchdiffeq", "dopri5").misfit(Spec("direct"), default, **asked) is None
