"""A comparison for people: a table with the worst first, one line that sums it up, and how fine it could see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from odebench.compare.verdicts import ORDER, Comparison, Finding, Verdict
from odebench.errors import UsageError
from odebench.report import layout, looks
from odebench.report.findings import MARKS, counts, ending, number_notes, table_of
from odebench.report.layout import Line
from odebench.report.noise import HEADING, noise_sentences
from odebench.report.screen import Format
from odebench.report.table import Table
from odebench.report.text import UNLIMITED, fold, plain
from odebench.report.undecided import fold_undecided

_NEEDED = ("base", "new", "change", "interval")  # rather than leave these out, a narrow table heads rows by their cell


def lines_of_comparison(
    comparison: Comparison, width: int | None, everything: bool = False, strict: bool = False
) -> list[Line]:
    """The comparison as lines of at most `width` cells, or as long as they like.

    Without `everything`, rows that close no gate and raise no question (same, better, not gated) are counted only, and
    undecided times of stored results stand on one line.
    `strict` is as of `Comparison.exit_code`.
    """
    lines = list(_folded(f"base {comparison.base}, new {comparison.new}", width, "dim"))
    if comparison.policy:
        lines += _folded(f"gated: {comparison.policy}", width, "dim")
    shown, undecided = list(comparison.findings), list[str]()
    if not everything:
        shown, undecided = fold_undecided([each for each in comparison.findings if _tells(each)])
    if shown:
        lines += [Line(""), *_table(shown, width)]
    if undecided:
        lines += [Line(""), *(line for told in undecided for line in _folded(told, width))]
    style = "bold red" if comparison.failures else "bold"
    lines += [Line(""), *_folded(f"{counts(comparison)}: {ending(comparison, strict)}", width, style)]
    if comparison.noise:
        lines += [Line(""), *_folded(HEADING, width, "bold")]
        lines += [line for told in noise_sentences(comparison.noise) for line in _folded(told, width, indent=2)]
    if comparison.notes:
        lines.append(Line(""))
        lines += [line for note in dict.fromkeys(comparison.notes) for line in _folded(note, width)]
    return lines


def render(comparison: Comparison, form: Format, strict: bool = False) -> str:
    """The comparison in a format for files and other programs; `table` is the whole of it, however wide.

    Raises:
        UsageError: `form` is of records, not of verdicts.
    """
    from odebench.report import junit, verdict_data, verdict_markdown

    if form is Format.table:
        return "".join(f"{line.text}\n" for line in lines_of_comparison(comparison, None, True, strict))
    if form is Format.csv:
        return verdict_data.to_csv(comparison)
    if form is Format.json:
        return verdict_data.to_json(comparison, strict)
    if form is Format.markdown:
        return verdict_markdown.to_markdown(comparison, strict)
    if form is Format.junit:
        return junit.to_junit(comparison)
    raise UsageError(f"--format {form} shows what one run measured, not verdicts; give it to `odebench show`")


def _tells(finding: Finding) -> bool:
    return finding.gated and finding.verdict not in (Verdict.SAME, Verdict.BETTER)


def _table(findings: Sequence[Finding], width: int | None) -> Iterator[Line]:
    notes = number_notes(findings)
    table = table_of(findings, notes)
    place = layout.fit(table, width)
    for narrower in (_one_metric, _by_cell):
        if set(place.left_out).intersection(_NEEDED):
            table = narrower(table)
            place = layout.fit(table, width)
    yield from layout.lines_of(table, place)
    if place.left_out:
        yield from _folded(f"no room for {', '.join(place.left_out)}: a wider terminal or a pipe has it", width, "dim")
    yield Line("")
    yield from _folded(_legend(findings), width, "dim")
    for note, number in notes.items():
        yield from _folded(f"[{number}] {note}", width)


def _one_metric(table: Table) -> Table:
    """The same rows with their metric told above, if it is the same in all."""
    metrics = {row["metric"] for row in table.rows}
    if len(metrics) > 1:
        return table
    columns = tuple(name for name in table.columns if name != "metric")
    return replace(table, columns=columns, constant=(*table.constant, ("metric", *metrics)))


def _by_cell(table: Table) -> Table:
    """The same rows under headings, which leaves their figures more room."""
    heads = tuple(name for name in table.columns if name in looks.NAMES and name not in looks.WORDS)
    return replace(table, columns=tuple(name for name in table.columns if name not in heads), group_by=heads)


def _legend(findings: Sequence[Finding]) -> str:
    seen = {each.verdict for each in findings}
    told = [f"{MARKS[each]} {each}" for each in ORDER if each in seen]
    told += ["(in parentheses) not gated"] if any(not each.gated for each in findings) else []
    return ", ".join(told)


def _folded(text: str, width: int | None, style: str = "", indent: int = 0) -> Iterator[Line]:
    for line in fold(plain(text), (width or UNLIMITED) - indent, 2):
        yield Line(f"{' ' * indent}{line}", style)
