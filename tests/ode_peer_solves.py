"""What the tests of torchdiffeq and torchode share: a field that counts, small problems, and gradients in a row."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.controllers import Adaptive
from odebench.integrate import timed
from odebench.problems import Bound, bind
from odebench.spec import Spec
from odebench.types import Controller

registry.load_builtins()

TIGHT = Adaptive(rtol=1e-12, atol=1e-13)
ADAPTIVE = Spec.of("adaptive", {"rtol": 1e-5, "atol": 1e-7})


class CountingField(nn.Module):
    """f, counting calls and the cotangents that come back through them."""

    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f, self.calls, self.cotangents = f, 0, 0

    def forward(self, t: Tensor, y: Tensor) -> Any:
        self.calls += 1
        out = self.f(t, y)
        if out.requires_grad:
            out.register_hook(self._count)
        return out

    def _count(self, bar: Tensor) -> None:
        self.cotangents += 1


class Forced(nn.Module):
    """y' = A y + w sin(3t): a field that reads t."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[-0.3, 1.0], [-1.0, -0.2]], dtype=torch.float64))
        self.w = nn.Parameter(torch.tensor([0.7, -0.4], dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ self.a.T + self.w * torch.sin(3 * t)


class Broken(Forced):
    """A field that has no values."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return super().forward(t, y) * float("nan")


def small(name: str, saves: int = 1, backwards: bool = False, dtype: str = "float64", batch: int = 3) -> Bound:
    """mlp (5, 11) over [0, 2], conv (2, 3, size 4) over [0, 1] or lotka_volterra over [0, 1]."""
    known: dict[str, dict[str, Any]] = {
        "mlp": {"dim": 5, "hidden": 11, "span": (0.0, 2.0)},
        "conv": {"channels": 2, "hidden": 3, "size": 4, "span": (0.0, 1.0)},
        "lotka_volterra": {"span": (0.0, 1.0)},
    }
    options = known[name]
    if backwards:
        options["span"] = options["span"][::-1]
    return bind(Spec.of(name, {**options, "saves": saves}), batch=batch, seed=0, dtype=dtype, device="cpu")


def posed(f: Forced, ts: tuple[float, ...] = (0.0, 1.0), batch: int = 3) -> Bound:
    """A problem around a field of one's own."""
    y0 = torch.linspace(-1, 1, 2 * batch, dtype=torch.float64).reshape(batch, 2).requires_grad_()
    return Bound(f, tuple(f.parameters()), y0, ts, lambda ys: ys[-1].square().sum())


def native(bound: Bound, solver: str, gradient: str, control: Controller) -> Tensor:
    """odebench's own solve."""
    stepper, how = registry.solvers.build(Spec(solver)), registry.gradients.build(Spec(gradient))
    ys: Tensor = how.solve(timed(bound.f, bound.y0), bound.params, bound.y0, bound.ts, stepper, control)
    return ys


def gradient_of(bound: Bound, ys: Tensor) -> Tensor:
    """dL/dy0 and dL/dθ in one row."""
    parts = torch.autograd.grad(bound.loss(ys), (bound.y0, *bound.params))
    return torch.cat([part.reshape(-1) for part in parts])


def relative(got: Tensor, reference: Tensor) -> float:
    return float((got - reference).detach().norm() / reference.detach().norm())


def modules_after_importing(name: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after it imported `name`."""
    told = f"import sys, {name}; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
