"""A comparison as Markdown, for the summary of a CI job or a comment on a pull request. The worst comes first.

Names come from suites, plugins and results files, which a stranger may have written: `inert` has them do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from odebench.compare.verdicts import ORDER, Comparison, Finding, Verdict
from odebench.report.findings import counts, ending, number_notes, table_of
from odebench.report.formats import inert
from odebench.report.looks import NAMES
from odebench.report.noise import HEADING, noise_sentences
from odebench.report.table import Table
from odebench.report.text import plain
from odebench.report.undecided import fold_undecided

LIMIT = 65_000  # characters; GitHub takes 65,536 in a comment
_HEAD, _TAIL = 6_000, 12_000  # of it, at most, for what stands above and below the sections
_CLOSING = 1_500  # of it, kept for the ends of sections and for those that find no room


def to_markdown(comparison: Comparison, strict: bool = False) -> str:
    """A headline with the verdict; a section for each kind of finding, those that fail the gate open; noise and notes.

    What is the same is counted and not listed. The whole stays under `LIMIT` characters, and says how much it had to
    leave out. `strict` is as of `Comparison.exit_code`.
    """
    told = {"base": comparison.base, "new": comparison.new, "gated": comparison.policy}
    head = f"## odebench: {ending(comparison, strict)}\n\n{counts(comparison)}\n\n"
    head += _bullets([f"{key} {value}" for key, value in told.items() if value], _HEAD)
    tail = ""
    if comparison.noise:
        tail += f"\n{HEADING}\n\n{_bullets(noise_sentences(comparison.noise), _TAIL // 2)}"
    if comparison.notes:
        tail += f"\nnotes\n\n{_bullets(list(dict.fromkeys(comparison.notes)), _TAIL // 2)}"
    room, sections = LIMIT - len(head) - len(tail) - _CLOSING, ""
    for verdict in (each for each in ORDER if each is not Verdict.SAME):
        for gated in (True, False):
            found = [each for each in comparison.findings if each.verdict is verdict and each.gated is gated]
            sections += _section(found, room - len(sections)) if found else ""
    return head + sections + tail


def _bullets(texts: Sequence[str], room: int) -> str:
    """A list of at most `room` characters, and how many there are more."""
    lines: list[str] = []
    for text in texts:
        lines.append(f"- {inert(plain(text))}\n")
        room -= len(lines[-1])
        if room < 0:
            del lines[-1]
            break
    return "".join(lines) + _more(len(texts) - len(lines))


def _section(found: Sequence[Finding], room: int) -> str:
    """One kind of finding: a table, and the notes that its rows refer to, in `room` characters.

    Undecided times of stored results have no rows, but one line.
    """
    findings, undecided = fold_undecided(found)
    folded = _bullets([told.partition(" ")[2] for told in undecided], room // 2)  # the title says which sign
    body = (_rows(findings, room - len(folded)) if findings else "") + folded
    first = found[0]
    title = f"{len(found)} {first.verdict}{'' if first.gated else ', not gated'}"
    return f"\n<details{' open' if first.fails else ''}><summary>{title}</summary>\n\n{body}\n</details>\n"


def _rows(findings: Sequence[Finding], room: int) -> str:
    """The table and its notes."""
    notes = number_notes(findings)
    table = table_of(findings, notes)
    columns = [column for column in table.columns if column != "mark"]  # the title says it
    above = _above(table, columns)
    rows: list[str] = []
    told: list[str] = []
    room -= len(above)
    for finding, row in zip(findings, table.rows, strict=True):
        line = _line([inert(plain(row[column])) for column in columns])
        number = notes.get(plain(finding.note), 0)  # they are numbered as they come up
        note = f"- {inert(f'[{number}] {plain(finding.note)}')}\n" if number > len(told) else ""
        room -= len(line) + len(note)
        if room < 0:
            break
        rows.append(line)
        told += [note] if note else []
    body = f"{above}{''.join(rows)}\n" if rows else ""
    return body + "".join(told) + _more(len(findings) - len(rows))


def _above(table: Table, columns: Sequence[str]) -> str:
    constant = ", ".join(f"{name} {inert(plain(value))}" for name, value in table.constant)
    rules = [":--" if column in NAMES else "--:" for column in columns]
    return (f"{constant}\n\n" if constant else "") + _line(columns) + _line(rules)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _more(count: int) -> str:
    return f"- and {count} more\n" if count else ""
