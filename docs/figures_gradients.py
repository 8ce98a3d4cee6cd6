"""Tables of docs/figures.md on gradients: which pairs are exact, which are refused and why, and what is not exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_lowercase

from figures_table import in_order, measured, option, sci, shown, steps_of, table

from odebench.record import Record
from odebench.registry import solvers
from odebench.spec import Spec

BOUND = 1e-11  # what every pair that claims the gradient of the steps has to keep to in float64
ERROR = "gradient_error_discrete"


def claims(record: Record) -> bool:
    """Whether the pair claims the gradient of the very steps that were taken."""
    gradient = record.cell.gradient
    if gradient.name == "reversible":
        return not hasattr(solvers.build(record.cell.solver), "reverse_order")
    if option(gradient, "control"):
        return record.cell.stepping.name == "fixed"  # where no step is chosen its choice has no gradient
    return gradient.name not in ("adjoint", "interpolated")


def whole(records: Iterable[Record]) -> list[Record]:
    """The part of the suite where every gradient is tried: the problems that `direct` is tried on."""
    records = list(records)
    problems = {r.cell.problem for r in records if r.cell.gradient == Spec("direct")}
    return [r for r in records if r.cell.problem in problems]


def exactness(records: Sequence[Record]) -> str:
    """Solver × gradient, at fixed and at adaptive steps, and the sentence of every refusal."""
    records = whole(records)
    reasons = refusals(records)
    letter = {reason: mark for mark, reason in zip(ascii_lowercase, reasons, strict=False)}
    parts = [verdict(records)]
    for stepping in dict.fromkeys(r.cell.stepping for r in records):
        squares = {(str(r.cell.solver), str(r.cell.gradient)): r for r in records if r.cell.stepping == stepping}
        gradients = in_order(r.cell.gradient for r in squares.values())
        rows = (
            (f"`{solver}`", *(square(squares[solver, gradient], letter) for gradient in gradients))
            for solver in in_order(r.cell.solver for r in squares.values())
        )
        parts.append(f"`{stepping}`:\n\n{table(f'solver | {columns(gradients)}', rows)}")
    parts.append("Refused:\n\n" + "\n".join(told(letter[reason], reasons[reason]) for reason in reasons))
    return "\n\n".join(parts)


def columns(gradients: Iterable[str]) -> str:
    """Heads of columns."""
    return " | ".join(f"`{gradient}`" for gradient in gradients)


def square(record: Record, letter: dict[str, str]) -> str:
    """One field of the matrix: the error, in brackets where none is claimed; or the letter of its refusal."""
    if record.status == "refused":
        return letter[common(record)]
    error = shown(record, ERROR)
    return error if claims(record) else f"({error})"


def verdict(records: Iterable[Record]) -> str:
    """How many pairs claim to be exact, how far off the worst is, and every one beyond the bound by name."""
    exact = [r for r in measured(records) if claims(r)]
    failed = [r for r in exact if r.status != "ok"]
    worst = max((r for r in exact if r.status == "ok"), key=lambda r: r.metrics[ERROR])
    beyond = [r for r in exact if r.status == "ok" and not r.metrics[ERROR] <= BOUND]
    told = [f"{pair(r)}: {shown(r, ERROR)}" for r in (*failed, *beyond)]
    return (
        f"**{len(exact)} cells claim the gradient of the very steps that were taken, and "
        f"{len(exact) - len(told)} keep within {BOUND:.0e}.** The largest error is {sci(worst.metrics[ERROR])}, of "
        f"{pair(worst)}. " + (f"Beyond the bound: {'; '.join(told)}." if told else "No exception.")
    )


def pair(record: Record) -> str:
    """Solver, gradient, and how it steps."""
    cell = record.cell
    return f"`{cell.solver}` with `{cell.gradient}` at {cell.stepping.name} steps"


def refusals(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The refused squares by their sentence."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.status == "refused":
            found.setdefault(common(record), []).append(record)
    return found


def common(record: Record) -> str:
    """A refusal without the solver that it names: what differs in nothing else is one sentence."""
    return record.reason.removeprefix(str(record.cell.solver))


def told(letter: str, refused: Sequence[Record]) -> str:
    """One sentence, and all that it was said of."""
    first = refused[0]
    named = ", ".join(f"`{solver}`" for solver in in_order(r.cell.solver for r in refused))
    gradients = ", ".join(f"`{gradient}`" for gradient in in_order(r.cell.gradient for r in refused))
    return f"- **{letter}** ({len(refused)} squares) “{first.reason}” Said of {named}; with {gradients}."


def damping(records: Sequence[Record]) -> str:
    """What is undone by a damped scheme, against the steps."""
    inside = {r.cell.problem for r in whole(records)}
    damped = [r for r in measured(records) if r.cell.problem not in inside and r.cell.gradient.name == "reversible"]
    steps = list(dict.fromkeys(map(steps_of, damped)))
    rows = []
    for solver in in_order(r.cell.solver for r in damped):
        mine = {steps_of(r): r for r in damped if str(r.cell.solver) == solver}
        rows.append((f"`{solver}`", *(shown(mine[n], ERROR) for n in steps)))
    return table(f"solver | {' | '.join(f'N = {n}' for n in steps)}", rows)


def adjoint(records: Sequence[Record]) -> str:
    """Error of the continuous adjoint against the steps."""
    inside = {r.cell.problem for r in whole(records)}
    names = ("adjoint", "interpolated")
    records = [r for r in measured(records) if r.cell.problem not in inside and r.cell.gradient.name in names]
    steps = list(dict.fromkeys(map(steps_of, records)))
    rows = []
    for solver in in_order(r.cell.solver for r in records):
        for gradient in names:
            mine = {steps_of(r): r for r in records if (str(r.cell.solver), r.cell.gradient.name) == (solver, gradient)}
            for metric in ("gradient_error", ERROR):
                errors = (shown(mine[n], metric) if n in mine else "" for n in steps)
                rows.append((f"`{solver}`", f"`{gradient}`", f"`{metric}`", *errors))
    return table(f"solver | gradient | column | {' | '.join(f'N = {n}' for n in steps)}", rows)
