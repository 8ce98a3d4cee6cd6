"""The pages of `explain`: every name has one, and what it says of an entry was asked of the entry itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from rich.cells import cell_len

from odebench.cli import explain, explain_entry
from odebench.cli.topics import KINDS, topics
from odebench.compare.policy import GROUPS
from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError
from odebench.health.finding import State
from odebench.measure.metrics import MEANINGS
from odebench.record import ALIASES, COLUMNS, METRICS, STATUSES
from odebench.registry import Entry, gradients, load_builtins, registries, solvers
from odebench.suite.grammar import KEYS as SUITE_KEYS
from odebench.suite.grammar import MEASURES

load_builtins()
ENTRIES = [f"{kind}:{entry.name}" for kind, registry in registries.items() for entry in registry]


def facts(name: str) -> dict[str, str]:
    """The aligned pairs of a page, each on one line."""
    pairs = (line.strip().split("  ", 1) for line in explain.page(name, 1000).splitlines() if line.startswith("  "))
    return {pair[0]: pair[-1].strip() for pair in pairs}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_has_a_page_that_fits(name: str) -> None:
    page = explain.page(name, 80)
    kind, _, rest = name.partition(":")
    assert page.startswith(f"{rest} ({kind})\n\n")
    assert max(map(cell_len, page.splitlines())) <= 80
    assert "…)" not in page
    assert "Raises" not in page


@pytest.mark.parametrize("entry", [*solvers, *gradients], ids=lambda entry: entry.name)
def test_every_method_carries_its_citation(entry: Entry) -> None:
    assert entry.reference
    assert facts(f"{entry.kind}:{entry.name}")["reference"] == entry.reference


@pytest.mark.parametrize(
    ("name", "order", "error", "evaluations"),
    [
        ("euler", "1", "no error estimate", "1 per step"),
        ("rk4", "4", "no error estimate", "4 per step"),
        ("dopri5", "5", "5", "6 per step, and 1 to start with"),
        ("alf", "2", "2", "1 per step, and 1 to start with"),
        ("alf(eta=0.9)", "1", "2", "1 per step, and 1 to start with"),
        ("reversible_heun", "2", "2", "1 per step, and 1 to start with"),
        ("coupled(base=rk4)", "4", "no error estimate", "8 per step"),
        ("{coupled: {base: dopri5}}", "5", "5", "12 per step"),
    ],
)
def test_orders_and_evaluations_are_those_of_the_scheme_as_configured(
    name: str, order: str, error: str, evaluations: str
) -> None:
    told = facts(name)
    assert (told["order"], told["error order"], told["evaluations"]) == (order, error, evaluations)


def test_stages_and_fsal_come_from_the_tableau() -> None:
    assert facts("dopri5")["stages"] == "7"
    assert facts("dopri5")["fsal"].startswith("yes")
    assert facts("rk4")["fsal"] == "no"


def test_a_solver_tells_which_gradients_it_takes_and_why_not_the_others() -> None:
    told = facts("rk4")
    assert told["gradients"] == "direct, adjoint, interpolated, aca, recursive, symplectic, forward"
    assert "cannot be undone" in told["not reversible"]
    assert "estimates no error" in told["not adaptive"]


def test_a_gradient_tells_its_memory_law_and_its_solvers() -> None:
    assert facts("reversible")["memory"] == "one step's graph"
    assert {"alf", "coupled", "reversible_heun", "leapfrog", "ees25"} <= set(facts("reversible")["solvers"].split(", "))
    assert "rk4" not in facts("reversible")["solvers"].split(", ")
    assert facts("direct")["solvers"] == "all"


def test_every_gradient_has_a_memory_law() -> None:
    assert {entry.name for entry in gradients} == set(explain_entry.LAWS)


def test_options_have_types_and_defaults() -> None:
    assert facts("alf")["eta"] == "a number; default: 1.0"
    assert facts("van_der_pol")["span"].endswith("default: the problem's own")


def test_an_alias_leads_to_the_canonical_name() -> None:
    assert explain.page("mali").startswith("reversible (gradient)")
    assert facts("mali")["aliases"] == "mali"


def test_a_name_of_two_kinds_must_be_made_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Entry("problem", "rk4", lambda: None, "A problem that is called like a solver.")
    monkeypatch.setitem(registries["problem"].entries, "rk4", twin)
    with pytest.raises(UsageError, match="'rk4' is a problem and a solver; write problem:rk4 or solver:rk4"):
        explain.page("rk4")
    assert explain.page("solver:rk4").startswith("rk4 (solver)")


def test_an_unknown_name_is_told_where_to_look() -> None:
    with pytest.raises(UsageError, match="did you mean 'dopri5'"):
        explain.page("dorpi5")
    with pytest.raises(UsageError, match="`odebench list gradients`"):
        explain.page("gradient:zzzz")


def test_a_scheme_that_needs_real_tensors_has_no_count_of_evaluations() -> None:
    class Picky:
        order, error_order = 1, None

        def init(self, f, t, y):
            return (float(y),)

    assert explain_entry._evaluations(Picky()) is None


def test_every_figure_of_a_record_is_explained() -> None:
    assert tuple(MEANINGS) == METRICS
    assert facts("peak_memory_bytes")["unit"] == "bytes"


TOPICS = [f"{topic.kind}:{topic.name}" for topic in topics() if topic.kind not in registries]


@pytest.mark.parametrize("name", TOPICS)
def test_everything_beside_the_registries_has_a_page_that_fits_too(name: str) -> None:
    page = explain.page(name, 80)
    kind, _, rest = name.partition(":")
    heading, about = page.split("\n\n")[:2]
    assert heading == f"{rest} ({kind})"
    assert about.strip()
    assert max(map(cell_len, page.splitlines())) <= 80


def test_without_a_name_all_that_can_be_explained_is_listed() -> None:
    text = explain.index(80)
    assert max(map(cell_len, text.splitlines())) <= 80
    listed = set(text.replace(",", " ").split())
    for kind in KINDS:
        assert f"\n{kind}: {KINDS[kind]}" in text or kind == "workload"  # of which there may be none
    for topic in topics():
        assert topic.name in listed or " " in topic.name or "." in topic.name


def test_nothing_that_is_printed_goes_unexplained() -> None:
    known = {(topic.kind, topic.name) for topic in topics()}
    assert {name for kind, name in known if kind == "status"} == set(STATUSES)
    assert {name for kind, name in known if kind in ("column", "metric")} >= set(COLUMNS)
    assert {name for kind, name in known if kind in ("columns", "group")} >= set(ALIASES)
    assert {name for kind, name in known if kind == "verdict"} >= {each.value for each in Verdict}
    assert {name for kind, name in known if kind == "state"} == {each.value for each in State}
    assert {name for kind, name in known if kind == "group"} == set(GROUPS)
    assert {name for kind, name in known if kind == "key"} >= {*SUITE_KEYS, *(f"measure.{key}" for key in MEASURES)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("measure.match_error", "for instance  measure: {match_error: 1e-6}"),
        ("match_error", "measure.match_error (key)"),
        ("timed_out", "raise it with --timeout"),
        ("cannot tell", "(verdict)"),
        ("130", "Interrupted"),
        ("torchode", "pip install 'odebench[torchode]'"),
        ("suite:quickstart", "mlp(dim=8, hidden=32, span=[0, 5])"),
        ("work-precision", "odebench plot RESULTS --kind work-precision -o fig.pdf"),
        ("exact", "peak_memory_bytes"),
        ("alf.eta", "a number; default: 1.0"),
        ("adaptive.safety", "a number; default: 0.9"),
        ("overhead", "also: suite:overhead"),
    ],
)
def test_a_page_says_what_one_wants_to_know(name: str, words: str) -> None:
    assert words in explain.page(name, 200)


def test_a_name_in_no_registry_gets_a_hint_from_all_kinds() -> None:
    with pytest.raises(UsageError, match="did you mean 'timed_out'"):
        explain.page("timedout")
    with pytest.raises(UsageError, match="no status is called 'zzzz'; `odebench explain` shows"):
        explain.page("status:zzzz")


def test_no_page_imports_torch() -> None:
    code = (
        "import sys\nfrom odebench.cli.pages import page\n"
        "for name in (None, 'alf', 'torchode', 'work-precision', 'suite:peers', 'measure'):\n"
        "    assert page('explain', [], name=name, width=80)\n"
        "assert not {'torch', 'numpy', 'jax', 'matplotlib'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
