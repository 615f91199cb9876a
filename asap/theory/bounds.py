"""Theorem 2's schedule, tighter ones with the same guarantee, and how long they take.

Units: ηL = 1, so a gradient step moves α by at most 1 and time is counted in α steps from 1.

The theorem's schedule (Eqs. 5–8, 35): β_t = √(2/t · log(π²Nt²/3δ)), T_t = 2ρ_tβ_t, θ_t = ν_t e^{−t},
ρ_t = t/(t + log(1/(Nν_t))). With ν = 1/N, ρ is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import zeta

from ..errors import UserError
from ..paper.equations import beta

SCHEDULES = ("theorem2", "literal", "stitched", "mixture", "pairwise", "bernstein", "certified")
MIXTURE_RHO = 100.0  # α steps


class TheoryError(UserError):
    """A setting outside what the theorem or the simulator speaks of."""


def stitched_bound(variance: np.ndarray, alpha: float, scale: float = 0.0) -> np.ndarray:
    """u(V) with P(∃t ≥ 1: S_t − E S_t ≥ u(V_t)) ≤ alpha, V_t ≥ 1: stitching with η = 2, s = 1.4 (Howard et al. 2021, Theorem 1).

    Increments in [−1, 1] are sub-Gaussian, scale 0, with V_t = t; with a scale, the boundary is of a sub-gamma process.
    """
    eta, s = 2.0, 1.4
    level = s * np.log(np.log(eta * variance)) + math.log(zeta(s) / (alpha * math.log(eta) ** s))
    k1, linear = (eta**0.25 + eta**-0.25) / math.sqrt(2), (math.sqrt(eta) + 1) / 2 * scale * level
    return np.sqrt(k1**2 * variance * level + linear**2) + linear


def bernstein_bound(variance: np.ndarray, alpha: float) -> np.ndarray:
    """u(V) with P(∃t: S_t − E S_t ≥ u(V_t)) ≤ alpha, V_t = Σ(g_s − ĝ_{s−1})², increments in [−1, 1].

    The stitched sub-gamma boundary with scale 2 of the empirical Bernstein process (Howard et al. 2021, Theorem 4).
    """
    return stitched_bound(np.maximum(variance, 1.0), alpha, 2.0)


def radius(schedule: str, t: np.ndarray, operations: int, delta: float) -> np.ndarray:
    """The radius b_t of a schedule: an operation goes where it trails the leader by more than about 2·t·b_t.

    The mixtures over a normal law are tightest near t = ρ = 100. Raises `TheoryError` for a schedule that has no radius.
    """
    t = np.asarray(t, dtype=np.float64)
    if schedule == "theorem2":
        return beta(t, operations, delta)
    if schedule == "stitched":
        return stitched_bound(t, delta / (2 * operations)) / t
    mixed, per_operation, per_rival = t + MIXTURE_RHO, delta / operations, delta / (operations - 1)
    if schedule == "mixture":
        return np.sqrt(mixed * np.log(mixed / (MIXTURE_RHO * per_operation * per_operation))) / t
    if schedule == "pairwise":  # half-normal: the best against each rival, half the difference moves by at most 1 a step
        return np.sqrt(2 * mixed * np.log((np.sqrt(mixed / MIXTURE_RHO) / per_rival + 1) / 2)) / t
    raise TheoryError(f"the schedule {schedule} has no radius that is a function of time alone")


def _time_of(width: Callable[[float], float], level: float) -> float:
    """The time t ≥ 1 at which a width that falls with t comes down to a level: 1 where it begins below, infinite where level ≤ 0."""
    if level <= 0:
        return math.inf
    end = 1.0
    while width(math.exp(end)) > level:
        end *= 1.5
    return math.exp(brentq(lambda log_t: width(math.exp(log_t)) - level, 0.0, end)) if width(1.0) > level else 1.0


def predicted_stop(schedule: str, gap: float, operations: int, delta: float, deviation: float = 1.0) -> float:
    """The α step at which 2·b_t falls to the gap (in units of L): when the schedule lets the mean difference decide.

    deviation: the standard deviation of a gradient in units of L, which only `bernstein` makes use of.
    Infinite for a gap that is not positive.
    """

    def width(t: float) -> float:
        if schedule == "bernstein":
            return 2 * float(bernstein_bound(np.asarray(t * deviation**2), delta / (2 * operations))) / t
        return 2 * float(radius(schedule, np.asarray(t), operations, delta))

    return _time_of(width, gap)


def expected_stop(gap: float, operations: int, delta: float) -> float:
    """Theorem 2′'s bound on the expected steps until one operation is left, where the best leads every other by `gap`·t at each t.

    min over η of t_η + 8(1 + log(N − 1))/(η²Δ²) + 1; t_η is the first step from which 2β_t(1 + log(N)/t) ≤ (1 − η)Δ for good.
    Infinite for a gap that is not positive.
    """
    if gap <= 0:
        return math.inf

    def width(t: float) -> float:
        return 2 * float(beta(t, operations, delta)) * (1 + math.log(operations) / t)

    return min(
        math.ceil(_time_of(width, (1 - eta) * gap)) + 8 * (1 + math.log(operations - 1)) / (eta * gap) ** 2 + 1
        for eta in np.linspace(0.02, 0.98, 97)
    )
