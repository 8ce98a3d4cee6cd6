"""A solver to check stiff solvers against: Radau IIA collocation in float64, with its exact reverse sweep.

It shares no code, no tableau and no step-size control with `odebench.solvers`, `integrate` and `gradients`. s stages
are of order 2s − 1; all of a step's stages are solved together. The gradient is that of the steps taken, by the
implicit function theorem: it tends to the gradient of the ODE as the steps' own error tends to 0, and how near it is
shows when two orders are compared. The samples of the batch must not depend on one another; where they do the reverse
sweep finds out.

Hairer, Wanner, Solving Ordinary Differential Equations II, sections IV.5 and IV.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise
from math import comb, isfinite, ulp

import numpy as np
import torch
from torch import Tensor

from odebench.errors import SolveError
from odebench.reference import Function, Macro, Solution

_MOST_ITERATIONS = 30
_COUPLED = 1e-10  # of the terms of a VJP, by which it may differ from that of the samples one by one


@dataclass(frozen=True)
class Collocation:
    """How finely to solve: `stages` of Radau IIA, an odd number; `tolerance` bounds the estimate of the embedded
    solution, which is of order `stages` only, relative to each component of the step.
    """

    stages: int = 7
    tolerance: float = 1e-9
    max_steps: int = 20_000


@dataclass(frozen=True)
class Scheme:
    """Nodes and matrix of the collocation; the estimate is (I − dt·γ·J)⁻¹·(dt·γ·f(y) + Σ e·Z), Z the increments."""

    c: tuple[float, ...]
    a: Tensor
    e: Tensor
    gamma: float


@cache
def scheme(stages: int) -> Scheme:
    """In 50 digits before it is rounded."""
    with localcontext() as context:
        context.prec = 50
        c = _nodes(stages)
        a = [[_integral(c, j, node) for j in range(stages)] for node in c]
        exact = torch.tensor([[float(x) for x in row] for row in a], dtype=torch.float64)
    eigenvalues = np.linalg.eigvals(exact.numpy())
    gamma = float(eigenvalues[np.abs(eigenvalues.imag).argmin()].real)
    # Weights of f with γ at the start of the step, of order `stages`; then by Z = dt·A·f in terms of Z.
    powers = np.array([[float(node) ** k for node in c] for k in range(stages)])
    low = np.linalg.solve(powers, [1.0 / (k + 1) - (gamma if k == 0 else 0.0) for k in range(stages)])
    e = np.linalg.solve(exact.numpy().T, low - exact[-1].numpy())
    return Scheme(tuple(map(float, c)), exact, torch.tensor(e), gamma)


def _nodes(stages: int) -> list[Decimal]:
    """Zeros of the (s − 1)-th derivative of x^(s−1)·(x − 1)^s."""
    s = stages
    product = [0] * (s - 1) + [comb(s, k) * (-1) ** (s - k) for k in range(s + 1)]
    for _ in range(s - 1):
        product = [k * factor for k, factor in enumerate(product)][1:]
    slopes = [k * factor for k, factor in enumerate(product)][1:]
    found = []
    for root in sorted(np.roots(product[::-1]).real):
        x = Decimal(float(root))
        for _ in range(8):
            x -= _value(product, x) / _value(slopes, x)
        found.append(x)
    found[-1] = Decimal(1)
    return found


def _value(polynomial: Sequence[int | Decimal], x: Decimal) -> Decimal:
    total = Decimal(0)
    for factor in reversed(polynomial):
        total = total * x + factor
    return total


def _integral(c: list[Decimal], j: int, end: Decimal) -> Decimal:
    """Of the j-th Lagrange polynomial on the nodes, from 0 to `end`."""
    polynomial = [Decimal(1)]
    for m, node in enumerate(c):
        if m != j:
            shifted = [Decimal(0), *polynomial]
            for k, factor in enumerate(polynomial):
                shifted[k] -= node * factor
            polynomial = [factor / (c[j] - node) for factor in shifted]
    return _value([Decimal(0), *(factor / (k + 1) for k, factor in enumerate(polynomial))], end)


def solve(f: Function, y0: Tensor, ts: Sequence[float], how: Collocation) -> Solution:
    """Integrate y' = f(t, y) through `ts`, monotone either way, from float64 `y0` of shape (batch, …).

    One step size serves the whole batch, and the component that is worst off decides it.

    Raises:
        SolveError: the step size underflowed, or `how.max_steps` steps were not enough.
    """
    y, dt, spent = y0.detach(), 0.0, 0
    states, legs = [y], []
    with torch.no_grad():
        for start, stop in pairwise(ts):
            leg: list[Macro] = []
            t = start
            dt = dt or 1e-6 * (stop - t) / max(1.0, abs(stop - t))
            while t != stop:
                spent += 1
                if spent > how.max_steps:
                    raise SolveError(
                        f"the stiff reference took {how.max_steps} steps and got to t={t:.6g} of {ts[-1]:.6g} only; "
                        "shorten the span"
                    )
                t1 = stop if abs(stop - t) <= 1.05 * abs(dt) else t + dt
                if t1 != stop and abs(dt) < 8 * ulp(t):
                    raise SolveError(f"the stiff reference's step size underflowed at t={t:.17g}")
                increments, factor = _attempt(f, t, t1 - t, y, how)
                dt = (t1 - t) * factor
                if increments is not None:
                    leg.append(Macro(t, t1, y))
                    t, y = t1, y + increments[-1]
            states.append(y)
            legs.append(tuple(leg))
    return Solution(torch.stack(states), tuple(legs))


def pull_back(
    f: Function, params: Sequence[Tensor], solution: Solution, ys_bar: Tensor, how: Collocation
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The cotangents of y0 and of `params`, from `ys_bar`, that of `solution.ys`.

    Raises:
        SolveError: the samples of the batch depend on one another.
    """
    bar = ys_bar[-1]
    params_bar = [torch.zeros_like(parameter) for parameter in params]
    for leg, saved_bar in zip(reversed(solution.legs), reversed(ys_bar[:-1].unbind()), strict=True):
        for macro in reversed(leg):
            bar, shares = _pull(f, params, macro, bar, how)
            for total, share in zip(params_bar, shares, strict=True):
                total += share
        bar = bar + saved_bar
    return bar, tuple(params_bar)


