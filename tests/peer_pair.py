"""A peer's solve and the native one, on the same problem, for the tests of adapters."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import torch
from torch import Tensor, nn

from odebench import registry
from odebench.integrate import timed
from odebench.problems import Bound, bind
from odebench.registry import load_builtins
from odebench.spec import Spec

load_builtins()

PROBLEMS = {
    "mlp": {"dim": 5, "hidden": 11, "span": (0.0, 2.0)},
    "lotka_volterra": {"span": (0.0, 1.0)},
}


class Tallied(nn.Module):
    """f with its calls counted; its parameters are f's."""

    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f, self.calls = f, 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        assert isinstance(t, Tensor)
        assert (t.shape, t.dtype) == ((), y.dtype)
        self.calls += 1
        return self.f(t, y)


class Forced(nn.Module):
    """A field that depends on time."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[-0.3, 1.0], [-1.0, -0.2]], dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ self.w + torch.sin(3 * t)


def posed(problem: str, saves: int = 1, dtype: str = "float64", **options: object) -> Bound:
    given = PROBLEMS.get(problem, {}) | {"saves": saves} | options
    return bind(Spec.of(problem, given), batch=3, seed=0, dtype=dtype, device="cpu")


def forced(ts: tuple[float, ...], dtype: torch.dtype = torch.float64) -> Bound:
    f = Forced(dtype)
    y0 = torch.tensor([[1.0, 0.5], [0.2, -0.4]], dtype=dtype, requires_grad=True)
    return Bound(f, tuple(f.parameters()), y0, ts, lambda ys: ys.square().sum())


def fixed(steps: int) -> Spec:
    return Spec.of("fixed", {"steps": steps})


def adaptive(tolerance: float) -> Spec:
    return Spec.of("adaptive", {"rtol": tolerance, "atol": tolerance})


def peer(
    module: ModuleType, method: str, gradient: str, stepping: Spec, bound: Bound
) -> tuple[Tensor, Tensor, int, int]:
    """(solution, flat gradient of the sum of squares of all saved states, calls of f forward, and backward)."""
    f = Tallied(bound.f)
    ys = module.solve(method, Spec(gradient), stepping, bound, f)
    forward = f.calls
    return (*_pulled(ys, bound), forward, f.calls - forward)


def native(solver: str, gradient: str, stepping: Spec, bound: Bound) -> tuple[Tensor, Tensor]:
    """The same by odebench's own."""
    ys = registry.gradients.build(Spec(gradient)).solve(
        timed(bound.f, bound.y0),
        bound.params,
        bound.y0,
        bound.ts,
        registry.solvers.build(Spec(solver)),
        registry.steppings.build(stepping),
    )
    return _pulled(ys, bound)


def truth(bound: Bound) -> tuple[Tensor, Tensor]:
    return native("dopri8", "direct", adaptive(1e-12), bound)


def gap(got: Tensor, reference: Tensor) -> float:
    return float((got - reference).norm() / reference.norm())


def imported_with(module: str, *unwanted: str) -> list[str]:
    """Which of `unwanted` a fresh process has loaded after importing `module`."""
    code = f"import sys, {module}; print(*(name for name in {unwanted!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def _pulled(ys: Tensor, bound: Bound) -> tuple[Tensor, Tensor]:
    leaves = (bound.y0, *bound.params)
    for leaf in leaves:
        leaf.grad = None
    ys.square().sum().backward()
    return ys.detach(), torch.cat([leaf.grad.reshape(-1) for leaf in leaves if leaf.grad is not None])
