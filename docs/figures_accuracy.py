"""Tables of docs/figures.md on solutions: orders, tolerances beside SciPy, stiff problems beside known ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import log
from statistics import linear_regression
from typing import Any, NamedTuple

import torch
from figures_table import in_order, measured, option, sci, shown, steps_of, table

import odebench
from odebench.problems import bind
from odebench.record import Record
from odebench.registry import solvers
from odebench.spec import Spec
from odebench.truth import compute_truth

BAND = 10  # times the error of DOP853

BARI = "Bari test set"  # F. Mazzia, C. Magherini, Test set for initial value problem solvers, University of Bari
RADAU = "SciPy's Radau at rtol 1e-12"
# (problem, tolerances, where its end is from, the end)
ENDS: tuple[tuple[Spec, tuple[float, float], str, tuple[float, ...]], ...] = (
    (Spec("robertson"), (1e-9, 1e-16), RADAU, (0.715827068719405, 9.18553476455e-6, 0.284163745745830)),
    (
        Spec.of("robertson", {"span": (0.0, 1e11)}), (1e-9, 1e-20), BARI,
        (0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050),
    ),
    (
        Spec.of("van_der_pol", {"mu": 1000.0, "span": (0.0, 2000.0)}), (1e-9, 1e-14), BARI,
        (1.706167732170469, -0.8928097010248125e-3),
    ),
    (Spec("oregonator"), (1e-9, 1e-14), BARI, (1.000814870318523, 1228.178521549917, 132.0554942846706)),
)  # fmt: skip


def orders(records: Sequence[Record]) -> str:
    """Must the order be believed? The slope of the error over the steps."""
    found: dict[tuple[Spec, Spec], list[tuple[int, float]]] = {}
    for record in measured(records):
        error = record.metrics["solution_error"]
        if 1e-11 <= error <= 1e-3:
            found.setdefault((record.cell.solver, record.cell.problem), []).append((steps_of(record), error))
    rows = []
    for (solver, problem), points in found.items():
        claimed = solvers.build(solver).order
        fit = linear_regression([log(n) for n, _ in points], [log(e) for _, e in points])
        span = f"{sci(points[0][1])} … {sci(points[-1][1])}"
        rows.append((f"`{solver}`", f"`{problem}`", len(points), span, claimed, f"{-fit.slope:.2f}"))
    return table("solver | problem | step sizes | errors | claimed | observed", rows)


def tolerances(records: Sequence[Record]) -> str:
    """Error and evaluations of each solver, beside SciPy's DOP853 at the same tolerance."""
    records = measured(records)
    names = in_order(r.cell.solver for r in records)
    rows, beyond = [], []
    for problem, tolerance in dict.fromkeys((r.cell.problem, rtol(r)) for r in records):
        cells = {str(r.cell.solver): r for r in records if (r.cell.problem, rtol(r)) == (problem, tolerance)}
        theirs = scipys("DOP853", problem, tolerance)
        told = (both(cells[name], theirs.error) if name in cells else "" for name in names)
        rows.append((f"`{problem}`", f"{tolerance:.0e}", f"{sci(theirs.error)} / {theirs.evaluations}", *told))
        beyond += [r for r in cells.values() if outside(r, theirs.error)]
    head = f"problem | rtol = atol | SciPy's `DOP853` | {' | '.join(f'`{name}`' for name in names)}"
    return f"{table(head, rows)}\n\n{missed(names, beyond, len(records))}"


def outside(record: Record, band: float) -> bool:
    """Whether the cell errs by more than ten times as much, or did not come to its end."""
    return record.status != "ok" or not record.metrics["solution_error"] <= BAND * band


def both(record: Record, band: float) -> str:
    """Error over evaluations, and in bold by how much it misses the band."""
    told = f"{shown(record, 'solution_error')} / {record.metrics.get('nfe_forward', '')}"
    return f"{told}, **{over(record, band)}**" if outside(record, band) else told


def over(record: Record, other: float) -> str:
    """The error of a cell as a multiple of another."""
    return times(record.metrics["solution_error"] / other) if record.status == "ok" else record.status


def times(ratio: float) -> str:
    """A multiple, to two digits or to the whole number."""
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"


