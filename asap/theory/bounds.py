"""Theorem 2 by exact computation: its schedule, tighter ones with the same guarantee, and walks by dynamic programming.

Units: ηL = 1, so a gradient step moves α by at most 1 and time is counted in α steps from 1.

The theorem's schedule (Eqs. 5–8, 35): β_t = √(2/t · log(π²Nt²/3δ)), T_t = 2ρ_tβ_t, θ_t = ν_t e^{−t},
ρ_t = t/(t + log(1/(Nν_t))). With ν = 1/N, ρ is 1. Simulation is in theory/simulate.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import zeta

from ..errors import UserError
from ..paper.equations import beta

SCHEDULES = ("theorem2", "literal", "stitched", "mixture", "pairwise", "bernstein")


class TheoryError(UserError):
    """A setting outside what the theorem or the simulator speaks of."""


def rho(t: np.ndarray | float, operations: int, log_nu: np.ndarray | float) -> np.ndarray:
    """ρ_t of Eq. 8 for a given log ν_t."""
    t = np.asarray(t, dtype=np.float64)
    return t / (t - math.log(operations) - log_nu)


def check_nu(operations: int, log_nu: Callable[[int], float], horizon: int) -> None:
    """Raise `TheoryError` where Nν_t < e^t fails: ρ_t, and with it the temperature, is then negative or infinite.

    The theorem does not state this condition; without it (ν ≡ 1, N ≥ 3) the literal algorithm prunes every operation
    at t = 1.
    """
    for t in range(1, horizon + 1):
        if math.log(operations) + log_nu(t) >= t:
            raise TheoryError(f"N·ν_t < e^t fails at t = {t}: ρ_t would not be positive")


def stitched_radius(t: np.ndarray, alpha: float) -> np.ndarray:
    """Radius r_t with P(∃t ≥ 1: S_t − E S_t ≥ t r_t) ≤ alpha for increments in [−1, 1] (stitching, η = 2, s = 1.4)."""
    eta, s = 2.0, 1.4
    level = s * np.log(np.log(eta * t)) + math.log(zeta(s) / (alpha * math.log(eta) ** s))
    return (eta**0.25 + eta**-0.25) / math.sqrt(2) * np.sqrt(t * level) / t


def mixture_radius(t: np.ndarray, alpha: float, rho: float) -> np.ndarray:
    """Radius r_t with P(∃t ≥ 1: |S_t − E S_t| ≥ t r_t) ≤ alpha for increments in [−1, 1] (normal mixture, tightest near ρ)."""
    return np.sqrt((t + rho) * np.log((t + rho) / (rho * alpha * alpha))) / t


def one_sided_mixture_radius(t: np.ndarray, alpha: float, rho: float) -> np.ndarray:
    """Radius r_t with P(∃t ≥ 1: S_t − E S_t ≥ t r_t) ≤ alpha for increments in [−1, 1] (half-normal mixture)."""
    return np.sqrt(2 * (t + rho) * np.log((np.sqrt((t + rho) / rho) / alpha + 1) / 2)) / t


MIXTURE_RHO = 100.0  # α steps


def radius(schedule: str, t: np.ndarray, operations: int, delta: float) -> np.ndarray:
    """The radius b_t of a schedule: an operation goes where it trails the leader by more than about 2·t·b_t."""
    t = np.asarray(t, dtype=np.float64)
    if schedule in ("theorem2", "literal"):
        return beta(t, operations, delta)
    if schedule == "stitched":
        return stitched_radius(t, delta / (2 * operations))
    if schedule == "mixture":
        return mixture_radius(t, delta / operations, MIXTURE_RHO)
    if schedule == "pairwise":  # the best against each of N − 1 others, whose difference moves by at most 2 a step
        return one_sided_mixture_radius(t, delta / (operations - 1), MIXTURE_RHO)
    raise TheoryError(f"the schedule {schedule} has no radius that is a function of time alone")


def bernstein_bound(variance: np.ndarray, alpha: float) -> np.ndarray:
    """u(V) with P(∃t: S_t − E S_t ≥ u(V_t)) ≤ alpha, V_t = Σ(g_s − ĝ_{s−1})², increments in [−1, 1].

    The stitched sub-gamma boundary with scale 2 of the empirical Bernstein process (Howard et al. 2021, Theorem 4).
    """
    eta, s, scale = 2.0, 1.4, 2.0
    v = np.maximum(variance, 1.0)
    level = s * np.log(np.log(eta * v)) + math.log(zeta(s) / (alpha * math.log(eta) ** s))
    k1, k2 = (eta**0.25 + eta**-0.25) / math.sqrt(2), (math.sqrt(eta) + 1) / 2
    return np.sqrt(k1**2 * v * level + (k2 * scale * level) ** 2) + k2 * scale * level


# exact computation


def crossing(lower: np.ndarray, upper: np.ndarray, up: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """The exact probability that a walk of ±1 steps, P(+1) = `up`, has gone below −lower_t, or above upper_t, by each t.

    lower, upper: positive boundaries at t = 1, 2, …, (H,); a crossing ends the walk. Returns two arrays (H,), cumulative.
    """
    horizon = len(lower)
    reach = int(min(horizon, max(lower.max(), upper.max()) + 2)) + 1
    mass = np.zeros(2 * reach + 1)
    mass[reach] = 1.0
    down_total = up_total = 0.0
    below, above = np.zeros(horizon), np.zeros(horizon)
    left = right = reach  # the window of positions that hold mass
    for t in range(horizon):
        moved = np.zeros(right - left + 3)
        moved[2:] += up * mass[left : right + 1]
        moved[:-2] += (1 - up) * mass[left : right + 1]
        left, right = left - 1, right + 1
        cut_low = math.ceil(-lower[t]) + reach  # the first position that is not below −lower
        cut_high = math.floor(upper[t]) + reach
        if cut_low > left:
            down_total += float(moved[: cut_low - left].sum())
            moved, left = moved[cut_low - left :], cut_low
        if cut_high < right:
            up_total += float(moved[len(moved) - (right - cut_high) :].sum())
            moved, right = moved[: len(moved) - (right - cut_high)], cut_high
        mass[left : right + 1] = moved
        below[t], above[t] = down_total, up_total
    return below, above


def exact_escape(schedule: str, operations: int, delta: float, horizon: int, shrink: float = 1.0) -> float:
    """The exact probability that one Rademacher operation leaves its band, ∃t ≤ horizon: |α_t − ᾱ_t| > t·b_t (Theorem 3).

    The gradients are ±1 with mean 0. Allowed are δ/N.
    """
    t = np.arange(1, horizon + 1, dtype=np.float64)
    band = shrink * t * radius(schedule, t, operations, delta)
    below, above = crossing(band, band)
    return float(below[-1] + above[-1])


def exact_pair(schedule: str, delta: float, horizon: int, shrink: float = 1.0, gap: float = 0.0, rule: str = "phi") -> tuple[float, float]:
    """Two operations with opposite ±1 gradients: the exact probabilities that the best is pruned, and that the other is.

    Their difference is twice a walk with P(+1) = (1 + gap/2)/2. By the rule `phi`, Φ < θ, an operation goes where it
    trails by more than T·log(1/θ − 1); by the rule `claim`, the paper's condition (10), by more than 2·t·b_t.
    """
    t = np.arange(1, horizon + 1, dtype=np.float64)
    width = shrink * radius(schedule, t, 2, delta)
    needed = 2 * t * width if rule == "claim" else 2 * width * (t + math.log(2) + np.log1p(-np.exp(-t) / 2))
    below, above = crossing(needed / 2, needed / 2, up=(1 + gap / 2) / 2)
    return float(below[-1]), float(above[-1])


def predicted_stop(schedule: str, gap: float, operations: int, delta: float, deviation: float = 1.0) -> float:
    """The α step at which 2·b_t falls to the gap (in units of L): when the schedule lets the mean difference decide.

    deviation: the standard deviation of a gradient in units of L, which only `bernstein` makes use of.
    Infinite for a gap that is not positive.
    """
    if gap <= 0:
        return math.inf

    def wide(log_t: float) -> bool:
        t = np.array([math.exp(log_t)])
        if schedule == "bernstein":
            width = bernstein_bound(t * deviation**2, delta / (2 * operations)) / t
        else:
            width = radius(schedule, t, operations, delta)
        return 2 * float(width[0]) > gap

    low, high = 0.0, 1.0
    while wide(high):
        high *= 1.5
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if wide(middle) else (low, middle)
    return math.exp(high)
