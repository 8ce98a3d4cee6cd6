"""Rows that are not of one code, though one name stands in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from odebench.provenance import digests_of
from odebench.record import Record
from odebench.report.text import plain


def notes_of(records: Sequence[Record]) -> tuple[str, ...]:
    """A sentence for each plugin that was edited between some of `records` and others."""
    mixed: dict[str, Counter[str]] = {}
    for (plugin, _), digests in digests_of(records).items():
        if len(digests) > 1:
            mixed.setdefault(plugin, Counter()).update(digests)
    notes = []
    for plugin, digests in mixed.items():
        told = ", ".join(f"{rows} of {digest}" for digest, rows in digests.items())
        notes.append(f"{plain(plugin)} was edited between these rows (plugin_digest: {told}): they are not of one code")
    return tuple(notes)
