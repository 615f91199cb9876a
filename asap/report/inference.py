"""What a few seeds can tell: paired differences, their intervals, Holm's correction, the smallest difference that would have been
shown; and rank correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

LEVEL, POWER = 0.05, 0.8
BOOTSTRAP_FROM = 10  # pairs from which an interval is bootstrapped; below, a t interval


@dataclass(frozen=True)
class Paired:
    """Differences between two arms in points, one for each seed that both have.

    noise: the standard error of one difference from the size of the test set, in points, as if the two errors were counted on separate
    images; images in common make it smaller, and what a seed changes comes on top.
    """

    differences: tuple[float, ...]
    noise: float = 0.0

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def mean(self) -> float:
        return float(np.mean(self.differences))

    @property
    def error(self) -> float:
        """The standard error of the mean, from the deviation of the differences; nan of fewer than two."""
        if self.n < 2:
            return float("nan")
        deviation = float(np.std(self.differences, ddof=1))
        return 0.0 if deviation < 1e-9 else deviation / self.n**0.5  # errors are in hundredths: less is rounding

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean: Student's t, or from `BOOTSTRAP_FROM` pairs the bootstrap's (BCa). None of fewer than two."""
        if self.n < 2:
            return None
        values = np.array(self.differences)
        if self.n >= BOOTSTRAP_FROM and self.error > 0:
            found = stats.bootstrap((values,), np.mean, confidence_level=1 - LEVEL, rng=np.random.default_rng(0)).confidence_interval
            return float(found.low), float(found.high)
        half = float(stats.t.ppf(1 - LEVEL / 2, self.n - 1)) * self.error
        return self.mean - half, self.mean + half

    def p(self) -> float:
        """The two-sided p value of the paired t test; nan of fewer than two pairs."""
        if self.n < 2:
            return float("nan")
        if self.error == 0:
            return 1.0 if abs(self.mean) < 1e-9 else 0.0
        return 2 * float(stats.t.sf(abs(self.mean) / self.error, self.n - 1))

    def detectable(self) -> float:
        """The smallest mean difference, in points, that so many pairs show with probability `POWER` at `LEVEL`.

        From their deviation by the power of the t test; of one pair, from `noise` by the normal. nan where neither is known.
        """
        if self.n < 2:
            return float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * self.noise if self.n and self.noise else float("nan")
        if self.error == 0:
            return 0.0
        critical = float(stats.t.ppf(1 - LEVEL / 2, self.n - 1))

        # scipy's noncentral t is nan in the tails of one degree of freedom: average the normal over the deviation's quantiles
        deviations = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, self.n - 1) / (self.n - 1))

        def power(shift: float) -> float:
            inside = stats.norm.cdf(critical * deviations - shift) - stats.norm.cdf(-critical * deviations - shift)
            return 1 - float(inside.mean())

        return float(optimize.brentq(lambda shift: power(shift) - POWER, 0.0, 5 * critical)) * self.error

    def text(self) -> str:
        """`+0.53 points, 95 % interval [-0.10, +1.16]`; of one pair, that it has none."""
        found = self.interval()
        tail = f"95 % interval {bracket(found)}" if found else "one pair, no interval"
        return f"{self.mean:+.2f} points, {tail}"


def pair(others: Mapping[int, float], base: Mapping[int, float], test_images: int = 0) -> Paired:
    """Other minus base for every seed that both have. others, base: errors in per cent by seed; test_images: how many each error counts."""
    seeds = sorted(set(others) & set(base))
    noise = 0.0
    if test_images and seeds:
        rates = [values[s] / 100 for s in seeds for values in (others, base)]
        noise = 100 * float(np.sqrt(2 * np.mean([r * (1 - r) for r in rates]) / test_images))
    return Paired(tuple(others[s] - base[s] for s in seeds), noise)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values of a family; nan (not tested) stays nan and does not count."""
    tested = sorted((value, i) for i, value in enumerate(p) if not np.isnan(value))
    adjusted, running = [float("nan")] * len(p), 0.0
    for rank, (value, i) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * value))
        adjusted[i] = running
    return adjusted


def rank_correlation(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Spearman's ρ of two series, and the probability of one this far from 0 if every order of the second were equally likely: twice
    the smaller tail's."""
    found = stats.permutation_test(
        (b,),
        lambda order: stats.spearmanr(a, order).statistic,
        permutation_type="pairings",
        n_resamples=1999,  # exact where there are fewer orders
        rng=np.random.default_rng(0),
    )
    return float(found.statistic), float(found.pvalue)


def bracket(found: tuple[float, float] | None, digits: int = 2) -> str:
    """`[-0.10, +1.16]`, or a dash."""
    return "–" if found is None else f"[{found[0]:+.{digits}f}, {found[1]:+.{digits}f}]"


def number(value: float, digits: int = 2) -> str:
    """A number, or a dash where it is none."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"
