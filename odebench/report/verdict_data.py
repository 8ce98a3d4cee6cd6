"""A comparison for programs: CSV and JSON, in base units, with everything that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from odebench.compare.verdicts import Comparison, Finding, Verdict
from odebench.report.findings import outcome
from odebench.report.formats import csv_text, json_text

JSON_FORMAT = 1  # of the document that `compare --format json` writes
COLUMNS = tuple(each.name for each in fields(Finding))


def to_csv(comparison: Comparison) -> str:
    """One row per finding. `gated` is 1 or 0; an empty field is not known, and an empty margin lets no change pass."""
    return csv_text(COLUMNS, map(_row, comparison.findings))


def _row(finding: Finding) -> Mapping[str, Any]:
    return asdict(finding) | {"gated": int(finding.gated)}


def to_json(comparison: Comparison, strict: bool = False) -> str:
    """`{"format": 1, "outcome": …, "exit_code": …, "counts": …, "findings": […], "noise": […], …, "samples": {…}}`.

    Ratios are new over base, margins, spreads and detectable slowdowns fractions, samples as they were taken. A figure
    that is not finite is the string "inf", "-inf" or "nan"; null is not known.
    """
    return json_text(
        {
            "format": JSON_FORMAT,
            "outcome": outcome(comparison, strict),
            "exit_code": comparison.exit_code(strict),
            "base": comparison.base,
            "new": comparison.new,
            "policy": comparison.policy,
            "counts": {
                kind: {str(verdict): comparison.count(verdict, gated) for verdict in Verdict}
                for kind, gated in (("gated", True), ("not_gated", False))
            },
            "findings": [asdict(each) for each in comparison.findings],
            "noise": [asdict(each) for each in comparison.noise],
            "notes": comparison.notes,
            "samples": comparison.samples,
        }
    )
