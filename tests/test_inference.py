"""Intervals, Holm's correction and power, against plain computations."""

import math

import numpy as np
import pytest
from scipy import stats

from asap.report.inference import Paired, bracket, holm, pair, rank_correlation


def test_interval_p_and_text_of_three_pairs():
    found = Paired((1.0, 2.0, 3.0))
    assert bracket(found.interval()) == "[-0.48, +4.48]"  # t(0.975, 2) = 4.303
    assert found.p() == pytest.approx(stats.ttest_1samp([1.0, 2.0, 3.0], 0.0).pvalue)
    assert found.text() == "+2.00 points, 95 % interval [-0.48, +4.48]"


def test_one_pair_tells_nothing_but_what_it_could_have_told():
    found = pair({0: 18.0, 1: 17.0}, {0: 17.0, 2: 16.0}, 10_000)
    assert found.differences == (1.0,) and math.isnan(found.p()) and found.interval() is None
    assert found.noise == pytest.approx(100 * math.sqrt((0.18 * 0.82 + 0.17 * 0.83) / 10_000))
    assert found.detectable() == pytest.approx(2.8016 * found.noise, rel=1e-4)
    assert math.isnan(Paired((1.0,)).detectable()) and math.isnan(Paired(()).p())


def test_pairs_without_deviation():
    assert Paired((0.0, 0.0)).p() == 1.0 and Paired((1.0, 1.0)).p() == 0.0 and Paired((1.0, 1.0)).detectable() == 0.0


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_detectable_is_what_simulated_tests_find_in_four_of_five(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    found = Paired(tuple(values))
    shift = found.detectable()
    samples = rng.normal(shift, values.std(ddof=1), size=(20_000, n))
    assert (stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.015)


def test_holm_is_the_step_down_of_the_definition():
    p = [0.01, float("nan"), 0.04, 0.03, 0.005]
    assert holm(p)[0] == pytest.approx(0.03) and math.isnan(holm(p)[1])
    assert [round(v, 6) for v in holm([0.01, 0.04, 0.03, 0.005])] == [0.03, 0.06, 0.06, 0.02]
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_many_pairs_are_bootstrapped():
    values = tuple(np.random.default_rng(0).exponential(size=30))
    low, high = Paired(values).interval()
    half = stats.t.ppf(0.975, 29) * np.std(values, ddof=1) / math.sqrt(30)
    mean = np.mean(values)
    assert low != pytest.approx(mean - half, abs=1e-6) and low == pytest.approx(mean - half, abs=0.15)
    assert high == pytest.approx(mean + half, abs=0.25)


def test_a_rank_correlation_s_probability_is_exact_of_few():
    """Of the 24 orders of four, two are at ±1; of the 120 of five, ten are at ±0.9 or beyond."""
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx((1, 2 / 24))
    assert rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]) == pytest.approx((0.9, 10 / 120))
    rho, chance = rank_correlation(range(30), range(30, 0, -1))
    assert rho == pytest.approx(-1) and chance == pytest.approx(2 / 2000)
