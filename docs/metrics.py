"""Writes the tables in docs/metrics.md from the registry of metrics: `make reference`."""

from __future__ import annotations

from marked import parts_of, prose, table, update

from odebench.compare.policy import CONTEXT, GROUPS
from odebench.measure.metrics import Figure
from odebench.record import ALIASES
from odebench.registry import load_shipped, metrics

PAGE, REST = "metrics.md", "all others"


def row(figure: Figure) -> tuple[str, ...]:
    """One metric: its names, unit and group, and what it means."""
    short = [name for name, columns in ALIASES.items() if figure.name in columns and name not in GROUPS]
    names = "<br>".join(f"`{name}`" for name in (figure.name, *short))
    group = next((name for name, members in GROUPS.items() if figure.name in members), "")
    return names, figure.unit, group or ("context" if figure.name in CONTEXT else ""), prose(figure.meaning)


def parts() -> dict[str, str]:
    """A table for each place of the page, whose marks name its metrics; what no other place names goes to the last.

    Raises:
        ValueError: a place names what is no metric.
    """
    load_shipped()
    figures: dict[str, Figure] = {entry.name: entry.build({}) for entry in metrics if entry.source == "odebench"}
    places = {place: place.split() for place in parts_of(PAGE) if place != REST}
    named = [name for names in places.values() for name in names]
    unknown = [name for name in named if name not in figures or named.count(name) > 1]
    if unknown:
        raise ValueError(f"docs/{PAGE}: {', '.join(unknown)}: no metric, or named twice; edit the marks")
    places[REST] = [name for name in figures if name not in named]
    header = "column | unit | group | what it is"
    return {place: table(header, [row(figures[name]) for name in names]) for place, names in places.items()}


def main() -> None:
    """Bring docs/metrics.md up to date."""
    update(PAGE, parts())


if __name__ == "__main__":
    main()
