"""Walks of ±1 steps by dynamic programming: the exact probability that a schedule's band is left, or its rule fires."""

from __future__ import annotations

import math

import numpy as np

from .bounds import TheoryError, radius


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

    The gradients are ±1 with mean 0. Allowed are δ/N. Raises `TheoryError` for a schedule without a radius of its own.
    """
    _has_radius(schedule)
    t = np.arange(1, horizon + 1, dtype=np.float64)
    band = shrink * t * radius(schedule, t, operations, delta)
    below, above = crossing(band, band)
    return float(below[-1] + above[-1])


def exact_pair(schedule: str, delta: float, horizon: int, shrink: float = 1.0, gap: float = 0.0, rule: str = "phi") -> tuple[float, float]:
    """Two operations with opposite ±1 gradients: the exact probabilities that the best is pruned, and that the other is.

    Their difference is twice a walk with P(+1) = (1 + gap/2)/2. By the rule `phi`, Φ < θ, an operation goes where it
    trails by more than T·log(1/θ − 1); by the rule `claim`, the paper's condition (10), by more than 2·t·b_t.
    Raises `TheoryError` for a schedule without a radius of its own.
    """
    _has_radius(schedule)
    t = np.arange(1, horizon + 1, dtype=np.float64)
    width = shrink * radius(schedule, t, 2, delta)
    needed = 2 * t * width if rule == "claim" else 2 * width * (t + math.log(2) + np.log1p(-np.exp(-t) / 2))
    below, above = crossing(needed / 2, needed / 2, up=(1 + gap / 2) / 2)
    return float(below[-1]), float(above[-1])


def _has_radius(schedule: str) -> None:
    if schedule == "literal":  # its ρ_1 < 0 prunes at once, whatever the radius of the mended schedule would certify
        raise TheoryError("the schedule literal prunes every operation at t = 1; there is no band to compute")
