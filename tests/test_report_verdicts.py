"""How verdicts are shown: in a terminal, and to programs; and that names of strangers do nothing there."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import fields, replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from odebench.compare.verdicts import Comparison, Finding, Noise, Verdict, worst_first
from odebench.errors import UsageError
from odebench.report.findings import axes_of, change, interval, sides
from odebench.report.screen import Format
from odebench.report.verdict_markdown import LIMIT
from odebench.report.verdicts import lines_of_comparison, render
from tests.verdict_examples import CLEAN, COUPLED, EXAMPLE, HOSTILE, NOISE, STORED, UNTOLD, cell, finding

SUMMARY = "3 worse, 1 missing, 2 cannot tell, 3 same, 1 better, 1 new (not gated: 1 worse)"


def texts(comparison: Comparison, width: int | None = None, everything: bool = False, strict: bool = False):
    return [line.text for line in lines_of_comparison(comparison, width, everything, strict)]


def named(name: str) -> Comparison:
    """All that can bear a name bears this one."""
    at = cell(name)
    findings = [
        finding(verdict, name, at, name, base=name, new=name, note=name)
        for verdict in (Verdict.WORSE, Verdict.MISSING, Verdict.UNCLEAR, Verdict.BETTER, Verdict.NEW, Verdict.SAME)
    ]
    noise = (Noise(name, at, name, 1.0, 0.99, 1.01, 0.01, 0.02), Noise(name, cell(), name, 1.0, 0.99, 1.01, 0.01, 0.03))
    return Comparison(name, name, worst_first(findings), noise, name, (name,), {name: [name]})


def test_at_80_columns_rows_stand_under_their_cells_and_no_figure_is_left_out() -> None:
    assert texts(EXAMPLE, 80) == [
        "base main (1a2b3c4d), new HEAD (5e6f7a8b)",
        "gated: status, exact, wall_seconds > 3%",
        "",
        "suite small, stepping fixed(steps=100), device cpu, dtype float64, batch 32,",
        "  seed 0",
        "",
        "mark  metric           base        new   change        interval  margin  note",
        "─" * 77,
        "",
        "pendulum · rk4 · direct",
        "!     status             ok  timed_out                             none  [1]",
        "",
        "pendulum · coupled(base=rk4, coupling=0.999) · reversible",
        "!     wall_seconds  12.3 ms    13.0 ms   +5.3 %  +3.1 to +7.2 %     3 %",
        "",
        "logistic · rk4 · direct",
        "!     nfe_backward      400        401  +0.25 %                    none",
        "",
        "logistic · dopri5 · direct",
        "-     status             ok                                        none  [2]",
        "",
        "logistic · tsit5 · direct",
        "*     status                        ok                             none",
        "",
        "! worse, - missing, * new",
        "[1] it took over 120 s",
        "[2] NEW has no such cell",
        "",
        "? 2 times cannot be told (wall_seconds), new over base +8.0 %: measured on",
        "  different machines; `odebench compare --suite s.yaml --base REV --new .` tells",
        "",
        "3 worse, 1 missing, 2 cannot tell, 3 same, 1 better, 1 new (not gated: 1 worse):",
        "  FAIL",
        "",
        "noise floor: the base against itself (A/A), measured as the rest was",
        "  wall_seconds: a pair of processes varies by 2.2 % (worst 2.6 %); A/A is off by",
        "    at most 1.8 % (worst 2.0 %); smallest slowdown found 9 times in 10: 4.7 %",
        "    (worst 5.2 %, pendulum)",
        "",
        "times: 8 rounds of three fresh processes",
    ]


def test_at_120_columns_every_row_tells_its_cell() -> None:
    assert texts(EXAMPLE, 120)[3:13] == [
        "suite small, stepping fixed(steps=100), device cpu, dtype float64, batch 32, seed 0",
        "coupled is coupled(base=rk4, coupling=0.999)",
        "",
        "mark  problem   solver   gradient    metric           base        new   change        interval  margin  note",
        "─" * 108,
        "!     pendulum  rk4      direct      status             ok  timed_out                             none  [1]",
        "!     pendulum  coupled  reversible  wall_seconds  12.3 ms    13.0 ms   +5.3 %  +3.1 to +7.2 %     3 %",
        "!     logistic  rk4      direct      nfe_backward      400        401  +0.25 %                    none",
        "-     logistic  dopri5   direct      status             ok                                        none  [2]",
        "*     logistic  tsit5    direct      status                        ok                             none",
    ]


def test_in_a_pipe_no_name_is_short_and_no_note_is_folded() -> None:
    drawn = texts(EXAMPLE)
    assert any(line.startswith(f"!     pendulum  {COUPLED}  reversible  wall_seconds") for line in drawn)
    assert f"? 2 times cannot be told (wall_seconds), new over base +8.0 %: {STORED}" in drawn
    assert f"{SUMMARY}: FAIL" in drawn


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("everything", [False, True])
def test_no_line_is_too_long_and_none_has_an_ellipsis(width: int, everything: bool) -> None:
    drawn = texts(EXAMPLE, width, everything)
    assert max(map(cell_len, drawn)) <= width
    assert not any("…" in line or "..." in line for line in drawn)


def test_undecided_times_of_stored_results_are_one_line_for_people_and_rows_for_programs() -> None:
    rows = [
        finding(Verdict.UNCLEAR, "wall_seconds", cell(str(each)), base=1.0, new=each, note=STORED) for each in (2, 3)
    ]
    live = finding(
        Verdict.UNCLEAR, "wall_seconds", base=1.0, new=1.15, low=0.9, high=1.4, margin=0.03, samples=8, note="noise"
    )
    stored, both = Comparison("a", "b", tuple(rows)), Comparison("a", "b", (*rows, live))
    line = f"2 times cannot be told (wall_seconds), new over base ×2.00 to ×3.00: {STORED}"
    assert texts(stored) == [
        "base a, new b", "", f"? {line}", "", "2 cannot tell: PASS, as far as can be told",
    ]  # fmt: skip
    assert any("-10.0 to +40.0 %" in told for told in texts(both))
    assert f"? {line}" in texts(both)
    marked = MarkdownIt().render(render(both, Format.markdown))
    assert line.replace("`", "") in Tags(marked).text.replace("`", "")
    assert sum("wall_seconds" in row for row in render(both, Format.markdown).splitlines() if row[:1] == "|") == 1
    assert len(json.loads(render(stored, Format.json))["findings"]) == 2
    assert render(stored, Format.junit).count("<skipped") == 2
    assert render(stored, Format.csv).count("cannot tell") == 2
    assert sum("wall_seconds" in row for row in texts(stored, everything=True)) == 2


def test_what_cannot_be_told_for_two_reasons_is_a_line_each() -> None:
    notes = ("measured on different machines", "the ratio was 100 at first, 1 again", "measured on different machines")
    findings = tuple(finding(Verdict.UNCLEAR, "wall_seconds", cell(note), note=note) for note in notes)
    assert [line[:25] for line in texts(Comparison("a", "b", findings)) if line.startswith("?")] == [
        "? 2 times cannot be told ", "? 1 time cannot be told (",
    ]  # fmt: skip


def test_a_figure_that_has_no_room_is_named() -> None:
    assert any(line.startswith("no room for margin") for line in texts(EXAMPLE, 70))


def test_what_is_the_same_or_better_or_closes_no_gate_is_counted_and_shown_only_when_asked_for() -> None:
    brief, full = "\n".join(texts(EXAMPLE)), "\n".join(texts(EXAMPLE, everything=True))
    for only in ("nfe_forward", "peak_memory_bytes", "overhead"):
        assert only not in brief
        assert only in full
    assert "(!)   logistic  rk4" in full
    assert "! worse, - missing, ? cannot tell, + better, * new, = same, (in parentheses) not gated" in full
    assert SUMMARY in brief
    assert SUMMARY in full


def test_a_comparison_without_anything_to_tell_is_three_lines() -> None:
    assert texts(CLEAN) == ["base a, new b", "", "3 same: PASS"]
    assert texts(Comparison("a", "b", ())) == ["base a, new b", "", "nothing to compare: PASS"]


@pytest.mark.parametrize(
    ("comparison", "strict", "word"),
    [
        (EXAMPLE, False, "FAIL"),
        (EXAMPLE, True, "FAIL"),
        (CLEAN, True, "PASS"),
        (UNTOLD, False, "PASS, as far as can be told"),
        (UNTOLD, True, "INCONCLUSIVE"),
    ],
)
def test_the_last_word_is_that_of_the_exit_code_in_every_format(
    comparison: Comparison, strict: bool, word: str
) -> None:
    assert any(line.endswith(f": {word}") for line in texts(comparison, strict=strict))
    assert f"## odebench: {word}\n" in render(comparison, Format.markdown, strict)
    document = json.loads(render(comparison, Format.json, strict))
    assert document["outcome"] == word.partition(",")[0]
    assert document["exit_code"] == comparison.exit_code(strict)


def test_a_failing_comparison_has_its_summary_in_red_and_one_that_passes_has_not() -> None:
    styles = {line.text: line.style for line in lines_of_comparison(EXAMPLE, None)}
    assert styles[f"{SUMMARY}: FAIL"] == "bold red"
    assert {line.text: line.style for line in lines_of_comparison(CLEAN, None)}["3 same: PASS"] == "bold"


def test_changes_read_as_percent_up_to_a_doubling() -> None:
    ratios = [1.0, 1.0025, 1.053, 0.25, 0.0, 2.0, 2.414, 1 + 1e-7, math.inf, math.nan]
    assert list(map(change, ratios)) == [
        "0 %", "+0.25 %", "+5.3 %", "-75.0 %", "-100.0 %", "×2.00", "×2.41", "+1e-05 %", "×inf", "×nan",
    ]  # fmt: skip
    assert change(None) == ""
    assert interval(0.9, 1.1) == "-10.0 to +10.0 %"
    assert interval(1.9, 2.2) == "×1.90 to ×2.20"
    assert interval(1.03, None) == "over +3.0 %"
    assert interval(None, 1.03) == "under +3.0 %"


def test_figures_that_differ_look_different_however_little_they_differ() -> None:
    assert sides(finding(Verdict.WORSE, "peak_memory_bytes", base=12345678, new=12345679)) == (
        "12345678 B", "12345679 B",
    )  # fmt: skip
    assert sides(finding(Verdict.WORSE, "solution_error", base=1.0e-7, new=1.01e-7)) == ("1e-07", "1.01e-07")
    assert sides(finding(Verdict.WORSE, "overhead", base=1.31, new=math.nextafter(1.31, 2))) == (
        "1.31", "1.3100000000000003",
    )  # fmt: skip
    noisy = finding(Verdict.SAME, "wall_seconds", base=0.0123, new=0.01231, low=0.99, high=1.01)
    assert sides(noisy) == ("12.3 ms", "12.3 ms")


def test_a_cell_is_taken_apart_at_its_own_slashes_only() -> None:
    taken = axes_of("mlp(weights=a/b)/coupled(base=rk4(x=[1/2]))/direct/fixed(steps=1)/cuda:1/float32/8/3")
    assert taken is not None
    assert taken["problem"] == "mlp(weights=a/b)"
    assert taken["solver"] == "coupled(base=rk4(x=[1/2]))"
    assert (taken["device"], taken["seed"]) == ("cuda:1", "3")
    assert axes_of("no cell") is None
    odd = replace(EXAMPLE, findings=(*EXAMPLE.findings, finding(Verdict.WORSE, "status", "a/b", base="ok", new="x")))
    assert any(line.startswith("!     a/b ") for line in texts(odd))


def test_the_csv_has_every_finding_with_all_its_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(render(EXAMPLE, Format.csv))))
    assert list(rows[0]) == [each.name for each in fields(Finding)]
    assert len(rows) == len(EXAMPLE.findings)
    worst = rows[1]
    assert (rows[0]["metric"], rows[0]["new"]) == ("status", "timed_out")
    assert (worst["verdict"], worst["base"], worst["ratio"], worst["gated"]) == ("worse", "0.0123", "1.053", "1")
    assert [row["gated"] for row in rows if row["metric"] == "overhead"] == ["0"]


def test_the_json_holds_the_whole_comparison_and_reads_back_to_it() -> None:
    document = json.loads(render(EXAMPLE, Format.json), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["format"] == 1
    findings = tuple(Finding(**each | {"verdict": Verdict(each["verdict"])}) for each in document["findings"])
    assert findings == EXAMPLE.findings
    assert tuple(Noise(**each) for each in document["noise"]) == NOISE
    assert document["samples"] == {"wall_seconds": {"log_ratios": [0.01, "inf"]}}
    assert document["counts"]["gated"]["worse"] == 3
    assert document["counts"]["not_gated"]["worse"] == 1


class Tags(HTMLParser):
    """What a page consists of: its elements with their attributes, and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.cells = {"th": 0, "td": 0}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag in self.cells:
            self.cells[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.found.add("comment")


def page(markdown: str) -> Tags:
    return Tags(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def test_the_markdown_has_a_section_for_each_kind_worst_first_and_those_that_fail_are_open() -> None:
    text = render(EXAMPLE, Format.markdown)
    heads = [line for line in text.splitlines() if line.startswith("<details")]
    assert heads == [
        "<details open><summary>3 worse</summary>",
        "<details><summary>1 worse, not gated</summary>",
        "<details open><summary>1 missing</summary>",
        "<details><summary>2 cannot tell</summary>",
        "<details><summary>1 better</summary>",
        "<details><summary>1 new</summary>",
    ]
    assert text.count("</details>") == len(heads)
    assert text.startswith(f"## odebench: FAIL\n\n{SUMMARY}\n")
    assert "nfe_forward" not in text
    assert text.count("measured on different machines") == 1
    assert "| pendulum | coupled(base=rk4, coupling=0.999) | reversible | wall_seconds | 12.3 ms |" in text


def test_the_markdown_is_rendered_as_tables() -> None:
    shown = page(render(EXAMPLE, Format.markdown))
    assert shown.found == {
        "h2", "p", "ul", "li", "details", "summary", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert shown.cells["td"] > 40


def test_two_thousand_findings_fit_in_a_comment_which_says_how_many_it_leaves_out() -> None:
    many = [
        finding(verdict, "nfe_backward", cell(solver=f"coupled(base=rk4, coupling=0.{n:04})"), base=n, new=n + 1)
        for n in range(1, 1001)
        for verdict in (Verdict.WORSE, Verdict.UNCLEAR)
    ]
    text = render(replace(EXAMPLE, findings=worst_first(many)), Format.markdown)
    assert len(text) < LIMIT
    assert "1000 worse, 1000 cannot tell: " not in text  # the verdict is the heading
    assert "## odebench: FAIL\n\n1000 worse, 1000 cannot tell\n" in text
    shown = [int(line.split()[2]) for line in text.splitlines() if line.startswith("- and ")]
    rows = sum(line.startswith("| coupled") for line in text.splitlines())
    assert rows + sum(shown) == 2000
    assert text.count("<details") == text.count("</details>") == 2
    assert "- times: 8 rounds" in text


def test_notes_and_names_of_any_length_do_not_make_a_comment_too_long() -> None:
    long = "x" * 70_000
    huge = Comparison(
        long, long, tuple(finding(verdict, long, note=f"{long}{n}") for n in range(3) for verdict in Verdict),
        tuple(replace(NOISE[0], metric=f"{long}{n}") for n in range(3)), long, (long, "short"),
    )  # fmt: skip
    text = render(huge, Format.markdown)
    assert len(text) < LIMIT
    assert text.count("<details") == text.count("</details>")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_adds_nothing_to_a_page(name: str) -> None:
    text = render(named(name), Format.markdown)
    shown = page(text)
    assert shown.found <= {
        "h2", "p", "ul", "li", "details", "summary", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert shown.attributes <= {"open", "style"}
    columns = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {5}
    assert len([line for line in text.splitlines() if line.startswith("<details")]) == 5
    # What GitHub itself looks for in the text that is shown.
    for trap in ("@team", "@SUM", "@evil", "#123", "GH-7", "://", "www.evil"):
        assert trap not in shown.text


def test_a_name_shows_as_what_it_is() -> None:
    assert "<img src=x onerror=alert(1)>" in page(render(named(HOSTILE[0]), Format.markdown)).text
    assert "&lt;b&gt;" in page(render(named("&lt;b&gt;"), Format.markdown)).text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("width", [80, None])
def test_a_name_cannot_move_a_terminal(name: str, width: int | None) -> None:
    assert all(line.isprintable() for line in texts(named(name), width, everything=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_no_formula_in_a_csv_and_stays_itself_in_json(name: str) -> None:
    rows = list(csv.reader(io.StringIO(render(named(name), Format.csv), newline="")))
    assert len({len(row) for row in rows}) == 1
    assert not any(field.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for field in row)
    assert json.loads(render(named(name), Format.json))["findings"][0]["suite"] == name


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_breaks_no_xml(name: str) -> None:
    root = ElementTree.fromstring(render(named(name), Format.junit).encode("utf-8"))
    assert {each.tag for each in root.iter()} == {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "skipped", "system-out",
    }  # fmt: skip
    (suite,) = root
    assert suite.get("name") == suite.findall("testcase")[0].get("name")


def test_the_xml_counts_right_and_fails_what_fails_the_gate() -> None:
    other = finding(Verdict.MISSING, "status", suite="other", base="ok")
    root = ElementTree.fromstring(render(replace(EXAMPLE, findings=(*EXAMPLE.findings, other)), Format.junit).encode())
    assert [suite.get("name") for suite in root] == ["small", "other"]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("13", "5", "0")
    for suite in root:
        for counted, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
            assert int(suite.get(counted, "")) == len(suite.findall(tag))
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert len(cases) == 13
    failure = cases[cell("pendulum", COUPLED, "reversible"), "wall_seconds"].find("failure")
    assert failure is not None
    assert failure.get("message") == "worse: wall_seconds: 12.3 ms to 13.0 ms, +5.3 % (+3.1 to +7.2 %), margin 3 %"
    skipped = cases[cell("pendulum"), "wall_seconds"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == f"wall_seconds: 10.0 ms to 10.8 ms, +8.0 %, margin 3 %; {STORED}"
    assert cases[cell(), "overhead"].find("failure") is None
    assert list(cases[cell(), "nfe_forward"]) == []


def test_a_table_in_a_file_is_the_whole_of_it() -> None:
    assert render(EXAMPLE, Format.table).splitlines() == texts(EXAMPLE, everything=True)


@pytest.mark.parametrize("form", [Format.bencher, Format.github_action_benchmark])
def test_formats_of_records_say_that_they_are_not_of_verdicts(form: Format) -> None:
    with pytest.raises(UsageError, match="not verdicts"):
        render(EXAMPLE, form)
