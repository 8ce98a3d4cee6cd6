"""torch's default device is the user's affair: a solve takes place where y0 is."""

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


def solved(solver: Spec, gradient: str, adaptive: bool, dtype: torch.dtype, device: str) -> list[Tensor] | None:
    y0 = torch.linspace(0.2, 0.8, 8, dtype=D).reshape(2, 4).to(dtype).requires_grad_()
    w, t = torch.tensor(1.5, dtype=D, requires_grad=True), torch.tensor([0.0, 0.5, 1.0], dtype=D)

    def f(t: Tensor, y: Tensor) -> Tensor:
        q, p = y.chunk(2, -1)
        return torch.cat((p * w, -torch.sin(q)), -1)

    options = {} if adaptive else {"dt": 0.5}
    with torch.device(device):
        try:
            asked = {"method": solver, "gradient": gradient, "params": (w,), "options": options}
            ys = odeint(f, y0, t, rtol=1e-2, atol=1e-3, **asked)
        except Refusal:
            return None
        return [ys, *torch.autograd.grad(ys.abs().square().sum(), (y0, w))]


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("solver", SOLVED, ids=str)
def test_a_solve_asks_nothing_of_the_default_device(solver: Spec, gradient: str) -> None:
    for adaptive, dtype in ((False, D), (True, D), (False, torch.complex128)):
        if adaptive and gradient == "forward":
            continue  # the same calls, and many more of them
        # What is made on "meta" without meaning to has no data, and cannot take part.
        found = [solved(solver, gradient, adaptive, dtype, device) for device in ("cpu", "meta")]
        assert (found[0] is None) is (found[1] is None)
        for a, b in zip(*found, strict=True) if found[0] is not None else ():
            assert torch.equal(a, b)
