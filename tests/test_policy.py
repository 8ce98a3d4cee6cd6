"""What closes a gate: `--fail-on` is read, told back, and judges by kind of metric."""

from __future__ import annotations

import random

import pytest

from odebench.compare.policy import CONTEXT, DEFAULT, ERRORS, EXACT, GROUPS, NOISY, ROUNDING, Margin, Policy
from odebench.compare.verdicts import Verdict
from odebench.errors import UsageError
from odebench.record import METRICS

INF, NAN = float("inf"), float("nan")
WORSE, SAME, BETTER = Verdict.WORSE, Verdict.SAME, Verdict.BETTER


def test_every_metric_is_of_one_kind() -> None:
    kinds = [*EXACT, *ERRORS, *NOISY, *CONTEXT]
    assert sorted(kinds) == sorted(METRICS)


def test_every_type_of_number_in_a_suite_has_a_floor() -> None:
    from odebench.suite.grammar import DTYPES

    assert set(ROUNDING) == set(DTYPES)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (DEFAULT, "status, exact, errors > 1%, wall_seconds > 3%"),
        ("nfe_backward, peak_memory_bytes > 2%, overhead > 5%, status",
         "status, nfe_backward, overhead > 5%, peak_memory_bytes > 2%"),
        ("memory>2%,exact", "exact"),
        ("exact, memory > 2 %", "exact, peak_memory_bytes > 2%"),
        ("nfe", "nfe_forward, nfe_backward"),
        ("gradient_error > 1e-12", "gradient_error > 1e-12"),
        ("errors", "errors > 1%"),
        ("errors > 0%", "errors > 0%"),
        ("times, wall > 7%", "times > 3%, wall_seconds > 7%"),
        ("errors > 7%, gradient_error > 1e-9, gradient_error > 5%", "errors > 7%, gradient_error > 5%"),
        ("  status\n,\texact ", "status, exact"),
        ("steps > 0", "steps > 0"),
    ],
)  # fmt: skip
def test_rules_have_one_canonical_text_which_means_the_same(text: str, canonical: str) -> None:
    policy = Policy.parse(text)
    assert str(policy) == canonical
    assert Policy.parse(canonical) == policy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nfe_backwad", "column 1: expected a metric, got 'nfe_backwad'; did you mean 'nfe_backward'?"),
        ("status, exakt", "column 9: expected a metric, got 'exakt'; did you mean 'exact'?"),
        ("zzz", "besides status, exact, errors, times there are those of `odebench list metrics`"),
        ("", "column 1: expected a metric, got the end"),
        ("exact,", "column 7: expected a metric, got the end"),
        ("exact > ", "column 9: expected a number that is not negative, such as 2% or 1e-12, got the end"),
        ("exact > -1%", "column 9: expected a number that is not negative"),
        ("exact > nan", "column 9: expected a number that is not negative"),
        ("exact > .inf", "column 9: expected a number that is not negative"),
        ("exact > true", "column 9: expected a number that is not negative"),
        ("exact > " + "9" * 400, "column 9: expected a number that is not negative"),
        ("exact >= 3%", "column 8: expected a number that is not negative"),
        ("exact 3%", "column 7: expected '>', ',' or the end, got '3%'"),
        ("exact > 2%%", "got '2%%'"),
        ("status > 2%", "column 1: expected status alone: it has no size"),
        ("repeats", "column 1: expected a metric that can be better or worse, got 'repeats'"),
        ("interval", "column 1: expected a metric that can be better or worse"),
        ("exact; status", "column 1: expected a metric, got 'exact;'"),
        ("x\x1b[31m", "column 1"),
    ],
)
def test_rules_that_cannot_be_read_are_located(text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        Policy.parse(text)
    assert told in str(error.value)
    assert str(error.value).startswith("--fail-on ")
    assert "\x1b" not in str(error.value)


def test_rules_of_random_pieces_are_wrong_usage_or_have_a_canonical_text() -> None:
    chance = random.Random(4)
    pieces = ["status", "exact", "errors", "times", "wall", "nfe", ">", ",", "%", "2", "1e-3", " ", "(", "'", "\0", "é"]
    understood = 0
    for _ in range(3000):
        text = "".join(chance.choices(pieces, k=chance.randrange(8)))
        try:
            policy = Policy.parse(text)
        except UsageError:
            continue
        understood += 1
        assert Policy.parse(str(policy)) == policy
    assert understood > 30


def test_a_margin_of_any_size_is_told_back() -> None:
    chance = random.Random(5)
    for name in (*GROUPS, *ERRORS, *EXACT):
        for unit in ("", "%"):
            policy = Policy.parse(f"{name} > {10 ** chance.uniform(-15, 6)!r}{unit}")
            assert Policy.parse(str(policy)) == policy


def test_a_metric_of_a_plugin_can_be_named_where_results_hold_it() -> None:
    policy = Policy.parse("smoothness > 5%, exact", ["smoothness"])
    assert policy.judge("smoothness", 1.0, 1.06, "float64") is WORSE
    assert str(policy) == "exact, smoothness > 5%"
    with pytest.raises(UsageError, match="did you mean 'smoothness'"):
        Policy.parse("smothness", ["smoothness"])


@pytest.mark.parametrize(
    ("rules", "metric", "base", "new", "verdict"),
    [
        ("exact", "nfe_backward", 100, 101, WORSE),
        ("exact", "nfe_backward", 100, 99, BETTER),
        ("exact", "nfe_backward", 100, 100.0, SAME),
        ("status", "peak_memory_bytes", 100_000, 100_001, WORSE),  # not gated is judged all the same
        ("memory > 2%", "peak_memory_bytes", 100, 102, SAME),
        ("memory > 2%", "peak_memory_bytes", 100, 103, WORSE),
        ("memory > 2%", "peak_memory_bytes", 100, 97, BETTER),
        ("memory > 2%", "peak_memory_bytes", 0, 1, WORSE),
        ("steps > 3", "steps", 100, 103, SAME),
        ("steps > 3", "steps", 100, 104, WORSE),
        ("errors", "gradient_error", 1e-4, 1.009e-4, SAME),
        ("errors", "gradient_error", 1e-4, 1.02e-4, WORSE),
        ("errors", "gradient_error", 1e-4, 0.98e-4, BETTER),
        ("errors", "gradient_error", 7e-16, 5e-15, SAME),
        ("errors", "gradient_error", 0.0, 5e-15, SAME),
        ("errors", "gradient_error", 0.0, 2e-12, WORSE),
        ("errors > 1e-15", "gradient_error", 0.0, 5e-15, WORSE),
        ("errors", "gradient_error", 1e-4, INF, WORSE),
        ("errors", "gradient_error", 1e-4, NAN, WORSE),
        ("errors", "gradient_error", NAN, NAN, SAME),
        ("errors", "gradient_error", NAN, INF, SAME),
        ("errors", "gradient_error", INF, 1.0, BETTER),
        ("errors > 1e300", "gradient_error", 1.0, INF, WORSE),
    ],
)
def test_a_change_is_judged_by_its_margin(rules: str, metric: str, base: float, new: float, verdict: Verdict) -> None:
    assert Policy.parse(rules).judge(metric, base, new, "float64") is verdict


def test_in_float32_rounding_reaches_further() -> None:
    policy = Policy.parse()
    assert policy.judge("reverse_error", 2e-7, 9e-7, "float32") is SAME
    assert policy.judge("reverse_error", 2e-7, 9e-7, "float64") is WORSE


def test_with_sides_exchanged_worse_is_better_where_the_margin_is_an_amount() -> None:
    chance = random.Random(6)
    mirrored = {WORSE: BETTER, BETTER: WORSE, SAME: SAME}
    seen = set()
    for metric in (*EXACT, *ERRORS):
        for _ in range(20):
            a, b, policy = chance.random(), chance.random(), Policy({metric: Margin(chance.random(), relative=False)})
            seen.add(policy.judge(metric, a, b, "float64"))
            assert policy.judge(metric, b, a, "float64") is mirrored[policy.judge(metric, a, b, "float64")]
    assert seen == {WORSE, BETTER, SAME}


def test_times_are_told_apart_from_what_repeats() -> None:
    policy = Policy.parse("exact, wall > 5%, overhead", noisy=Margin(0.1))
    assert policy.times() == {"wall_seconds": 0.05, "overhead": 0.1}
    assert str(policy.without_times()) == "exact"
    with pytest.raises(UsageError, match="write wall_seconds > 5%"):
        Policy.parse("wall > 0.001").times()
