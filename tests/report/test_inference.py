"""Tests, intervals, Holm's correction and power, against plain computations."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asap.report.display import difference_rows
from asap.report.inference import PERMUTATIONS, Difference, bracket, holm, images_noise, p_value, pair, rank_correlation, same_images_noise


def test_interval_p_and_text_of_three_pairs():
    found = Difference((1.0, 2.0, 3.0))
    assert bracket(found.interval()) == "[-0.48, +4.48]"  # t(0.975, 2) = 4.303
    assert found.p() == pytest.approx(2 * stats.t.sf(2 / (1 / math.sqrt(3)), 2))
    assert found.text() == "+2.00 points, 95 % interval [-0.48, +4.48]"


def test_unpaired_runs_are_compared_by_welch_s_test():
    others, base = (3.0, 5.0, 4.0, 4.5), (1.0, 2.0, 1.2)
    found = Difference(others, base)
    a, b = np.var(others, ddof=1) / 4, np.var(base, ddof=1) / 3
    df = (a + b) ** 2 / (a**2 / 3 + b**2 / 2)
    half = stats.t.ppf(0.975, df) * math.sqrt(a + b)
    assert found.n == 3 and found.mean == pytest.approx(4.125 - 1.4)
    assert found.interval() == pytest.approx((found.mean - half, found.mean + half))
    assert found.p() == pytest.approx(2 * stats.t.sf(found.mean / math.sqrt(a + b), df))


def test_one_run_is_no_test_and_has_no_power():
    found = pair(pd.Series({0: 18.0, 1: 17.0}), pd.Series({0: 17.0, 2: 16.0}), 10_000)
    assert found.others == (1.0,) and math.isnan(found.p()) and found.interval() is None and math.isnan(found.detectable())
    assert found.noise == pytest.approx(100 * math.sqrt((0.18 * 0.82 + 0.17 * 0.83) / 10_000))
    assert found.text() == "+1.00 points (one run, no test, ± 0.54 by the test images alone)"
    assert math.isnan(Difference(()).p()) and math.isnan(Difference((1.0,), (2.0, 3.0)).p())


@pytest.mark.parametrize("found", [Difference((0.0, 0.0)), Difference((1.0, 1.0)), Difference((2.0, 2.0), (1.0, 1.0))])
def test_values_without_deviation_have_no_p(found):
    assert math.isnan(found.p()) and found.interval() is None and math.isnan(found.detectable()) and "no deviation" in found.text()


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_detectable_is_what_simulated_tests_find_in_four_of_five(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    shift = Difference(tuple(values)).detectable()
    samples = rng.normal(shift, values.std(ddof=1), size=(20_000, n))
    assert (stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.015)


def test_in_a_family_more_is_needed():
    """Holm asks the first of ten tests for a tenth of the level."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=8)
    shift = Difference(tuple(values)).detectable(10)
    samples = rng.normal(shift, values.std(ddof=1), size=(20_000, 8))
    assert (stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.005).mean() == pytest.approx(0.8, abs=0.015)


def test_holm_is_the_step_down_of_the_definition():
    p = [0.01, float("nan"), 0.04, 0.03, 0.005]
    assert holm(p)[0] == pytest.approx(0.03) and math.isnan(holm(p)[1])
    assert [round(v, 6) for v in holm([0.01, 0.04, 0.03, 0.005])] == [0.03, 0.06, 0.06, 0.02]
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_networks_that_fail_on_the_same_images_differ_by_less_noise():
    """Of 10,000 images both get 1,500 wrong, each alone 300: the errors are 18 %, and their difference has √600 / 10,000."""
    wrong, base = np.zeros(10_000, bool), np.zeros(10_000, bool)
    wrong[:1800], base[300:2100] = True, True
    assert same_images_noise([wrong], [base]) == pytest.approx(100 * math.sqrt(600) / 10_000)
    assert same_images_noise([wrong, wrong], [base]) == same_images_noise([wrong], [base])
    assert same_images_noise([wrong, base], [base, wrong]) == 0  # the means agree on every image
    assert images_noise([18.0, 18.0], 10_000) == pytest.approx(100 * math.sqrt(2 * 0.18 * 0.82 / 10_000))


def test_a_rank_correlation_s_probability_is_exact_of_few_and_bounded_of_many():
    """Of the 24 orders of four, two are at ±1; of the 120 of five, ten are at ±0.9 or beyond."""
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx((1, 2 / 24))
    assert rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]) == pytest.approx((0.9, 10 / 120))
    rho, chance = rank_correlation(range(30), range(30, 0, -1))
    assert rho == pytest.approx(-1) and chance == pytest.approx(2 / (PERMUTATIONS + 1))


def test_a_p_value_is_never_said_to_be_0():
    assert [p_value(p) for p in (0.0314, 0.0, float("nan"))] == ["= 0.031", "< 0.0001", "–"]
    clear, close = Difference((9.0, 9.1, 9.05), (1.0, 1.1, 1.05)), Difference((1.0, 1.9, 1.1), (1.0, 1.5, 1.0))
    tests = {"a": clear, "b": close, "c": Difference((1.0,), (2.0,))}
    rows = difference_rows(tests, "cell")
    assert rows["p (Holm)"][0] not in ("0.00", "0") and rows["p (Holm)"][2] == "–"
    assert float(rows["could be shown"][1]) == round(tests["b"].detectable(2), 1) != round(tests["b"].detectable(), 1)
