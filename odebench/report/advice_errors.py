"""What to mind about errors: digits that are gone, ways back that stray, tolerances below rounding."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log

from odebench.record import Cell, Record
from odebench.report.advice_case import Case, Results

_ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24}  # relative, of one operation
_STRAYED = 1e-3  # of a reverse trajectory that has digits left
_RESOLVED = 10.0  # roundings that a tolerance must be above
_RTOL = 1e-5  # of `adaptive` where none is given


def digits(results: Results) -> Iterator[Case]:
    """The law: undoing a step multiplies rounding by 1/|1 - 2·eta| (alf) or 1/λ (coupled)."""
    found = [
        (record, gain, left) for record in results.records if (gain := _gain(record.cell)) and (left := _left(record))
    ]
    if not found:
        return
    record, gain, (last, steps) = max(found, key=lambda each: log(each[1]) * each[2][1])
    cell = record.cell
    cure = "eta = 1" if cell.solver.name == "alf" else "a coupling nearer to 1, or its option reset"
    yield Case(
        "digits",
        [each for each, _, _ in found],
        record,
        f"undoing steps has eaten all digits, {{such}}: each multiplies rounding by {gain:.3g}, so {cell.dtype} lasts "
        f"for {last} of them, and {steps} were undone; take {cure}, fewer steps, or gradient aca",
    )


def _gain(cell: Cell) -> float | None:
    """What undoing one step multiplies rounding by; None where that is nothing."""
    options = dict(cell.solver.options)
    if cell.gradient.name != "reversible":
        return None
    if cell.solver.name == "alf" and options.get("eta", 1.0) < 1:
        return float(1 / abs(1 - 2 * options["eta"]))
    if cell.solver.name == "coupled" and options.get("coupling", 0.999) < 1:
        return float(1 / options.get("coupling", 0.999))
    return None


def _left(record: Record) -> tuple[int, int] | None:
    """(steps after which no digit is left, steps that were undone) where these are too many, and it shows."""
    gain, steps = _gain(record.cell), record.metrics.get("steps")
    if gain is None or gain <= 1 or steps is None or record.cell.dtype not in _ROUNDING:
        return None
    # What `reset` stores starts afresh.
    steps = int(min(steps, dict(record.cell.solver.options).get("reset") or steps))
    last = ceil(-log(_ROUNDING[record.cell.dtype]) / log(gain))
    # NaN is no small error.
    return (last, steps) if steps >= last and not record.metrics.get("reverse_error", 1.0) < _STRAYED else None


def adjoint(results: Results) -> Iterator[Case]:
    """Its gradient is taken along the way back, which is another solve."""
    found = [
        (record, error, tolerance)
        for record in results.records
        if record.cell.gradient.name == "adjoint"
        and (tolerance := _tolerance(record)) is not None
        and (error := record.metrics.get("reverse_error")) is not None
        and not error <= tolerance
    ]
    if found:
        record, error, tolerance = max(found, key=lambda each: each[1] / each[2])
        yield Case(
            "adjoint",
            [each for each, _, _ in found],
            record,
            f"the adjoint's way back strays from the way there by more than its tolerance, {{such}}: by {error:.1e} at "
            f"rtol {tolerance:.0e}, and so does its gradient; tighten the tolerance (adjoint has an rtol of its own), "
            "or take aca, which goes back over the same steps",
        )


def _tolerance(record: Record) -> float | None:
    """The relative one of the way back; None at fixed steps, and where it is 0."""
    forward, own = _rtol(record), dict(record.cell.gradient.options).get("rtol")
    return max(forward or 0.0, own or 0.0) or None if forward is not None else None


def _rtol(record: Record) -> float | None:
    """The relative tolerance that the steps were chosen by, also where it was searched; None at fixed steps."""
    if record.cell.stepping.name != "adaptive":
        return None
    given = dict(record.cell.stepping.options) | dict(record.settings.get("matched", {}))
    return float(given.get("rtol", _RTOL))


def rounding(results: Results) -> Iterator[Case]:
    """A tolerance of some roundings leaves the choice of steps to noise."""
    found = [
        (record, rtol)
        for record in results.records
        if record.status != "refused"
        and (rtol := _rtol(record)) is not None
        and rtol < _RESOLVED * _ROUNDING.get(record.cell.dtype, 0.0)
    ]
    if found:
        record, rtol = min(found, key=lambda each: each[1])
        dtype = record.cell.dtype
        finer = ", or float64" if dtype == "float32" else ""
        yield Case(
            "rounding",
            [each for each, _ in found],
            record,
            f"a tolerance is below what the dtype can tell, {{such}}: rtol {rtol:.0e}, where {dtype} rounds at "
            f"{_ROUNDING[dtype]:.0e}, so that noise chooses the steps; take rtol "
            f"{2 * _RESOLVED * _ROUNDING[dtype]:.0e} or more{finer}",
        )
