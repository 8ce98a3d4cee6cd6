"""A batch of no rows, or of rows of nothing: solved and differentiated by every pair that takes one of some."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from odebench import Refusal, UsageError, odeint, registry

D = torch.float64
T = torch.tensor([0.0, 0.5, 1.0], dtype=D)
OPTIONS: tuple[dict[str, Any], ...] = ({}, {"dt": 0.5}, {"per_sample": True}, {"dense": True}, {"jump_t": [0.3]})


class Decay(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.ones((), dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = -self.k * y * (1 + 0 * t)
        return out


registry.load_builtins()


@pytest.mark.parametrize("gradient", [entry.name for entry in registry.gradients])
@pytest.mark.parametrize("shape", [(0, 2), *(pytest.param(x, marks=pytest.mark.slow) for x in ((3, 0), (0,)))])
def test_an_empty_batch_is_solved_wherever_a_full_one_is(shape: tuple[int, ...], gradient: str) -> None:
    full, solved = torch.ones([n or 2 for n in shape], dtype=D), 0
    for entry in registry.solvers:
        for options in OPTIONS:
            given: dict[str, Any] = {"method": entry.name, "gradient": gradient, "options": options}
            f, y0 = Decay(), torch.zeros(shape, dtype=D, requires_grad=True)
            try:
                ys = odeint(f, y0, T, **given)
            except (Refusal, UsageError):
                with pytest.raises((Refusal, UsageError)):
                    odeint(f, full, T, **given)
                continue
            assert ys.shape == (3, *shape)
            k_bar, y0_bar = torch.autograd.grad(ys.sum(), (f.k, y0), allow_unused=True)
            assert k_bar is None or k_bar.item() == 0
            assert y0_bar is None or y0_bar.shape == shape
            solved += 1
    assert solved > 20


@pytest.mark.parametrize("norm", ["rms", "max", lambda x: x.abs().amax()])
def test_samples_that_are_none_have_no_norm(norm: Any) -> None:
    ys = odeint(Decay(), torch.zeros(0, 2, dtype=D), T, options={"per_sample": True, "norm": norm})
    assert ys.shape == (3, 0, 2)
