"""Names that are clear without their options, or with one value of them, for tables that have no room for more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from odebench.errors import OdebenchError
from odebench.report.looks import NAMED, shown
from odebench.report.table import Table
from odebench.spec import Spec
from odebench.suite.spelling import parse


def short_names(table: Table) -> dict[tuple[str, str], str]:
    """(column, name) -> what stands for it: `alf` for `alf(eta=0.9)` where the column has no other alf.

    Where it has several that differ in one value, it is the name and that value: `fixed 100`; `adaptive 0.001` for
    `adaptive(atol=0.001, rtol=0.001)` where both are the same throughout.
    """
    short: dict[tuple[str, str], str] = {}
    for column in (axis for axis in NAMED if axis in table.columns):
        families: dict[str, list[str]] = {}
        for name in dict.fromkeys(shown(column, row[column]) for row in table.rows):
            families.setdefault(name.partition("(")[0], []).append(name)
        for bare, names in families.items():
            told = [bare] if len(names) == 1 else _by_value(column, bare, names)
            short |= {(column, full): name for full, name in zip(names, told, strict=True) if name != full}
    return short


def told_short(short: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """What they are short for, one of each kind: `fixed 10 is fixed(steps=10), and so on`."""
    families: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (column, full), name in short.items():
        families.setdefault((column, full.partition("(")[0]), []).append((name, full))
    for names in families.values():
        name, full = names[0]
        yield f"{name} is {full}{', and so on' if len(names) > 1 else ''}"


def _by_value(column: str, bare: str, names: Sequence[str]) -> Sequence[str]:
    """The names with the one value that tells them apart; as they are where there is no such value."""
    try:
        options = [dict(Spec.from_data(parse(name, column)).options) for name in names]
    except OdebenchError:  # what cannot be printed was made visible, which is no spelling
        return names
    keys = dict.fromkeys(key for each in options for key in each)
    varying = [key for key in keys if len({_text(each.get(key)) for each in options}) > 1]
    values = [{_text(each[key]) for key in varying if key in each} for each in options]
    if any(len(found) != 1 or not set(varying) <= each.keys() for found, each in zip(values, options, strict=True)):
        return names
    return [f"{bare} {''.join(found)}" for found in values]


def _text(value: object) -> str:
    """A value as spellings have it."""
    return str(Spec("", (("", value),))).removeprefix("(=").removesuffix(")")
