"""Which suite a cell came from, and so which plugins its worker loads."""

from __future__ import annotations

from collections.abc import Callable

from odebench.plan import Plan
from odebench.provenance import Provenance
from odebench.record import Cell
from odebench.suite.loading import Suite


def owners(plan: Plan) -> Callable[[Cell], Suite]:
    """Cell -> the suite it came from. Suites may share a name, as long as they share no cell."""
    by_name: dict[str, list[Suite]] = {}
    for suite in plan.suites:
        by_name.setdefault(suite.name, []).append(suite)

    def owner(cell: Cell) -> Suite:
        candidates = by_name[cell.suite]
        return next((suite for suite in candidates if _holds(suite, cell)), candidates[0])

    return owner


def _holds(suite: Suite, cell: Cell) -> bool:
    return (
        cell.problem in suite.problems
        and cell.solver in suite.solvers
        and cell.gradient in suite.gradients
        and cell.stepping in suite.stepping
        and (cell.device in suite.devices or "auto" in suite.devices)
        and cell.dtype in suite.dtypes
        and cell.batch in suite.batches
        and cell.seed in suite.seeds
    )


def plugins_of(plan: Plan, suite: Suite) -> tuple[Provenance, ...]:
    """Those that a worker of `suite` loads: its own, and the installed ones."""
    others = {each for other in plan.suites for each in other.plugins} - set(suite.plugins)
    return tuple(each for each in plan.plugins if each.plugin not in others)
