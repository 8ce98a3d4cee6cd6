"""Tables of docs/figures.md on the way back: who returns, and where reversibility breaks."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import torch
from figures_table import measured, option, sci, shown, steps_of, table

import odebench
from odebench.problems import bind
from odebench.record import Record
from odebench.spec import Spec

EPS = 2.0**-53


def contraction(problem: Spec) -> float:
    """max over s < t of −∫ div f, along the solution from the published start: the log of what the flow contracts."""
    bound = bind(problem, batch=1, seed=0, dtype="float64", device="cpu")
    ts = torch.linspace(bound.ts[0], bound.ts[-1], 4001, dtype=torch.float64)
    with torch.no_grad():
        ys = odebench.odeint(bound.f, bound.y0, ts, method="dopri8", rtol=1e-10, atol=1e-12)
    rates = []
    for t, y in zip(ts, ys, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y, t=t: bound.f(t, y), y)
        rates.append(-torch.trace(jacobian.reshape(y.numel(), y.numel())))
    areas = torch.cumulative_trapezoid(torch.stack(rates), ts)
    running = torch.cat([torch.zeros(1, dtype=torch.float64), areas])
    return float((running - torch.cummin(running, 0).values).max())


def reversal(records: Sequence[Record]) -> str:
    """Who gets back to where it started."""
    records, rows = measured(records), []
    for problem in dict.fromkeys(r.cell.problem for r in records):
        lost = contraction(problem)
        cells = {(r.cell.solver.name, r.cell.stepping.name): r for r in records if r.cell.problem == problem}
        order = [("dopri5", "adaptive"), ("dopri5", "fixed"), ("alf", "fixed")]
        order += [("reversible_heun", "fixed"), ("coupled", "fixed")]
        errors = [shown(cells[pair], "reverse_error") for pair in order]
        rows.append((f"`{problem}`", f"{lost:.1f}", sci(EPS * exp(lost)), *errors))
    head = "problem | contraction c | 2⁻⁵³·eᶜ | `dopri5` adjoint, adaptive | `dopri5` adjoint, fixed | `alf` | "
    return table(head + "`reversible_heun` | `coupled(dopri5, 0.999)`", rows)


def toy(records: Sequence[Record]) -> str:
    """The toy problem of the MALI paper."""
    rows = []
    for r in measured(records):
        span = option(r.cell.problem, "span")
        assert isinstance(span, tuple)
        m, name = r.metrics, "reversible (MALI)" if r.cell.gradient.name == "reversible" else r.cell.gradient.name
        rows.append((
            f"{span[1]:g}", f"`{r.cell.solver}`", name, int(m["steps"]), int(m["nfe_forward"]), int(m["nfe_backward"]),
            sci(m["gradient_error_y0"]), sci(m["gradient_error_parameters"]), sci(m["gradient_error_discrete"]),
            int(m["peak_memory_bytes"]),
        ))  # fmt: skip
    head = "T | solver | gradient | steps | nfe forward | nfe backward | error dL/dz0 | error dL/dα | discrete"
    return table(f"{head} | peak bytes", rows)


def horizon(records: Sequence[Record]) -> str:
    """Where reversibility breaks."""
    records = measured(records)
    steps = list(dict.fromkeys(map(steps_of, records)))
    rows = []
    for solver, dtype in dict.fromkeys((str(r.cell.solver), r.cell.dtype) for r in records):
        mine = {steps_of(r): r for r in records if (str(r.cell.solver), r.cell.dtype) == (solver, dtype)}
        errors = [shown(mine[n], "reverse_error") if n in mine else "" for n in steps]
        rows.append((f"`{solver}`", dtype, *errors))
    return table(f"solver | dtype | {' | '.join(f'N = {n}' for n in steps)}", rows)
