"""Tables of docs/figures.md on what a gradient costs: evaluations, bytes, overhead, and samples that step apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from figures_table import measured, option, sci, steps_of, table

from odebench.gradients.recall import advances, descent, reach
from odebench.record import Record
from odebench.spec import Spec


class Law(NamedTuple):
    """What a pair evaluates going back over N steps, and the states it holds until then; as formula and as number."""

    evaluations: str
    count: Callable[[int], int]
    held: str = ""
    states: Callable[[int], int] | None = None


def retaken(steps: int, checkpoints: int) -> int:
    """Steps taken anew before the last one of each, by the optimal schedule: what the forward pass did is left out."""
    return advances(steps, checkpoints) - max(descent(steps, checkpoints), default=0)


# Of solver and gradient without its options. rk4 has 4 stages; dopri5 has 6 a step and one at the start, and its state
# is (y, slope). y0 is held by whoever calls, so that the states of N steps are N - 1 more. `forward` has 8 + 1
# directions here, at two saved times.
LAWS: dict[tuple[str, str], Law] = {
    ("rk4", "direct"): Law("0", lambda n: 0),
    ("rk4", "adjoint"): Law("4N", lambda n: 4 * n, "0", lambda n: 0),
    ("rk4", "interpolated"): Law("4N + N + 1", lambda n: 5 * n + 1, "N", lambda n: n),
    ("rk4", "aca"): Law("4N", lambda n: 4 * n, "N − 1", lambda n: n - 1),
    ("rk4", "symplectic"): Law("(2·4 − 1)N", lambda n: 7 * n, "N − 1", lambda n: n - 1),
    ("rk4", "forward"): Law("0", lambda n: 0, "2·9", lambda n: 18),
    ("dopri5", "aca"): Law("6N + 1", lambda n: 6 * n + 1, "2N − 1", lambda n: 2 * n - 1),
    ("dopri5", "symplectic"): Law("(2·6 − 1)N + 1", lambda n: 11 * n + 1, "2N − 1", lambda n: 2 * n - 1),
    ("dopri5", "interpolated"): Law("2·6N + 1", lambda n: 12 * n + 1, "2N + 1", lambda n: 2 * n + 1),
    ("alf", "reversible"): Law("N + 1", lambda n: n + 1, "2", lambda n: 2),
    ("reversible_heun", "reversible"): Law("N + 2", lambda n: n + 2, "3", lambda n: 3),
    ("coupled", "reversible"): Law("2·4N", lambda n: 8 * n, "2", lambda n: 2),
    ("backstep", "reversible"): Law("2·4N", lambda n: 8 * n, "1", lambda n: 1),
}


def law(record: Record) -> Law | None:
    """The one that the cell falls under; None where the steps are not foreseen."""
    cell = record.cell
    if cell.gradient.name != "recursive":
        return LAWS[cell.solver.name, cell.gradient.name]
    c = checkpoints(record)
    if cell.stepping.name != "fixed":
        return None
    return Law("4(N + R)", lambda n: 4 * (n + retaken(n, c)), f"{c} − 1", lambda n: c - 1)


def costs(records: Sequence[Record]) -> str:
    """Evaluations and bytes of every gradient, beside the closed formulas."""
    records = measured(records)
    rows = []
    for record in records:
        rule = law(record)
        if rule is None or steps_of(record) != 1000:
            continue
        cell, counted, held = record.cell, record.metrics["nfe_backward"], record.metrics["graph_bytes"]
        expected = rule.count(1000)
        state = 8 * cell.batch  # bytes
        states = rule.states(1000) * state if rule.states else None
        rows.append((
            f"`{cell.solver}`", f"`{cell.gradient}`", rule.evaluations, f"{expected:,}", agreeing(counted, expected),
            rule.held, "" if states is None else f"{states:,}", agreeing(held, states), grown(record, records),
        ))  # fmt: skip
    head = "solver | gradient | evaluations back | at N = 1000 | counted | states held | bytes at N = 1000 | weighed"
    return f"{table(f'{head} | bytes a step', rows)}\n\n{schedules(records)}"


def agreeing(found: float, expected: int | None) -> str:
    """What was measured, in bold where it is not what was expected."""
    return f"{found:,.0f}" if expected is None or found == expected else f"**{found:,.0f}**"


def grown(record: Record, records: Sequence[Record]) -> str:
    """Bytes that each step adds to what is held, from 500 steps to 1000."""
    (half,) = (
        r for r in records
        if pair_of(r) == pair_of(record) and r.cell.stepping.name == "fixed" and steps_of(r) == 500
    )  # fmt: skip
    return f"{(record.metrics['graph_bytes'] - half.metrics['graph_bytes']) / 500:g}"


def checkpoints(record: Record) -> int:
    """c of `recursive`."""
    found = option(record.cell.gradient, "checkpoints")
    assert isinstance(found, int)
    return found


def schedules(records: Sequence[Record]) -> str:
    """Steps that `recursive` takes anew, beside the binomial bound."""
    rows = []
    for c in dict.fromkeys(checkpoints(r) for r in records if r.cell.gradient.name == "recursive"):
        repeats = next(r for r in range(1001) if reach(c, r) >= 1000)
        row: list[object] = [c, repeats, f"{advances(1000, c):,}", f"{retaken(1000, c):,}"]
        for stepping, stages in (("fixed", 4), ("adaptive", 2)):
            (counted,) = (
                r.metrics["nfe_backward"] for r in records
                if r.cell.stepping.name == stepping and r.metrics["steps"] == 1000
                and r.cell.gradient.name == "recursive" and checkpoints(r) == c
            )  # fmt: skip
            again = counted / stages - 1000
            row.append(f"{again:,.0f}" if again <= advances(1000, c) else f"**{again:,.0f}**")
        rows.append(row)
    head = "c | r | r·N − C(c + r, r − 1) | of it going back, R | `rk4`, N foreseen | `heun`, N not foreseen"
    return f"Steps that `recursive` takes anew at N = 1000:\n\n{table(head, rows)}"


def memory(records: Sequence[Record]) -> str:
    """Peak bytes against steps."""
    records = measured(records)
    steps = list(dict.fromkeys(map(steps_of, records)))
    rows = []
    for pair in dict.fromkeys(map(pair_of, records)):
        mine = [r for r in records if pair_of(r) == pair]
        peaks = [int(r.metrics["peak_memory_bytes"]) for r in mine]
        rows.append((*(f"`{each}`" for each in pair), *(f"{p:,}" for p in peaks), f"{peaks[-1] / peaks[0]:.2f}"))
    return table(f"solver | gradient | {' | '.join(f'N = {n}' for n in steps)} | last / first", rows)


def overhead(records: Sequence[Record]) -> str:
    """Solve over bare loop."""
    return table(
        "solver | stepping | gradient | evaluations forward + backward | `overhead_forward` | `overhead`",
        (
            (
                f"`{r.cell.solver}`", f"`{r.cell.stepping}`", f"`{r.cell.gradient}`",
                f"{r.metrics['nfe_forward']} + {r.metrics['nfe_backward']}",
                f"{r.metrics['overhead_forward']:.2f}", f"{r.metrics['overhead']:.2f}",
            )
            for r in measured(records)
        ),
    )  # fmt: skip


def apart(records: Sequence[Record]) -> str:
    """A batch with one stiff sample: as one, and every sample by itself."""
    records, rows = measured(records), []
    pairs = list(dict.fromkeys(map(pair_of, records)))
    for r in sorted(records, key=lambda r: (pairs.index(pair_of(r)), -r.cell.batch)):
        m = r.metrics
        of = "each sample" if option(r.cell.stepping, "per_sample") else "the batch"
        names = f"`{r.cell.solver}`", f"`{r.cell.gradient}`", r.cell.batch, of
        if r.status != "ok":
            rows.append((*names, r.status, *[""] * 7))
            continue
        steps = (m.get(each, "") for each in ("steps", "steps_mean", "steps_fewest"))
        passes = [m.get(each) for each in ("rows_forward", "rows_backward")]
        rows.append((
            *names, *(f"{each:.4g}" if each else "" for each in steps), f"{m['nfe_forward']} + {m['nfe_backward']}",
            " + ".join(f"{each:,}" for each in passes if each is not None), saved(r, records),
            f"{m['peak_memory_bytes']:,}", sci(m.get("gradient_error_discrete")),
        ))  # fmt: skip
    head = "solver | gradient | batch | steps of | most steps | mean | fewest | calls of f | rows of f | rows saved"
    return table(f"{head} | peak bytes | `gradient_error_discrete`", rows)


def saved(record: Record, records: Sequence[Record]) -> str:
    """How many times fewer rows than the same pair evaluates f on when the batch steps as one."""
    for other in records:
        same = pair_of(other) == pair_of(record) and other.cell.batch == record.cell.batch
        if same and other is not record and "steps_mean" not in other.metrics and "rows_forward" in record.metrics:
            return f"{rows_of(other) / rows_of(record):.1f}×"
    return ""


def pair_of(record: Record) -> tuple[Spec, Spec]:
    """Solver and gradient."""
    return record.cell.solver, record.cell.gradient


def rows_of(record: Record) -> float:
    """Rows that f was evaluated on, both ways."""
    return record.metrics["rows_forward"] + record.metrics["rows_backward"]
