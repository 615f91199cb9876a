"""What a few runs can tell: differences between two arms, their intervals, Holm's correction, the smallest difference that would have
been shown; and rank correlations. The tests are scipy's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, stats

LEVEL, POWER = 0.05, 0.8
PERMUTATIONS = 9999


@dataclass(frozen=True)
class Difference:
    """The mean of an arm minus that of a base, by unpaired runs (Welch's t test), in the unit of the values.

    Without a base, `others` are the differences themselves, one a pair (Student's t test). noise: the standard error that the test images
    alone leave to one difference of two errors, where the values are errors.
    """

    others: tuple[float, ...]
    base: tuple[float, ...] = ()
    noise: float = 0.0

    @property
    def n(self) -> int:
        """The runs of the smaller arm, or the pairs."""
        return min(len(self.others), len(self.base) or len(self.others))

    @property
    def mean(self) -> float:
        return float(np.mean(self.others) - (np.mean(self.base) if self.base else 0))

    def _tested(self) -> Any:
        """scipy's result."""
        if not self.base:
            return stats.ttest_1samp(self.others, 0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it doubts an arm of equal values, which errors of two digits can be
            return stats.ttest_ind(self.others, self.base, equal_var=False)

    @property
    def testable(self) -> bool:
        """Whether there is a test: two runs of each, and a deviation. Values without any have no p, not a p of 0."""
        return self.n >= 2 and bool(np.ptp(self.others) + np.ptp(self.base or (0.0,)) > 1e-9)

    def p(self) -> float:
        """The two-sided p value; nan where there is no test."""
        return float(self._tested().pvalue) if self.testable else float("nan")

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """The interval of the mean at confidence 1 − level; None where there is no test."""
        if not self.testable:
            return None
        found = self._tested().confidence_interval(1 - level)
        return float(found.low), float(found.high)

    def detectable(self, family: int = 1) -> float:
        """The smallest difference that so many runs of this deviation show with probability `POWER`, at the level that Holm's correction
        asks first of one in a family of so many tests. nan where there is no test."""
        if not self.testable:
            return float("nan")
        df = float(self._tested().df)
        low, high = self.interval() or (0.0, 0.0)
        error = (high - low) / 2 / float(stats.t.ppf(1 - LEVEL / 2, df))
        return detected_shift(float(stats.t.ppf(1 - LEVEL / family / 2, df)), df) * error

    def text(self) -> str:
        """`+0.53 points, 95 % interval [-0.10, +1.16]`; without a test, why there is none."""
        found = self.interval()
        if found:
            return f"{self.mean:+.2f} points, 95 % interval {bracket(found)}"
        why = "one run" if self.n < 2 else "no deviation"
        noise = f", ± {self.noise:.2f} by the test images alone" if self.noise else ""
        return f"{self.mean:+.2f} points ({why}, no test{noise})"


def detected_shift(critical: float, df: float) -> float:
    """The true difference, in its standard errors, whose |t| of so many degrees of freedom exceeds a critical value with `POWER`."""
    # scipy's noncentral t is nan in the tails of one degree of freedom: average the normal over the deviation's quantiles
    deviations = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, df) / df)

    def missed(shift: float) -> float:
        inside = stats.norm.cdf(critical * deviations - shift) - stats.norm.cdf(-critical * deviations - shift)
        return float(inside.mean()) - (1 - POWER)

    return float(optimize.brentq(missed, 0.0, 5 * critical + 5))


def simultaneous(differences: np.ndarray, covariance: np.ndarray, df: int, level: float) -> tuple[np.ndarray, float]:
    """Dunnett's two-sided test of k estimated differences (k,) of this covariance (k, k), as estimated with so many degrees of freedom.

    Returns the p values (k,), corrected for all k, and the critical |t| of the simultaneous intervals at this level. Unlike
    `scipy.stats.dunnett`, which it equals without a covariate, it knows that the slope of an adjustment is estimated too.
    """
    errors = np.sqrt(np.diag(covariance))
    t = stats.multivariate_t(shape=covariance / np.outer(errors, errors), df=df, allow_singular=True)

    def beyond(bound: float) -> float:
        upper = np.full(len(errors), bound)
        return 1 - float(t.cdf(upper, lower_limit=-upper, random_state=np.random.default_rng(0)))

    critical = optimize.brentq(lambda bound: beyond(bound) - level, 0.0, 100.0)
    return np.array([beyond(abs(ratio)) for ratio in differences / errors]), float(critical)


def pair(others: pd.Series, base: pd.Series, test_images: int = 0) -> Difference:
    """Other minus base for every seed that both have. others, base: errors in per cent by seed; test_images: how many each error counts."""
    both = pd.concat([others, base], axis=1, join="inner").dropna()
    return Difference(tuple(both.iloc[:, 0] - both.iloc[:, 1]), noise=images_noise(both.to_numpy().ravel(), test_images))


def images_noise(errors: ArrayLike, test_images: int) -> float:
    """The standard error of the difference of two errors (per cent) that so many test images leave, in points; 0 where they are unknown.

    It is as if each error were counted on images of its own, which is conservative: on the same images it is `same_images_noise`, which
    needs to be told which image each network got wrong.
    """
    rates = np.asarray(errors, float) / 100
    if not test_images or not rates.size:
        return 0.0
    return 100 * float(np.sqrt(2 * np.mean(rates * (1 - rates)) / test_images))


def same_images_noise(wrong: ArrayLike, base: ArrayLike) -> float:
    """The standard error of the difference of two mean errors on the same test images, in points; of one network each it is McNemar's.

    wrong, base: (networks, images) of booleans, whether a network got an image wrong.
    """
    difference = np.mean(np.asarray(wrong, float), 0) - np.mean(np.asarray(base, float), 0)  # (images,)
    return 100 * float(np.std(difference) / np.sqrt(len(difference)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values of a family; nan (not tested) stays nan and does not count."""
    tested = pd.Series(p, dtype=float).dropna().sort_values()
    return (tested * np.arange(len(tested), 0, -1)).cummax().clip(upper=1).reindex(range(len(p))).tolist()


def rank_correlation(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Spearman's ρ of two series, and the probability of one this far from 0 if every order of the second were equally likely: exact of
    up to seven, else estimated from `PERMUTATIONS`."""
    method = stats.PermutationMethod(n_resamples=PERMUTATIONS, rng=np.random.default_rng(0))
    found = stats.pearsonr(stats.rankdata(a), stats.rankdata(b), method=method)
    return float(found.statistic), float(found.pvalue)


def bracket(found: tuple[float, float] | None, digits: int = 2) -> str:
    """`[-0.10, +1.16]`, or a dash."""
    return "–" if found is None else f"[{found[0]:+.{digits}f}, {found[1]:+.{digits}f}]"


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash where it is none."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def p_value(p: float) -> str:
    """`= 0.031`, or `< 0.0001`, for no test gives a p of 0; a dash without a test."""
    return "–" if np.isnan(p) else f"= {p:.2g}" if p >= 1e-4 else "< 0.0001"