def _attempt(f: Function, t: float, dt: float, y: Tensor, how: Collocation) -> tuple[Tensor | None, float]:
    """Try one step: (the increments of all stages or None if it is rejected, by what to multiply the step)."""
    s = scheme(how.stages)
    slope, jacobian = _linearised(f, t, y)
    z = _newton(f, t, dt, y, jacobian, s)
    if z is None:
        return None, 0.25
    eye = torch.eye(jacobian.shape[-1], dtype=torch.float64)
    defect = dt * s.gamma * slope.flatten(1) + torch.einsum("s,sbn->bn", s.e, z.flatten(2))
    error = torch.linalg.solve(eye - dt * s.gamma * jacobian, defect)
    size = torch.maximum(y.flatten(1).abs(), (y + z[-1]).flatten(1).abs())
    scale = torch.maximum(size, 1e-8 * size.amax(1, keepdim=True)).clamp_min(1e-290)
    ratio = float((error.abs() / scale).max()) / how.tolerance
    if not isfinite(ratio):
        return None, 0.25
    factor = min(4.0, max(0.2, 0.85 * max(ratio, 1e-30) ** (-1.0 / (how.stages + 1))))
    return (z, factor) if ratio <= 1.0 else (None, min(factor, 0.9))


def _newton(f: Function, t: float, dt: float, y: Tensor, jacobian: Tensor, s: Scheme) -> Tensor | None:
    """The increments Z = dt·A·F(y + Z), shape (stages, *y.shape), as near as rounding lets them be; None if none."""
    count, (rows, n) = len(s.c), jacobian.shape[:2]
    system = torch.eye(count * n, dtype=torch.float64) - dt * torch.einsum("ij,bkl->bikjl", s.a, jacobian).reshape(
        rows, count * n, count * n
    )
    factors = torch.linalg.lu_factor(system)
    before = float("inf")
    z: Tensor = torch.zeros((count, *y.shape), dtype=torch.float64)
    for _ in range(_MOST_ITERATIONS):
        slopes = torch.stack([f(_time(t + c * dt), y + each) for c, each in zip(s.c, z, strict=True)])
        defect = dt * torch.einsum("ij,j...->i...", s.a, slopes) - z
        columns = defect.flatten(2).transpose(0, 1).reshape(rows, count * n, 1)
        step: Tensor = torch.linalg.lu_solve(*factors, columns).reshape(rows, count, n).transpose(0, 1).reshape(z.shape)
        z = z + step
        size = float((step.abs() / torch.maximum(y.abs(), (y + z).abs()).clamp_min(1e-290)).max())
        rows_size = (y + z).flatten(2).abs().amax(2, keepdim=True)
        noise = float((step.flatten(2).abs() / rows_size.clamp_min(1e-290)).max())
        if not isfinite(size):
            return None
        if size <= 1e-15 or (size >= 0.5 * before and noise <= 1e-13):
            return z
        if size >= 2 * before:
            return None
        before = size
    return None


