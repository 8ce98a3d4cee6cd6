"""Writes the table of docs/torchdiffeq.md from what the suite `switching` gave: `make figures`.

Results are kept in results/figures/switching; what was measured there already is not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from figures_table import in_order, records_of, sci, table, when
from marked import update

from odebench.errors import OdebenchError
from odebench.peers.peer import Peer
from odebench.record import Record
from odebench.registry import load_builtins, solvers
from odebench.spec import Spec

PAGE, PART = "torchdiffeq.md", "switching"
# In the order of the suite.
PROGRAMS = ("latent ODE, 100 saved times", "neural CDE", "augmented neural ODE", "MLP field, 50 steps")
HEAD = "program | torchdiffeq's call | what runs | times as fast | evaluations | peak bytes | gradient error"
ROUNDING = 1e-6  # gradients in single precision that differ by less differ in rounding
MORE_BYTES = 1.25  # of torchdiffeq's, that the better pair may take


def switching(records: Sequence[Record]) -> str:
    """The table: each program by either call, as it is, with the import changed, and by the better pair.

    Raises:
        ValueError: the suite has other programs than the page has names for.
    """
    rows = []
    problems = in_order(r.cell.problem for r in records if r.cell.suite == "switching")
    for program, problem in zip(PROGRAMS, problems, strict=True):
        mine = [record for record in records if str(record.cell.problem) == problem]
        for called in (record for record in mine if record.cell.suite == "switching"):
            call = "odeint" if called.cell.gradient.name == "direct" else "odeint_adjoint"
            rows += [(program, f"`{call}`", *row) for row in _rows(called, mine)]
    return table(HEAD, rows)


def _rows(called: Record, mine: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    """What torchdiffeq's call gave, then odebench's rows that were timed beside it."""
    beside = [record for record in mine if record.cell.suite == f"switching_{called.cell.gradient.name}"]
    changed = [record for record in beside if is_the_import_changed(record, called)]
    better = best(beside, called)
    yield ("torchdiffeq", *figures(called))
    yield from (("the import changed", *figures(record)) for record in changed)
    if better is not None and better not in changed:
        cell = better.cell
        steps = f" at `{steps_of(better)}`" if steps_of(better) != steps_of(called) else ""
        yield (f"`{cell.solver}` with `{cell.gradient}`{steps}", *figures(better))


def is_the_import_changed(record: Record, called: Record) -> bool:
    """The same method, gradient and steps as torchdiffeq's call."""
    peer = solvers.build(called.cell.solver)
    assert isinstance(peer, Peer)
    same = record.cell.gradient == called.cell.gradient and steps_of(record) == steps_of(called)
    return same and record.cell.solver.name == peer.facts.twin


def steps_of(record: Record) -> Spec:
    """What the steps go by; `carry` is odebench's own way to choose them by it."""
    stepping = record.cell.stepping
    return Spec.of(stepping.name, {name: value for name, value in stepping.options if name != "carry"})


def best(beside: Sequence[Record], called: Record) -> Record | None:
    """The fastest row that is as good: in its gradient, and but for a quarter in its bytes.

    As good a gradient has at most the error of torchdiffeq's, or of what torchdiffeq's solution loses to the tolerance,
    or of rounding.
    """
    theirs = called.metrics
    most = max(theirs.get("gradient_error", 0.0), theirs.get("solution_error", 0.0), ROUNDING)
    good = [
        record
        for record in beside
        if record.status == "ok"
        and "beside_ratio" in record.metrics
        and record.metrics["gradient_error"] <= most
        and record.metrics["peak_memory_bytes"] <= MORE_BYTES * theirs["peak_memory_bytes"]
    ]
    return min(good, key=lambda record: record.metrics["beside_ratio"], default=None)


def figures(record: Record) -> tuple[str, ...]:
    """Times as fast as torchdiffeq with its interval, evaluations there and back, bytes and the gradient's error."""
    m = record.metrics
    if record.status != "ok":
        return record.status, "", "", ""
    calls, error = f"{m['nfe_forward']:,} + {m['nfe_backward']:,}", sci(m["gradient_error"])
    return faster(record), calls, f"{m['peak_memory_bytes']:,}", error


def faster(record: Record) -> str:
    """1 over `beside_ratio`, with the ends of its interval where there are some; empty for torchdiffeq itself."""
    m = record.metrics
    if "beside_ratio" not in m:
        return ""
    ends = ""
    if "beside_ratio_low" in m:
        ends = f" ({_times(m['beside_ratio_high'])} to {_times(m['beside_ratio_low'])})"
    return f"{_times(m['beside_ratio'])}{ends}"


def _times(ratio: float) -> str:
    """1 over a ratio: two digits, and of what is above 100 all."""
    return f"{1 / ratio:.0f}" if ratio <= 0.01 else f"{1 / ratio:.2g}"


def main() -> None:
    """Measure what is not measured yet, and put the table between its marks."""
    torch.set_num_threads(1)
    load_builtins()
    records = records_of("switching")
    words = (
        "`odebench run switching`, forward and backward in single precision. Times as fast: torchdiffeq's time over "
        "that of the row, alternated in the same rounds, with the 95 % interval of the median. The third row of a "
        "call is the fastest of those measured that takes at most a quarter more bytes than torchdiffeq's call, and "
        "whose gradient is as near to the true one, or nearer than torchdiffeq's solution at this tolerance, or than "
        "rounding; where there is none, that is the import changed."
    )
    update(PAGE, {PART: f"{words}\n\n{when(records)[0].upper()}{when(records)[1:]}.\n\n{switching(records)}"})


if __name__ == "__main__":
    try:
        main()
    except OdebenchError as error:
        raise SystemExit(str(error)) from error
