"""Tables of docs/figures.md on other libraries, and on cost at equal accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from figures_table import measured, sci, table

from odebench.record import Record
from odebench.spec import Spec

READING = (
    "**In evaluations** order matters little at 1e-3, where `rk4` with equal steps keeps up on the two problems that "
    "it is run on; from 1e-6 on order 8 leads on both classical problems, and at 1e-9 everywhere. Libraries need "
    "about what the native scheme of the same tableau does, with one exception: `torchdiffeq.dopri8` steps over the "
    "end and interpolates back by a quartic, which at 1e-9 costs it 1.4 to 3.5 times the evaluations (made to land by "
    "`step_t`, its error at the same tolerance is 75 times smaller on `lotka_volterra`). Schemes of order 2, `alf` "
    "and `reversible_heun`, pay for their reversibility by the thousand steps; `coupled` keeps the order of its base "
    "and takes about the evaluations of `rk4` on the neural field, four times as many and more on `lotka_volterra`. "
    "TorchDiffEqPack computes each accepted step twice, and cannot meet 1e-3 on `arenstorf`. **In time** diffrax, "
    "compiled whole, is far ahead where the state is two or four numbers and torch pays for every small operation, "
    "and from 1e-6 on still ahead on the neural field of 16; for states of real size see the peers above. In torch "
    "each library is slower than the native row of its tableau."
)


def peers(records: Sequence[Record]) -> str:
    """The libraries beside the native solvers."""
    rows = []
    for r in measured(records):
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


def told(records: Sequence[Record]) -> str:
    """Our counts beside the libraries' own."""
    rows = []
    for r in measured(records):
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


def by_target(records: Sequence[Record]) -> dict[tuple[str, Spec], list[Record]]:
    """The rows of each target and problem, the fewest evaluations first, those without any last."""
    groups: dict[tuple[str, Spec], list[Record]] = {}
    for record in measured(records):
        suite = record.cell.suite.removeprefix("matched_accuracy_").replace("_", " ")
        groups.setdefault((suite, record.cell.problem), []).append(record)
    for rows in groups.values():
        rows.sort(key=lambda r: cost(r) if r.status == "ok" else inf)
    return groups


def named(record: Record) -> str:
    """Solver, and gradient where it is not backpropagation."""
    gradient = record.cell.gradient
    return f"`{record.cell.solver}`" + ("" if gradient.name == "direct" else f" `{gradient}`")


def cheapest(groups: dict[tuple[str, Spec], list[Record]]) -> str:
    """Of each target and problem the row of the fewest evaluations, and those of the least time."""
    rows = []
    for (target, problem), every in groups.items():
        mine = [r for r in every if r.status == "ok"]
        in_torch = [r for r in mine if not r.cell.solver.name.startswith("diffrax.")]
        fastest = [min(some, key=lambda r: r.metrics["wall_seconds"]) for some in (in_torch, mine)]
        times = [f"{named(r)}: {r.metrics['wall_seconds'] * 1e3:.1f}" for r in fastest]
        rows.append((target, f"`{problem.name}`", f"{named(mine[0])}: {cost(mine[0])}", *times))
    return table("target | problem | fewest evaluations | least wall in torch, ms | least wall of all, ms", rows)


def matched(records: Sequence[Record]) -> str:
    """Cost at equal accuracy."""
    groups, rows = by_target(records), []
    for (target, problem), mine in groups.items():
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
    return f"{cheapest(groups)}\n\n{READING}\n\n{table(head, rows)}"