def _pull(
    f: Function, params: Sequence[Tensor], macro: Macro, bar: Tensor, how: Collocation
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(cotangent of the state before the step, shares of those of `params`).

    With Z̄ the cotangents of the increments, λ_j − J_jᵀμ_j = Z̄_j for μ_j = dt·Σ_i a_ij·λ_i; then ȳ is the sum of the λ.
    """
    s, dt, y = scheme(how.stages), macro.t1 - macro.t, macro.y
    with torch.no_grad():
        z = _newton(f, macro.t, dt, y, _linearised(f, macro.t, y)[1], s)
    assert z is not None, "the step was solved on the way forward"
    points = [(y + each).detach().requires_grad_() for each in z]
    with torch.enable_grad():
        slopes = [f(_time(macro.t + c * dt), x) for c, x in zip(s.c, points, strict=True)]
    jacobians = torch.stack([_rows(slope, x) for slope, x in zip(slopes, points, strict=True)], 1)
    rows, count, n = jacobians.shape[:3]
    system = torch.eye(count * n, dtype=torch.float64) - dt * torch.einsum("ij,bjkl->bjlik", s.a, jacobians).reshape(
        rows, count * n, count * n
    )
    wanted = torch.zeros((rows, count, n), dtype=torch.float64)
    wanted[:, -1] = bar.flatten(1)
    solved = torch.linalg.solve(system, wanted.reshape(rows, count * n)).reshape(rows, count, n)
    passed = list(dt * torch.einsum("ij,bin->jbn", s.a, solved).reshape(count, *y.shape))
    live = [(slope, each) for slope, each in zip(slopes, passed, strict=True) if slope.requires_grad]
    if not live:  # neither the state nor θ enters: the cotangent passes as it is
        return bar, tuple(map(torch.zeros_like, params))
    outs, bars = zip(*live, strict=True)
    found = torch.autograd.grad(outs, (*points, *params), bars, materialize_grads=True)
    back = torch.stack(found[:count]).flatten(2).transpose(0, 1)
    flat = torch.stack(passed).flatten(2)
    alone = torch.einsum("bjkl,jbk->bjl", jacobians, flat)
    terms = torch.einsum("bjkl,jbk->bjl", jacobians.abs(), flat.abs())
    if float((back - alone).abs().max()) > _COUPLED * float(terms.max()):
        raise SolveError(
            "the stiff reference takes the samples of a batch one by one, and here they depend on each other"
        )
    return solved.sum(1).reshape(y.shape), found[count:]


def _linearised(f: Function, t: float, y: Tensor) -> tuple[Tensor, Tensor]:
    """(f, its Jacobian sample by sample, shape (batch, n, n))."""
    with torch.enable_grad():
        x = y.detach().requires_grad_()
        slope = f(_time(t), x)
    return slope.detach(), _rows(slope, x)


def _rows(slope: Tensor, x: Tensor) -> Tensor:
    found = []
    for i in range(x[0].numel()):
        bar = torch.zeros_like(x).flatten(1)
        bar[:, i] = 1.0
        if slope.requires_grad:
            (row,) = torch.autograd.grad(slope, x, bar.view(x.shape), retain_graph=True, materialize_grads=True)
        else:
            row = torch.zeros_like(x)
        found.append(row.flatten(1))
    return torch.stack(found, 1)


def _time(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)
