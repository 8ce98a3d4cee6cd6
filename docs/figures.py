"""Runs the shipped suites and writes docs/figures.md from what they gave: `make figures`.

Results are kept in results/figures/SUITE; a suite that was run there already is not run again. Times differ from machine
to machine and run to run; counts, bytes and float64 errors do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import exp, inf, log
from pathlib import Path
from statistics import linear_regression

import torch

import odebench
from odebench.problems import bind
from odebench.record import Record
from odebench.registry import load_builtins, solvers
from odebench.spec import Spec
from odebench.store import read_results

ROOT = Path(__file__).resolve().parent.parent
EPS = 2.0**-53

READING = (
    "**In evaluations** order matters little at 1e-3, where `rk4` with equal steps keeps up on the two problems that it is "
    "run on; from 1e-6 on order 8 leads on both classical problems, and at 1e-9 everywhere. Libraries need about what the "
    "native scheme of the same tableau does, with one exception: `torchdiffeq.dopri8` steps over the end and interpolates "
    "back by a quartic, which at 1e-9 costs it 1.4 to 3.5 times the evaluations (made to land by `step_t`, its error at the "
    "same tolerance is 75 times smaller on `lotka_volterra`). Schemes of order 2, `alf` and `reversible_heun`, pay for their "
    "reversibility by the thousand steps; `coupled` keeps the order of its base and takes about the evaluations of `rk4` on "
    "the neural field, four times as many and more on `lotka_volterra`. TorchDiffEqPack computes each accepted step twice, "
    "and cannot meet 1e-3 on `arenstorf`. **In time** diffrax, compiled whole, is far ahead where the state is two or four "
    "numbers and torch pays for every small operation, and from 1e-6 on still ahead on the neural field of 16; for states "
    "of real size see the peers above. In torch each library is slower than the native row of its tableau."
)


def results(suite: str) -> list[Record]:
    """The records of a shipped suite, measured now or before."""
    folder = ROOT / "results" / "figures" / suite
    if not (folder / "results.csv").exists():
        odebench.run(suite, output=folder)
    return [record for record in read_results(folder) if record.status != "refused"]


def table(header: str, rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; `header` has the names of the columns between bars."""
    names = [name.strip() for name in header.split("|")]
    lines = [names, ["---"] * len(names), *([str(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sci(value: float | int | None) -> str:
    return "" if value is None else f"{value:.1e}"


def shown(record: Record, metric: str) -> str:
    """An error to two digits, or how the cell ended."""
    return sci(record.metrics.get(metric)) if record.status == "ok" else record.status


def option(spec: Spec, name: str) -> object:
    return dict(spec.options).get(name)


def orders() -> str:
    """Must the order be believed? The slope of the error over the steps."""
    found: dict[tuple[Spec, Spec], list[tuple[int, float]]] = {}
    for record in results("order"):
        error = record.metrics["solution_error"]
        steps = int(option(record.cell.stepping, "steps"))  # type: ignore[call-overload]
        if 1e-11 <= error <= 1e-3:
            found.setdefault((record.cell.solver, record.cell.problem), []).append((steps, error))
    rows = []
    for (solver, problem), points in found.items():
        claimed = solvers.build(solver).order
        fit = linear_regression([log(n) for n, _ in points], [log(e) for _, e in points])
        span = f"{sci(points[0][1])} … {sci(points[-1][1])}"
        rows.append((f"`{solver}`", f"`{problem}`", len(points), span, claimed, f"{-fit.slope:.2f}"))
    return table("solver | problem | step sizes | errors | claimed | observed", rows)


def exactness() -> str:
    """The worst disagreement of each pair with backpropagation through the same steps."""
    records = [r for r in results("exactness") if r.cell.gradient.name != "adjoint"]
    gradients = list(dict.fromkeys(str(r.cell.gradient) for r in records))
    rows = []
    for solver in dict.fromkeys(str(r.cell.solver) for r in records):
        mine = [r for r in records if str(r.cell.solver) == solver]
        worst = []
        for gradient in gradients:
            errors = [r.metrics["gradient_error_discrete"] for r in mine if str(r.cell.gradient) == gradient]
            worst.append(sci(max(errors)) if errors else "refused")
        rows.append((f"`{solver}`", *worst))
    return table(f"solver | {' | '.join(f'`{g}`' for g in gradients)}", rows)


def adjoint() -> str:
    """Error of the continuous adjoint against the steps."""
    records = [r for r in results("exactness") if r.cell.gradient.name == "adjoint"]
    steps = list(dict.fromkeys(str(option(r.cell.stepping, "steps")) for r in records))
    rows = []
    for solver in dict.fromkeys(str(r.cell.solver) for r in records):
        mine = [r.metrics for r in records if str(r.cell.solver) == solver]
        for metric in ("gradient_error", "gradient_error_discrete"):
            rows.append((f"`{solver}`", f"`{metric}`", *(sci(m[metric]) for m in mine)))
    return table(f"solver | column | {' | '.join(f'N = {n}' for n in steps)}", rows)


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


def reversal() -> str:
    """Who gets back to where it started."""
    records = results("reverse_accuracy")
    rows = []
    for problem in dict.fromkeys(r.cell.problem for r in records):
        lost = contraction(problem)
        cells = {(r.cell.solver.name, r.cell.stepping.name): r for r in records if r.cell.problem == problem}
        order = [("dopri5", "adaptive"), ("dopri5", "fixed"), ("alf", "fixed")]
        order += [("reversible_heun", "fixed"), ("coupled", "fixed")]
        errors = [shown(cells[pair], "reverse_error") for pair in order]
        rows.append((f"`{problem}`", f"{lost:.1f}", sci(EPS * exp(lost)), *errors))
    head = "problem | contraction c | 2⁻⁵³·eᶜ | `dopri5` adjoint, adaptive | `dopri5` adjoint, fixed | `alf` | "
    return table(head + "`reversible_heun` | `coupled(dopri5, 0.999)`", rows)


def memory() -> str:
    """Peak bytes against steps."""
    records = results("memory_vs_steps")
    steps = list(dict.fromkeys(int(option(r.cell.stepping, "steps")) for r in records))  # type: ignore[call-overload]
    rows = []
    for solver, gradient in dict.fromkeys((str(r.cell.solver), str(r.cell.gradient)) for r in records):
        pair = (solver, gradient)
        peaks = [
            int(r.metrics["peak_memory_bytes"]) for r in records if (str(r.cell.solver), str(r.cell.gradient)) == pair
        ]
        rows.append((f"`{solver}`", f"`{gradient}`", *(f"{p:,}" for p in peaks), f"{peaks[-1] / peaks[0]:.2f}"))
    return table(f"solver | gradient | {' | '.join(f'N = {n}' for n in steps)} | last / first", rows)


def toy() -> str:
    """The toy problem of the MALI paper."""
    rows = []
    for r in results("mali_toy"):
        span = option(r.cell.problem, "span")
        assert isinstance(span, tuple)
        m, name = r.metrics, "reversible (MALI)" if r.cell.gradient.name == "reversible" else r.cell.gradient.name
        rows.append((
            f"{span[1]:g}", f"`{r.cell.solver}`", name, int(m["steps"]), int(m["nfe_forward"]), int(m["nfe_backward"]),
            sci(m["gradient_error_y0"]), sci(m["gradient_error_parameters"]), sci(m["gradient_error_discrete"]),
            int(m["peak_memory_bytes"]),
        ))  # fmt: skip
    head = "T | solver | gradient | steps | nfe forward | nfe backward | error dL/dz0 | error dL/dα | discrete | peak bytes"
    return table(head, rows)


def horizon() -> str:
    """Where reversibility breaks."""
    records = results("long_horizon")
    steps = list(dict.fromkeys(str(option(r.cell.stepping, "steps")) for r in records))
    rows = []
    for solver, dtype in dict.fromkeys((str(r.cell.solver), r.cell.dtype) for r in records):
        mine = [r for r in records if (str(r.cell.solver), r.cell.dtype) == (solver, dtype)]
        rows.append((f"`{solver}`", dtype, *(shown(r, "reverse_error") for r in mine)))
    return table(f"solver | dtype | {' | '.join(f'N = {n}' for n in steps)}", rows)


def overhead() -> str:
    """Solve over bare loop."""
    return table(
        "solver | stepping | gradient | evaluations forward + backward | `overhead_forward` | `overhead`",
        (
            (
                f"`{r.cell.solver}`", f"`{r.cell.stepping}`", f"`{r.cell.gradient}`",
                f"{r.metrics['nfe_forward']} + {r.metrics['nfe_backward']}",
                f"{r.metrics['overhead_forward']:.2f}", f"{r.metrics['overhead']:.2f}",
            )
            for r in results("overhead")
        ),
    )  # fmt: skip


def peers() -> str:
    """The libraries beside the native solvers."""
    rows = []
    for r in results("peers"):
        m, c = r.metrics, r.cell
        if r.status != "ok":
            rows.append((f"`{c.problem}`", c.batch, f"`{c.solver}`", f"`{c.gradient}`", r.status, *[""] * 6))
            continue
        ratio = f"{m['wall_ratio']:.2f}" if "wall_ratio" in m else ""
        rows.append((
            f"`{c.problem}`", c.batch, f"`{c.solver}`", f"`{c.gradient}`", c.stepping.name,
            f"{m['nfe_forward']} + {m['nfe_backward']}", f"{m['wall_seconds'] * 1e3:.1f}", ratio,
            f"{m['overhead']:.2f}", f"{m['peak_memory_bytes']:,}", sci(m.get("gradient_error")),
        ))  # fmt: skip
    head = (
        "problem | batch | solver | gradient | steps | evaluations | wall, ms | `wall_ratio` | `overhead` | peak bytes"
    )
    return table(f"{head} | gradient error", rows)


def told() -> str:
    """Our counts beside the libraries' own."""
    rows = []
    for r in results("peers"):
        for name, said in r.settings.get("reported", {}).items():
            if not name.startswith("nfe"):
                continue  # a peer's steps are the library's own telling, not counted here
            rows.append((f"`{r.cell.solver}`", f"`{r.cell.gradient}`", r.cell.stepping.name, f"`{name}`", said,
                         r.metrics.get(name, "")))  # fmt: skip
    return table("solver | gradient | stepping | what | reported | counted", dict.fromkeys(rows))


def cost(record: Record) -> int:
    """Evaluations of f: of the forward solve where its error was matched, of both passes where the gradient's was."""
    m = record.metrics
    return int(m["nfe_forward"]) + (int(m["nfe_backward"]) if "gradient" in record.cell.suite else 0)


def by_target() -> dict[tuple[str, Spec], list[Record]]:
    """The rows of each target and problem, the fewest evaluations first, those without any last."""
    groups: dict[tuple[str, Spec], list[Record]] = {}
    for record in results("matched_accuracy"):
        suite = record.cell.suite.removeprefix("matched_accuracy_").replace("_", " ")
        groups.setdefault((suite, record.cell.problem), []).append(record)
    for rows in groups.values():
        rows.sort(key=lambda r: cost(r) if r.status == "ok" else inf)
    return groups


def named(record: Record) -> str:
    """Solver, and gradient where it is not backpropagation."""
    gradient = record.cell.gradient
    return f"`{record.cell.solver}`" + ("" if gradient.name == "direct" else f" `{gradient}`")


def cheapest() -> str:
    """Of each target and problem the row of the fewest evaluations, and those of the least time."""
    rows = []
    for (target, problem), every in by_target().items():
        mine = [r for r in every if r.status == "ok"]
        in_torch = [r for r in mine if not r.cell.solver.name.startswith("diffrax.")]
        fastest = [min(some, key=lambda r: r.metrics["wall_seconds"]) for some in (in_torch, mine)]
        times = [f"{named(r)}: {r.metrics['wall_seconds'] * 1e3:.1f}" for r in fastest]
        rows.append((target, f"`{problem.name}`", f"{named(mine[0])}: {cost(mine[0])}", *times))
    return table("target | problem | fewest evaluations | least wall in torch, ms | least wall of all, ms", rows)


def matched() -> str:
    """Cost at equal accuracy."""
    rows = []
    for (target, problem), mine in by_target().items():
        for r in mine:
            m, found = r.metrics, r.settings.get("matched", {})
            setting, told = r.reason, (r.status, "", "", "")
            if r.status == "ok":
                setting = f"rtol {found['rtol']:.1e}" if "rtol" in found else f"{found['steps']} steps"
                ratio = f"{m['wall_ratio']:.2f}" if "wall_ratio" in m else ""
                evaluations = f"{m['nfe_forward']} + {m['nfe_backward']}"
                told = sci(found["error"]), evaluations, f"{m['wall_seconds'] * 1e3:.1f}", ratio
            rows.append((target, f"`{problem.name}`", named(r), setting, *told))
    head = "target | problem | solver | setting found | error | evaluations | wall, ms | `wall_ratio`"
    return f"{cheapest()}\n\n{READING}\n\n{table(head, rows)}"


SECTIONS: list[tuple[str, str, str, Callable[[], str]]] = [
    (
        "Observed order", "order",
        "Least-squares slope of log `solution_error` over log steps, over the errors between 1e-3 and 1e-11. "
        "`coupled` over euler mixes two error terms of opposite sign: its slope is reported and means little.", orders,
    ),
    (
        "Exact gradients", "exactness",
        "`gradient_error_discrete` in float64: against backpropagation through the very same steps, the worse of 100 "
        "fixed steps and adaptive ones. Damped ALF and λ = 0.9 trade reversibility for stability, and it shows.", exactness,
    ),
    (
        "The adjoint against the step", "exactness",
        "The continuous adjoint is inexact by discretisation. Its error falls at the order of its scheme; a high-order one "
        "reaches rounding. Against the steps that were taken some schemes converge faster than against the truth.", adjoint,
    ),
    (
        "Who gets back to where it started", "reverse_accuracy",
        "`reverse_error`. A flow that contracts by eᶜ turns rounding of 2⁻⁵³ into 2⁻⁵³·eᶜ on the way back, for any method "
        "that stores nothing; c is the largest −∫ div f over a part of the trajectory, computed here from the field. On the "
        "way there the parasitic root of a scheme without damping (`alf`, `reversible_heun`, `coupled` with λ near 1) grows "
        "by the same eᶜ from a start of the size of its error, and where that passes 1 the cell has `diverged`: everything "
        "is lost. In more than two dimensions div f bounds the loss from below only.", reversal,
    ),
    (
        "Memory against steps", "memory_vs_steps",
        "`peak_memory_bytes`, forward plus backward, exact.", memory,
    ),
    (
        "The toy problem of the MALI paper", "mali_toy",
        "dz/dt = αz with α = 0.1, L = z(T)², against the analytic gradient. At the same solver and tolerance all exact "
        "gradients are the same number, and the error is that of the forward solve.", toy,
    ),
    (
        "Where reversibility breaks", "long_horizon",
        "`reverse_error` on a pendulum, T = 10, which contracts nothing: what is lost here is lost by damping, as "
        "|1 − 2η|⁻ᴺ and λ⁻ᴺ.", horizon,
    ),
    (
        "Overhead", "overhead",
        "Solve over a bare loop of the same evaluations, alternated in the same rounds, on one thread: an MLP of batch "
        "128, dim 64, hidden 64 in float32. Below 1 backpropagation through the whole solve is cheaper than as many single "
        "VJPs.", overhead,
    ),
    (
        "The libraries people use", "peers",
        "`wall_ratio`: this row over the native row of the same tableau and gradient, alternated in the same rounds; above "
        "1 the native solver is faster. Peak bytes of `diffrax` are XLA's own figure for the compiled call, not the gauge "
        "of the other rows; its `overhead` is over a bare loop compiled by XLA.", peers,
    ),
    (
        "Counted, not believed", "peers",
        "The evaluations that a library reports of its own, and those counted by instrumenting f. Only torchode reports any: "
        "its backsolve adjoint of each sample by itself goes round its own counter. Steps of peers are as they tell them.",
        told,
    ),
    (
        "At equal accuracy", "matched_accuracy",
        "The loosest tolerance, or the fewest steps, at which the error meets the target, searched for each row, and what "
        "forward and backward cost there. `gradient 1e-6` matches the error of the gradient, all others that of the "
        "solution. The neural field is `mlp(dim=16, hidden=32, span=[0.0, 10.0])`; the gradient is backpropagation where "
        "none is named. Rows are measured one after the other, not paired, those in torch on `arenstorf` once only: times "
        "that are near one another say nothing. Only `wall_ratio`, over the native row of the same tableau at the same "
        "tolerance, is of alternated rounds. Compilation is in no time here.", matched,
    ),
]  # fmt: skip


def main() -> None:
    """Write docs/figures.md."""
    torch.set_num_threads(1)
    load_builtins()
    parts = [
        "# Figures\n\nMade by `make figures` from the suites that ship with odebench; each table names its own. "
        "Float64 on a CPU unless it says otherwise.\n"
    ]
    for title, suite, words, make in SECTIONS:
        parts.append(f"## {title}\n\n{words}\n\n`odebench run {suite}`\n\n{make()}\n")
    (ROOT / "docs" / "figures.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
