"""What somebody wants to see of records, and the table of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from odebench.errors import UsageError
from odebench.record import Record
from odebench.report.choosing import parse_axes, parse_columns, parse_sort, sorted_table
from odebench.report.relative import SUFFIX, Base, base_of, in_place, with_relative
from odebench.report.screen import Format
from odebench.report.table import Table, chosen_table, reading_table
from odebench.report.versions import notes_of
from odebench.rows import columns_of
from odebench.suite.select import Filter


@dataclass(frozen=True)
class View:
    """What `show` was asked for; the texts are as the command line has them."""

    columns: str | None = None
    sort: str | None = None
    group_by: str | None = None
    across: str | None = None
    relative_to: Filter | None = None
    bars: bool = False

    def __post_init__(self) -> None:
        mixed = [name for name in ("sort", "relative_to", "bars") if getattr(self, name)]
        if self.across and mixed:
            others = ", ".join(f"--{name.replace('_', '-')}" for name in mixed)
            raise UsageError(f"--across shows many rows as one, to which {others} cannot be applied; leave one out")


def table_of(records: Sequence[Record], view: View, form: Format, among: Sequence[Record] = ()) -> Table:
    """The table of `records` that is wanted; what it is relative to is looked for `among` these, or in `records`.

    For CSV and JSON figures stay as measured: bars are left to people, and multiples get columns of their own.

    Raises:
        UsageError: a name is no column or axis, or the base is none.
    """
    base = base_of(among or records, view.relative_to) if view.relative_to else None
    if form in (Format.csv, Format.json):
        return _data(records, view, base)
    made = replace(_arranged(records, view), notes=notes_of(records))
    if view.across:
        from odebench.report.across import across

        return across(made, parse_axes(view.across, "--across")[0])
    made = _ordered(with_relative(made, base) if base else made, records, view)
    if form is Format.table:
        from odebench.report.bars import with_bars
        from odebench.report.best import with_best

        made = made if made.notes else with_best(made)  # rows of different code do not compete
        made = with_bars(made) if view.bars else made
    return in_place(made, base) if base else made


def _data(records: Sequence[Record], view: View, base: Base | None) -> Table:
    known = columns_of(records)
    made = chosen_table(records, parse_columns(view.columns, known) if view.columns else known)
    made = with_relative(made, base) if base else made
    made = replace(made, group_by=parse_axes(view.group_by)) if view.group_by else made
    made = _ordered(made, records, view)
    return replace(made, rows=tuple(row for _, rows in made.groups() for row in rows), group_by=())


def _arranged(records: Sequence[Record], view: View) -> Table:
    groups = parse_axes(view.group_by) if view.group_by else None
    if view.columns:
        return chosen_table(records, parse_columns(view.columns, columns_of(records)), groups or ())
    return reading_table(records, groups)


def _ordered(made: Table, records: Sequence[Record], view: View) -> Table:
    if view.sort is None:
        return made
    column, descending = parse_sort(view.sort, columns_of(records))
    # What is shown as a multiple is sorted as one.
    shown = f"{column}{SUFFIX}" if f"{column}{SUFFIX}" in made.columns else column
    return sorted_table(made, shown, descending, keep_groups=view.group_by is not None)
