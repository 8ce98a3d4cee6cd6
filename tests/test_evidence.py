"""The gate's rule on times, on simulated and on recorded pairs. Seeds are fixed; bounds are what the rule promises."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, inf, log1p, nan, sqrt
from pathlib import Path
from statistics import median

import pytest

from odebench.compare.evidence import Test, detectable, disturbed, floor_of, stage_level
from odebench.compare.interval import LEVEL, SHARES, Wealth, fewest, growth, hodges_lehmann, interval
from odebench.compare.verdicts import ORDER, Verdict

MARGIN, ROUNDS, PAIR = 0.03, 40, 0.018
RECORDED = json.loads((Path(__file__).parent / "data" / "recorded_pairs.json").read_text())
Noise = Callable[[random.Random], float]


def normal(chance: random.Random) -> float:
    return chance.gauss(0, PAIR)


def with_outliers(chance: random.Random) -> float:
    wild = chance.choice((-1, 1)) * chance.uniform(0.1, 0.5) if chance.random() < 0.05 else 0.0
    return chance.gauss(0, PAIR) + wild


def ticking(chance: random.Random) -> float:
    return round(chance.gauss(0, PAIR), 2)


def heavy(chance: random.Random) -> float:
    return 0.88 * PAIR * chance.gauss(0, 1) / sqrt(chance.gammavariate(1.5, 2) / 3)


def lopsided(chance: random.Random) -> float:
    """Three processes, each of which may be slow; the base stands for two."""
    base, again, new = (chance.gauss(0, 0.0145) + (chance.random() < 0.05) * chance.uniform(0.1, 0.5) for _ in range(3))
    return new - (base + again) / 2


def judged(samples: Sequence[float], tests: int = 24) -> Test:
    """Closed at the last sample, if not decided before."""
    test = Test(MARGIN, stage_level(tests))
    for each in samples:
        if test.verdict is None:
            test.add(each)
    test.close()
    return test


def verdicts(noise: Noise, effect: float, trials: int, tests: int = 24) -> Counter[Verdict | None]:
    chance = random.Random(20)
    return Counter(judged([log1p(effect) + noise(chance) for _ in range(ROUNDS)], tests).verdict for _ in range(trials))


# --- errors it promises to make seldom ---


@pytest.mark.parametrize("noise", [normal, with_outliers, ticking, heavy, lopsided])
def test_the_same_code_raises_no_alarm_and_is_told_same(noise: Noise) -> None:
    found = verdicts(noise, 0.0, 300)
    assert found[Verdict.WORSE] == found[Verdict.BETTER] == 0
    assert found[Verdict.SAME] >= 297


@pytest.mark.parametrize("noise", [normal, with_outliers, ticking, heavy, lopsided])
@pytest.mark.parametrize("tests", [1, 24])
def test_a_change_of_just_the_margin_is_worse_no_oftener_than_its_share_of_five_percent(
    noise: Noise, tests: int
) -> None:
    found = verdicts(noise, MARGIN, 400, tests)
    share = stage_level(tests) ** 2 * 400
    assert found[Verdict.WORSE] <= share + 3 * sqrt(share)
    assert found[Verdict.SAME] <= 2 * LEVEL * 400


@pytest.mark.parametrize(
    ("noise", "effect", "least"),
    [(normal, 0.05, 0.95), (normal, 0.10, 0.99), (with_outliers, 0.05, 0.8), (with_outliers, 0.10, 0.99),
     (heavy, 0.10, 0.99), (lopsided, 0.10, 0.97), (ticking, 0.05, 0.95)],
)  # fmt: skip
def test_a_real_slowdown_is_found_within_forty_rounds(noise: Noise, effect: float, least: float) -> None:
    assert verdicts(noise, effect, 300)[Verdict.WORSE] >= least * 300


def test_the_same_code_is_told_in_a_few_rounds() -> None:
    chance = random.Random(3)
    rounds = sorted(judged([normal(chance) for _ in range(ROUNDS)]).pairs for _ in range(300))
    assert sum(rounds) / 300 < 8
    assert rounds[int(0.95 * 300)] <= 11


def test_a_speedup_is_told_better_and_never_worse() -> None:
    found = verdicts(normal, -0.1, 200)
    assert found[Verdict.BETTER] == 200


def test_drift_between_rounds_is_none_of_its_business_and_drift_within_them_raises_no_alarm() -> None:
    chance, tally = random.Random(5), Counter[Verdict | None]()
    for _ in range(300):
        tilt, samples = chance.gauss(0, 0.01), []
        for _ in range(ROUNDS):
            samples.append(tilt + normal(chance))
            tilt = 0.5 * tilt + chance.gauss(0, 0.01 * sqrt(0.75))
        tally[judged(samples).verdict] += 1
    assert tally[Verdict.WORSE] == tally[Verdict.BETTER] == 0


def test_a_level_holds_at_all_numbers_of_pairs_together() -> None:
    chance, ever = random.Random(8), 0
    for _ in range(1000):
        wealth = Wealth(0.0)
        ever += any(wealth.add(with_outliers(chance)) or wealth.reaches(0.05) for _ in range(60))
    assert ever <= 0.05 * 1000


def test_wealth_starts_with_one_and_a_bet_is_fair() -> None:
    assert sum(SHARES) == pytest.approx(1)
    assert Wealth(0.02).log == pytest.approx(0)
    for distance in (1e-4, 0.01, 0.3):
        after = []
        for sample in (0.02 + distance, 0.02 - distance):
            wealth = Wealth(0.02)
            wealth.add(sample)
            after.append(exp(wealth.log))
        assert sum(after) / 2 == pytest.approx(1)


# --- levels ---


@pytest.mark.parametrize("tests", [1, 8, 24, 200, 5000])
def test_two_stages_of_all_tests_spend_five_percent_together_at_most(tests: int) -> None:
    assert tests * stage_level(tests) ** 2 <= 0.05 + 1e-12
    assert stage_level(tests) <= LEVEL


def test_many_tests_spend_the_whole_of_it() -> None:
    assert 200 * stage_level(200) ** 2 == pytest.approx(0.05)


@pytest.mark.parametrize(("tests", "alpha"), [(0, 0.05), (5, 0.0), (5, 1.0), (5, nan)])
def test_no_tests_and_no_level_are_refused(tests: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="expected at least one test"):
        stage_level(tests, alpha)


# --- two stages ---


def test_what_clears_the_margin_once_is_measured_again_with_fresh_samples() -> None:
    test = Test(MARGIN, 0.05)
    while test.stage == 1:
        test.add(0.3)
    assert test.verdict is None
    assert test.pairs == 0
    while test.verdict is None:
        test.add(0.1)
    assert test.verdict is Verdict.WORSE
    assert test.interval is not None
    assert test.interval.centre == pytest.approx(0.1), "the figures are those of the second stage"
    assert test.interval.lower >= log1p(MARGIN)


def test_an_alarm_that_does_not_come_back_is_none() -> None:
    test = Test(MARGIN, 0.05)
    while test.stage == 1:
        test.add(0.3)
    while test.verdict is None:
        test.add(0.0)
    assert test.verdict is Verdict.SAME


def test_until_the_second_stage_has_pairs_the_first_is_told() -> None:
    test = Test(MARGIN, 0.05)
    while test.stage == 1:
        test.add(0.3)
    test.add(0.1)
    assert test.interval is not None
    assert test.interval.centre == pytest.approx(0.3)
    assert test.close() is Verdict.UNCLEAR


def test_the_interval_agrees_with_the_verdict() -> None:
    chance, limit = random.Random(9), log1p(MARGIN)
    for effect in (-0.1, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.1):
        for _ in range(15):
            test = judged([log1p(effect) + with_outliers(chance) for _ in range(30)])
            found = test.interval
            assert found is not None
            assert found.lower <= found.centre <= found.upper
            assert (test.verdict is Verdict.WORSE) <= (found.lower >= limit)
            assert (test.verdict in (Verdict.SAME, Verdict.BETTER)) == (found.upper <= limit)
            assert (test.verdict is Verdict.BETTER) <= (found.upper <= -limit)


def test_what_is_not_worse_stays_so_when_the_budget_ends_while_better_is_asked() -> None:
    test = Test(MARGIN, 0.05)
    while test.interval is None or test.interval.upper > log1p(MARGIN):
        test.add(-0.04)
    assert test.verdict is None
    assert test.close() is Verdict.SAME


def test_whether_it_is_better_is_not_asked_for_ever() -> None:
    chance = random.Random(1)
    for _ in range(50):
        test = judged([log1p(-0.035) + normal(chance) for _ in range(200)])
        assert test.pairs <= 20


# --- few, equal, odd samples ---


def test_no_sample_and_one_sample_tell_nothing() -> None:
    for samples in ([], [0.5], [-0.5], [0.0]):
        test = judged(samples)
        assert test.verdict is Verdict.UNCLEAR
        assert test.interval is None
        assert detectable(samples, MARGIN, 0.05) is None
        assert floor_of(samples, test) is None
        assert not disturbed(samples, test)


def test_equal_samples_are_told_by_the_fewest_pairs_that_can() -> None:
    assert judged([0.0] * 40).verdict is Verdict.SAME
    slow = judged([0.2] * 40)
    assert slow.verdict is Verdict.WORSE
    assert slow.pairs == fewest(slow.level) == 6
    assert judged([-0.2] * 40).verdict is Verdict.BETTER


def test_samples_at_the_margin_itself_tell_nothing() -> None:
    test = judged([log1p(MARGIN)] * 60)
    assert test.verdict is Verdict.UNCLEAR
    assert test.more_pairs() is None


def test_five_wild_pairs_of_forty_move_no_verdict() -> None:
    chance = random.Random(2)
    samples = [normal(chance) for _ in range(40)]
    for index in range(0, 40, 8):
        samples[index] = 3.0
    assert judged(samples).verdict is Verdict.SAME
    assert abs(hodges_lehmann(samples)) < 0.01


@pytest.mark.parametrize("wrong", [nan, inf, -inf])
def test_what_is_not_finite_is_refused_and_leaves_no_trace(wrong: float) -> None:
    test = Test(MARGIN, 0.05)
    with pytest.raises(ValueError, match="finite"):
        test.add(wrong)
    assert test.pairs == 0
    with pytest.raises(ValueError, match="finite"):
        interval([0.1, wrong, 0.2], 0.05)


def test_after_the_verdict_no_sample_is_taken() -> None:
    with pytest.raises(ValueError, match="same already"):
        judged([0.0] * 20).add(0.0)


@pytest.mark.parametrize("margin", [-0.01, nan, inf])
def test_a_margin_is_a_finite_fraction(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Test(margin, 0.05)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, nan])
def test_a_level_is_below_one_half(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        Test(MARGIN, level)
    with pytest.raises(ValueError, match="level"):
        interval([0.0] * 10, level)


def test_without_a_margin_any_slowdown_that_shows_is_worse() -> None:
    test = Test(0.0, 0.05)
    while test.verdict is None:
        test.add(0.01)
    assert test.verdict is Verdict.WORSE


# --- consistency ---


def test_the_same_pairs_give_the_same_figures() -> None:
    chance = random.Random(4)
    samples = [0.04 + normal(chance) for _ in range(25)]
    one, two = judged(samples), judged(samples)
    assert (one.verdict, one.interval, one.more_pairs()) == (two.verdict, two.interval, two.more_pairs())
    assert floor_of(samples, one) == floor_of(samples, two)


def test_the_order_of_pairs_does_not_move_the_interval() -> None:
    chance = random.Random(4)
    samples = [with_outliers(chance) for _ in range(25)]
    one, two = interval(samples, 0.02), interval(samples[::-1], 0.02)
    assert one is not None
    assert two is not None
    assert (one.lower, one.centre, one.upper) == pytest.approx((two.lower, two.centre, two.upper), abs=1e-9)


def test_an_interval_moves_with_its_samples_and_turns_with_them() -> None:
    chance = random.Random(6)
    samples = [with_outliers(chance) for _ in range(15)]
    found = interval(samples, 0.04, 0.04)
    moved = interval([each + 0.5 for each in samples], 0.04, 0.04)
    turned = interval([-each for each in samples], 0.04, 0.04)
    assert found is not None
    assert moved is not None
    assert turned is not None
    assert (moved.lower, moved.upper) == pytest.approx((found.lower + 0.5, found.upper + 0.5), abs=1e-9)
    assert (-turned.upper, -turned.lower) == pytest.approx((found.lower, found.upper), abs=1e-9)
    assert found.low == pytest.approx(exp(found.lower))


def test_a_slower_new_side_never_gets_a_better_verdict() -> None:
    chance = random.Random(7)
    worst_first = [Verdict.WORSE, Verdict.UNCLEAR, Verdict.SAME, Verdict.BETTER]
    assert set(worst_first) < set(ORDER)
    for _ in range(40):
        # A second stage begins where the first cleared, so this is a matter of one stage: which end it comes to.
        samples = [with_outliers(chance) for _ in range(ROUNDS)]
        ranks = []
        for shift in (-0.2, -0.08, -0.03, 0.0, 0.02, 0.05, 0.08, 0.2):
            found = interval([each + shift for each in samples], 0.04)
            assert found is not None
            limit = log1p(MARGIN)
            ranks.append((found.lower > limit, found.upper >= limit, found.upper >= -limit))
        assert all(a <= b for one, two in pairwise(ranks) for a, b in zip(one, two, strict=True))


def test_equal_and_all_slower_samples_end_worse_in_order() -> None:
    chance = random.Random(11)
    noise = [normal(chance) for _ in range(ROUNDS)]
    order = [Verdict.BETTER, Verdict.SAME, Verdict.UNCLEAR, Verdict.WORSE]
    found = [order.index(judged([each + shift for each in noise]).verdict) for shift in (-0.15, 0.0, 0.0296, 0.07, 0.2)]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] == 3


def test_a_better_level_needs_a_wider_interval() -> None:
    chance = random.Random(12)
    samples = [normal(chance) for _ in range(20)]
    wide, narrow = interval(samples, 0.005), interval(samples, 0.05)
    assert wide is not None
    assert narrow is not None
    assert wide.lower < narrow.lower
    assert wide.upper == narrow.upper


# --- forecasts and the noise floor ---


def test_a_forecast_of_more_pairs_comes_true_on_the_whole() -> None:
    chance, ratios = random.Random(13), []
    for _ in range(60):
        samples = [log1p(0.05) + chance.gauss(0, 0.03) for _ in range(300)]
        test = judged(samples[:12])
        more = test.more_pairs()
        if test.verdict is not Verdict.UNCLEAR or more is None:
            continue
        whole, used = Test(MARGIN, stage_level(24)), 0
        while whole.verdict is None and used < 300:
            whole.add(samples[used])
            used += 1
        ratios.append((used - 12) / more)
    assert len(ratios) > 30
    assert 0.3 < median(ratios) < 3


def test_before_there_are_two_pairs_the_fewest_are_forecast() -> None:
    test = Test(MARGIN, 0.05)
    assert test.more_pairs() == 2 * fewest(0.05)
    test.add(0.0)
    assert test.more_pairs() == 2 * fewest(0.05) - 1


def test_growth_is_what_pairs_add_to_the_wealth() -> None:
    samples = [0.5] * 8
    wealth = Wealth(0.0)
    for each in samples:
        wealth.add(each)
    assert 8 * growth(samples, 0.0, 1) == pytest.approx(wealth.log, rel=1e-3)


def test_a_slowdown_called_detectable_is_detected_nine_times_in_ten() -> None:
    chance, found, trials = random.Random(14), 0, 150
    level = stage_level(24)
    effect = detectable([normal(chance) for _ in range(20)], MARGIN, level)
    assert effect is not None
    assert 0.035 < effect < 0.07
    for _ in range(trials):
        test = Test(MARGIN, level)
        while test.verdict is None and test.pairs < 20:
            test.add(log1p(effect) + normal(chance))
        found += test.verdict is Verdict.WORSE
    assert found >= 0.85 * trials


def test_more_pairs_and_less_noise_detect_smaller_slowdowns() -> None:
    chance = random.Random(15)
    noise = [chance.gauss(0, 1) for _ in range(40)]

    def floor(n: int, scale: float) -> float:
        effect = detectable([scale * each for each in noise[:n]], MARGIN, 0.04)
        assert effect is not None
        return effect

    assert floor(40, 0.02) < floor(20, 0.02) < floor(8, 0.02)
    assert MARGIN < floor(20, 0.005) < floor(20, 0.02) < floor(20, 0.1)


def test_the_floor_tells_the_base_against_itself() -> None:
    chance = random.Random(16)
    control = [chance.gauss(0, 0.02) for _ in range(30)]
    test = judged([normal(chance) for _ in range(30)])
    floor = floor_of(control, test)
    assert floor is not None
    assert floor.low < 1 < floor.high
    assert floor.low < floor.ratio < floor.high
    assert 0.012 < floor.spread < 0.028
    assert floor.detectable > MARGIN


def test_a_control_of_another_length_than_the_samples_will_do() -> None:
    chance = random.Random(17)
    test = judged([normal(chance) for _ in range(30)])
    assert floor_of([chance.gauss(0, 0.02) for _ in range(5)], test) is not None
    assert not disturbed([chance.gauss(0, 0.02) for _ in range(90)], test)


@pytest.mark.parametrize("side", [1, -1])
def test_a_base_that_differs_from_itself_beyond_the_margin_is_disturbed(side: int) -> None:
    chance, test = random.Random(18), Test(MARGIN, 0.05)
    assert disturbed([side * 0.1 + chance.gauss(0, 0.02) for _ in range(12)], test)
    assert not disturbed([side * 0.02 + chance.gauss(0, 0.02) for _ in range(12)], test)


def test_the_same_code_is_hardly_ever_called_disturbed() -> None:
    chance, test = random.Random(19), Test(MARGIN, stage_level(24))
    assert not any(disturbed([1.15 * with_outliers(chance) for _ in range(12)], test) for _ in range(150))


# --- recorded pairs ---


def test_recorded_pairs_of_the_same_code_are_not_told_apart() -> None:
    chance = random.Random(21)
    for cell in RECORDED["cells"]:
        controls = Counter(
            judged(chance.choices(cell["log_ratios_of_base_again"], k=ROUNDS)).verdict for _ in range(200)
        )
        assert controls[Verdict.WORSE] == 0
        assert not disturbed(cell["log_ratios_of_base_again"], Test(MARGIN, stage_level(24)))
    (same,) = (cell["log_ratios"] for cell in RECORDED["cells"] if cell["slower_percent"] == 0)
    found = Counter(judged(chance.choices(same, k=ROUNDS)).verdict for _ in range(300))
    assert found[Verdict.WORSE] == 0
    assert found[Verdict.SAME] >= 0.9 * 300


def test_recorded_pairs_with_a_planted_slowdown_are_told_worse_and_by_how_much() -> None:
    chance = random.Random(22)
    for cell in RECORDED["cells"]:
        slower = cell["slower_percent"] / 100
        found = interval(cell["log_ratios"], 0.05)
        assert found is not None
        assert found.low <= 1 + slower <= found.high
        if slower == 0.1:
            tally = Counter(judged(chance.choices(cell["log_ratios"], k=ROUNDS)).verdict for _ in range(300))
            assert tally[Verdict.WORSE] >= 0.95 * 300
