"""Theorem C: a pruning rule by betting, and the limit that no rule with the same guarantee can beat.

The evidence X^{ji}_s ∈ [−1, 1] of step s is for operation j over operation i, scaled by what the past fixes. Every pair
bets the fractions λ_k: W^{ji}_t = Σ_k p_k ∏_{s≤t}(1 + λ_k X^{ji}_s). Operation i goes where the average of W^{ji} over
its N − 1 rivals j reaches 1/δ, but never the last one. The evidence of a pair is 0 from the step at which one of the two
is pruned. Whatever the past does to the gradients, P(∃t: i is pruned at t while Σ_s E[X^{ji}_s | past] ≤ 0 for all j) ≤ δ.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import logsumexp
from scipy.stats import binomtest, entropy

from ..paper.equations import CLIP, FRACTIONS


class Wealth:
    """log ∏(1 + λ_k X^{ji}) of every pair in R repetitions: `log`, (R, N, N, K), the rival j first, then i; −inf for j = i."""

    def __init__(self, repetitions: int, operations: int) -> None:
        self.log = np.zeros((repetitions, operations, operations, len(FRACTIONS)))
        self.log[:, range(operations), range(operations)] = -np.inf

    def bet(self, evidence: np.ndarray, alive: np.ndarray) -> None:
        """Add a step's evidence X^{ji}, (R, N, N); it counts where both operations are alive, (R, N)."""
        x = np.where(alive[:, :, None] & alive[:, None, :], evidence, 0.0)
        self.log += np.log(1 + FRACTIONS * x[..., None])  # a fraction of .002 and more: 1 + λX is exact to 1e-16

    def losers(self, alive: np.ndarray, delta: float) -> np.ndarray:
        """Which operations go, (R, N). Where all that are left would, the one with the least against it stays."""
        lost = np.zeros_like(alive)
        rows = np.flatnonzero((self.log.max((1, 3)) >= -math.log(delta)).any(1))  # an average is at most the largest
        if len(rows):
            average = logsumexp(self.log[rows], axis=(1, 3)) - math.log((alive.shape[1] - 1) * len(FRACTIONS))
            against = np.where(alive[rows], average, np.inf)
            lost[rows] = alive[rows] & (against >= -math.log(delta))
            empty = (lost[rows] == alive[rows]).all(1)
            lost[rows[empty], against[empty].argmin(1)] = False
        return lost


def growth(x: np.ndarray, weights: np.ndarray, fraction: np.ndarray | float) -> np.ndarray:
    """E log(1 + λX), what log-wealth gains a step, for a law of atoms `x` (A,) in [−1, 1] with `weights` (A,), at each λ < 1."""
    gains: np.ndarray = np.log1p(np.multiply.outer(fraction, x)) @ weights
    return gains


def information(x: np.ndarray, weights: np.ndarray) -> float:
    """KL_inf: the least Kullback–Leibler divergence from a law on [−1, 1] to one there whose mean is at most 0.

    It equals max over 0 ≤ λ ≤ 1 of E log(1 + λX) (Honda and Takemura 2010); 0 where the mean is not positive.
    """
    if float(x @ weights) <= 0:
        return 0.0
    found = minimize_scalar(lambda fraction: -float(growth(x, weights, fraction)), bounds=(0, 1 - 1e-12), method="bounded")
    return float(-found.fun)


def limit(x: np.ndarray, weights: np.ndarray, delta: float) -> float:
    """kl(δ, 1 − δ)/KL_inf: the fewest steps, on average, in which a rule that is right with probability 1 − δ tells the two apart.

    x, weights: the law of the evidence of the winner over the loser, half their difference. Infinite where its mean is not
    positive; 0 for δ of a half and more.
    """
    if delta >= 0.5:
        return 0.0
    gained = information(x, weights)
    return float(entropy([delta, 1 - delta], [1 - delta, delta])) / gained if gained > 0 else math.inf


def predicted_steps(x: np.ndarray, weights: np.ndarray, operations: int, delta: float) -> float:
    """The step at which one pair's expected log-wealth alone carries the average over N − 1 rivals to 1/δ; infinite where it never does."""
    gains = growth(x, weights, FRACTIONS)
    level = math.log((operations - 1) / delta)
    if gains.max() <= 0:
        return math.inf

    def short(steps: float) -> float:
        return float(logsumexp(steps * gains)) - math.log(len(gains)) - level

    return float(brentq(short, 0.0, (level + math.log(len(gains))) / float(gains.max()) + 1, xtol=1e-6))


CASES = ("tie", "antithetic tie", "adaptive means", "scale from the past")


def false_certificates(case: str, operations: int, delta: float, repetitions: int, horizon: int, seed: int = 11) -> dict[str, float]:
    """How often the rule prunes operation 0 although no rival was ever expected to be ahead of it, in up to `horizon` steps.

    `tie`: independent ±1. `antithetic tie`: operation 0 against the others' common sign. `adaptive means`: the rivals lead by −.1
    where the evidence against operation 0 is below −3, and by +.1 where it is above 3 and the sum of their leads allows it.
    `scale from the past`: symmetric Student noise of three degrees of freedom, three times as large after a large step, clipped
    at κσ̂ as in a search. Returns a row: failures, and `high`, the one-sided 95 % Clopper–Pearson bound of their probability.
    """
    rng = np.random.default_rng(seed)
    alive = np.ones((repetitions, operations), dtype=bool)
    wealth = Wealth(repetitions, operations)
    squares = np.zeros((repetitions, operations, operations))
    sums, seen, last, failures = np.zeros(repetitions), np.zeros(repetitions), np.zeros(alive.shape), 0
    for t in range(1, horizon + 1):
        if case == "scale from the past":
            drawn = rng.standard_t(3, alive.shape) * np.where(np.abs(last).max(1, keepdims=True) > 3, 3.0, 1.0)
            difference = drawn[:, :, None] - drawn[:, None, :]
            scale = CLIP * np.sqrt(squares / max(t - 1, 1))
            evidence = np.clip(np.divide(difference, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1)
            squares += difference**2
        else:
            means = np.zeros(alive.shape)
            if case == "adaptive means":
                lead = np.where(seen < -3, -0.1, np.where((seen > 3) & (sums + 0.1 <= 1e-9), 0.1, 0.0))
                means[:, 1:], sums = 2 * lead[:, None], sums + lead  # of X, which is half the difference
            drawn = np.where(rng.random(alive.shape) < (1 + means) / 2, 1.0, -1.0)
            if case == "antithetic tie":
                drawn = np.where(np.arange(operations) == 0, -1.0, 1.0) * drawn[:, :1]
            evidence = (drawn[:, :, None] - drawn[:, None, :]) / 2
        wealth.bet(evidence, alive)
        last, seen = drawn, seen + evidence[:, 1, 0]
        hit = wealth.losers(alive, delta)
        failures += int(hit[:, 0].sum())
        alive &= ~hit
        keep = alive[:, 0] & (alive.sum(1) > 1)
        if not keep.any():
            break
        if not keep.all():
            alive, last, sums, seen, squares, wealth.log = (value[keep] for value in (alive, last, sums, seen, squares, wealth.log))
    high = binomtest(failures, repetitions, alternative="less").proportion_ci(0.95).high
    return {"failures": failures, "high": float(high)}
