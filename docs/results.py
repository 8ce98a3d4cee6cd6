"""Writes the tables in docs/results.md from the columns, statuses and exit codes that there are: `make reference`."""

from __future__ import annotations

from collections.abc import Mapping

from marked import prose, table, update

from odebench.cli.exits import CODES
from odebench.cli.glossary import COLUMNS, STATUSES
from odebench.record import COLUMNS as ORDER
from odebench.record import METRICS, PAIRED, SAMPLED, TRAINED


def meanings(header: str, words: Mapping[str, str]) -> str:
    """A table of names and what they mean."""
    return table(f"{header} | meaning", ((f"`{name}`", prose(about)) for name, about in words.items()))


def parts() -> dict[str, str]:
    """Everything that is made in docs/results.md."""
    around = {name: COLUMNS[name] for name in ORDER if name not in METRICS}
    figures = [f"{', '.join(f'`{name}`' for name in group)}" for group in (METRICS, SAMPLED + PAIRED + TRAINED)]
    return {
        "columns": meanings("column", around),
        "metrics": f"{figures[0]}.\n\nWhere there are any, behind the others: {figures[1]}.",
        "statuses": meanings("status", STATUSES),
        "codes": meanings("code", {str(code): meaning for code, meaning in CODES.items()}),
    }


def main() -> None:
    """Bring docs/results.md up to date."""
    update("results.md", parts())


if __name__ == "__main__":
    main()
