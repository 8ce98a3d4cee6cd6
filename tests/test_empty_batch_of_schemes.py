"""A batch of no sample is solved, with every scheme and every gradient that goes with it."""

from __future__ import annotations

import pytest
import torch
from matrix import SOLVERS
from torch import Tensor

from odebench import odeint
from odebench.errors import Refusal
from odebench.spec import Spec

D = torch.float64
ALL = [*SOLVERS, *(Spec(name) for name in ("implicit_euler", "kvaerno3", "kvaerno4", "kvaerno5"))]
ALL += [Spec.of("kvaerno3", {"jacobian": "differences"}), Spec.of("kvaerno5", {"linear": "krylov"})]
SAMPLE = {"dopri5", "vern7", "alf", "coupled(base=rk4)", "leapfrog", "abm(order=3)", "backstep", "kvaerno3"}
SOLVED = [pytest.param(solver, marks=[] if str(solver) in SAMPLE else pytest.mark.slow) for solver in ALL]
GRADIENTS = ("direct", "adjoint", "interpolated", "aca", "recursive", "reversible", "symplectic", "forward")


@pytest.mark.parametrize("shape", [(0, 4), (0,), (3, 0)], ids=str)
@pytest.mark.parametrize("solver", SOLVED, ids=str)
def test_an_empty_batch_is_solved_with_every_gradient(solver: Spec, shape: tuple[int, ...]) -> None:
    solved = 0
    for dtype in (D, torch.complex128):
        for gradient in GRADIENTS:
            for options in ({"dt": 0.25}, {}):
                y0 = torch.ones(shape, dtype=dtype, requires_grad=True)
                w = torch.tensor(1.5, dtype=D, requires_grad=True)

                def f(t: Tensor, y: Tensor, w: Tensor = w) -> Tensor:
                    q, p = y.chunk(2, -1)
                    return torch.cat((p * w, -torch.sin(q)), -1).reshape(y.shape)

                try:
                    asked = {"method": solver, "gradient": gradient, "params": (w,), "options": options}
                    ys = odeint(f, y0, torch.tensor([0.0, 1.0], dtype=D), rtol=1e-4, atol=1e-6, **asked)
                except Refusal:
                    continue
                bars = torch.autograd.grad(ys.abs().sum(), (y0, w))
                assert (ys.shape, bars[0].shape, float(bars[1])) == ((2, *shape), shape, 0.0)
                solved += 1
    assert solved >= 10