def missed(names: Sequence[str], beyond: Sequence[Record], cells: int) -> str:
    """Who leaves the band, and how SciPy's own order 5 does there."""
    within = [name for name in names if name not in {str(r.cell.solver) for r in beyond}]
    rows = []
    for r in beyond:
        problem, tolerance = r.cell.problem, rtol(r)
        eighth, fifth = (scipys(method, problem, tolerance) for method in ("DOP853", "RK45"))
        rows.append((
            f"`{r.cell.solver}`", f"`{problem}`", f"{tolerance:.0e}", over(r, eighth.error),
            times(fifth.error / eighth.error), over(r, tolerance), times(eighth.error / tolerance),
            r.metrics.get("steps", ""), fifth.steps, eighth.steps,
        ))  # fmt: skip
    head = "outside the band | problem | rtol = atol | over `DOP853` | `RK45` over `DOP853` | over the tolerance"
    head += " | `DOP853` over the tolerance | steps | steps of `RK45` | steps of `DOP853`"
    return (
        f"Of {cells} cells {cells - len(beyond)} are within {BAND} times the error of `DOP853`; always within: "
        f"{', '.join(f'`{name}`' for name in within) or 'none'}. The others, beside SciPy's `RK45`, which is the "
        f"pair of `dopri5`:\n\n{table(head, rows)}"
    )


def rtol(record: Record) -> float:
    """The tolerance of a cell."""
    found = option(record.cell.stepping, "rtol")
    assert isinstance(found, float)
    return found


@cache
def true_end(problem: Spec) -> Any:
    """y(t1) as a cell has it to compare with."""
    return compute_truth(problem, dtype="float64", batch=1, seed=0).y1[0]


class Scipys(NamedTuple):
    """What `solve_ivp` gave: the error in the norm of `solution_error`, calls of f, accepted steps."""

    error: float
    evaluations: int
    steps: int


@cache
def scipys(method: str, problem: Spec, tolerance: float) -> Scipys:
    """SciPy's solver on the same field, measured here."""
    import numpy as np
    from scipy.integrate import solve_ivp

    bound = bind(problem, batch=1, seed=0, dtype="float64", device="cpu")

    def f(t: float, y: Any) -> Any:
        with torch.no_grad():
            return bound.f(torch.tensor(t, dtype=torch.float64), torch.from_numpy(y)[None])[0].numpy()

    start, span = bound.y0.detach()[0].numpy(), (bound.ts[0], bound.ts[-1])
    got = solve_ivp(f, span, start, method=method, rtol=tolerance, atol=tolerance)
    true = true_end(problem)
    error = float(np.linalg.norm(got.y[:, -1] - true) / np.linalg.norm(true))
    return Scipys(error, int(got.nfev), len(got.t) - 1)


def stiff(records: Sequence[Record]) -> str:
    """What an implicit solver pays and an explicit one does; and the ends, digit by digit."""
    rows = []
    for r in measured(records):
        m, tolerance = r.metrics, f"{rtol(r):.0e}, {option(r.cell.stepping, 'atol'):.0e}"
        counts = (m.get(each, "") for each in ("steps", "rejected", "nfe_forward", "vjp_forward"))
        errors = (shown(r, each) for each in ("solution_error", "gradient_error", "gradient_error_discrete"))
        rows.append((f"`{r.cell.problem}`", f"`{r.cell.solver}`", tolerance, *counts, *errors))
    head = "problem | solver | rtol, atol | steps | rejected | evaluations | products with the Jacobian"
    head += " | `solution_error` | `gradient_error` | `gradient_error_discrete`"
    return f"{table(head, rows)}\n\n{ends()}"


def ends() -> str:
    """kvaerno5 beside the end values that are known, component by component."""
    rows = []
    for problem, (relative, absolute), source, known in ENDS:
        bound = bind(problem, batch=1, seed=0, dtype="float64", device="cpu")
        ts = torch.tensor(bound.ts, dtype=torch.float64)
        with torch.no_grad():
            ys = odebench.odeint(bound.f, bound.y0, ts, method="kvaerno5", rtol=relative, atol=absolute)
        for at, (got, wanted) in enumerate(zip(ys[-1, 0].tolist(), known, strict=True), 1):
            gap = abs(got - wanted) / abs(wanted)
            where = f"`{problem}`", f"{relative:.0e}, {absolute:.0e}", f"y{at}"
            rows.append((*where, f"{wanted:.12g}", source, f"{got:.12g}", sci(gap)))
    head = "problem | rtol, atol | component | known | by | `kvaerno5` | relative difference"
    return f"`kvaerno5` beside ends that are known:\n\n{table(head, rows)}"
