"""What is told of times that cannot be told: an estimate, its interval, and a reason that agrees with both."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from odebench.compare.duel import Bout, Match
from odebench.compare.evidence import Test, stage_level
from odebench.compare.live import _finding
from odebench.compare.undecided import what_would_tell
from odebench.compare.verdicts import Verdict
from odebench.report.findings import sentence
from tests.stored_sides import cell

MARGIN = 0.03
AS_LARGE = "as large as the margin"


def closed(samples: list[float]) -> Test:
    test = Test(MARGIN, stage_level(24))
    for each in samples:
        if test.verdict is None:
            test.add(each)
    test.close()
    return test


def undecided() -> Iterator[tuple[float, Test]]:
    """Of many sizes, noises and numbers of pairs those that have no verdict."""
    chance = random.Random(3)
    for _ in range(60):
        for effect in (-0.1, 0.0, 0.03, 0.06, 0.15):
            noise, pairs = chance.choice((0.01, 0.03, 0.1, 0.4)), chance.choice((1, 2, 4, 8, 20))
            test = closed([effect + noise * chance.choice((-3, -1, -0.3, 0.3, 1, 3)) for _ in range(pairs)])
            if test.verdict is Verdict.UNCLEAR:
                yield effect, test


def test_an_undecided_time_always_has_an_estimate_and_says_what_would_tell() -> None:
    told = [(test, what_would_tell(test)) for _, test in undecided()]
    assert len(told) > 100
    for test, note in told:
        assert test.estimate is not None
        assert test.estimate > 0
        assert note.endswith(("would tell", "a quieter machine"))
        assert (test.interval is None) is ("rounds that an interval takes" in note)
        if test.interval is not None:
            assert test.interval.low <= test.estimate <= test.interval.high


def test_no_change_is_said_to_be_as_large_as_the_margin_beside_an_estimate_that_is_not() -> None:
    reasons = [(test, what_would_tell(test)) for _, test in undecided()]
    near = [test for test, note in reasons if AS_LARGE in note]
    assert near
    assert all(test.estimate and 0.5 * MARGIN <= test.estimate - 1 <= 1.5 * MARGIN for test in near)
    assert all(test.interval and test.interval.high - test.interval.low <= 3 * MARGIN for test in near)
    beyond = [note for test, note in reasons if test.more_pairs() is None and (test.estimate or 0) > 1 + 5 * MARGIN]
    assert beyond  # of these the same was said as of the others
    assert all("the estimate is beyond the margin" in note and "quieter machine" in note for note in beyond)


def test_a_change_of_the_size_of_the_margin_and_hardly_any_noise_wants_another_margin() -> None:
    chance = random.Random(5)
    test = closed([0.0296 + chance.gauss(0, 0.004) for _ in range(40)])
    assert test.verdict is Verdict.UNCLEAR
    assert what_would_tell(test) == "the change is about as large as the margin; another margin would tell"


@pytest.mark.parametrize("pairs", [1, 3])
def test_the_row_of_a_comparison_out_of_budget_has_an_estimate_after_the_first_round(pairs: int) -> None:
    bout = Bout(Match(cell(), cell()), "wall_seconds", Test(MARGIN, stage_level(24)))
    for _ in range(pairs):
        bout.add({"base": 0.010, "again": 0.010, "new": 0.0115})
    bout.test.close()
    found = _finding(bout, spoiled=False)
    assert found.ratio == pytest.approx(1.15)
    assert f"+15.0 %, margin 3 %; {pairs} of the 6 rounds that an interval takes; about" in sentence(found)


def test_the_second_stage_tells_its_own_estimate_once_it_has_an_interval() -> None:
    test = Test(MARGIN, 0.05)
    while test.stage == 1:
        test.add(0.2)
    test.add(0.05)
    assert test.estimate == pytest.approx(2.718281828**0.2)
    assert test.interval is not None
    assert test.interval.low <= test.estimate <= test.interval.high
