"""Walks of ±1 steps by dynamic programming: the exact probability that a schedule's band is left, or its rule fires."""

from __future__ import annotations

import math

import numpy as np

from .bounds import TheoryError, radius

MOST_STEPS = 1_000_000


def crossing(band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact probability that a fair walk of ±1 steps has left its band below, or above, by each t: two arrays (H,), cumulative.

    band: positive, at t = 1, 2, …, (H,); a walk that goes below −band_t or above band_t ends. Raises `TheoryError` where H is over
    `MOST_STEPS`.
    """
    horizon = len(band)
    if horizon > MOST_STEPS:
        raise TheoryError(f"exact probabilities go up to a horizon of {MOST_STEPS:,}, about two minutes, not {horizon:,}")
    reach = int(min(horizon, band.max())) + 3
    mass = np.zeros(2 * reach + 1)  # of the positions −reach, …, reach
    mass[reach] = 1.0
    below, above = np.zeros(horizon), np.zeros(horizon)
    for t in range(horizon):
        moved = np.zeros_like(mass)
        moved[1:] = mass[:-1] / 2
        moved[:-1] += mass[1:] / 2
        mass, inside = moved, math.floor(band[t])
        under, over = mass[: max(reach - inside, 0)], mass[reach + inside + 1 :]
        below[t], above[t] = under.sum(), over.sum()
        under[:], over[:] = 0.0, 0.0
    return below.cumsum(), above.cumsum()


def exact_escape(schedule: str, operations: int, delta: float, horizon: int, shrink: float = 1.0) -> float:
    """The exact probability that one Rademacher operation leaves its band, ∃t ≤ horizon: |α_t − ᾱ_t| > t·b_t (Theorem 3).

    The gradients are ±1 with mean 0. Allowed are δ/N. Raises `TheoryError` for a schedule without a radius of its own.
    """
    t = np.arange(1, horizon + 1, dtype=np.float64)
    below, above = crossing(shrink * t * radius(schedule, t, operations, delta))
    return float(below[-1] + above[-1])


def exact_pair(schedule: str, delta: float, horizon: int, shrink: float = 1.0, rule: str = "phi") -> float:
    """Two operations with opposite fair ±1 gradients, a tie: the exact probability that the first is pruned.

    Their difference is twice a walk. By the rule `phi`, Φ < θ, an operation goes where it trails by more than T·log(1/θ − 1); by the
    rule `claim`, the paper's condition (10), by more than 2·t·b_t. Raises `TheoryError` for a schedule without a radius of its own.
    """
    t = np.arange(1, horizon + 1, dtype=np.float64)
    width = shrink * radius(schedule, t, 2, delta)
    needed = 2 * t * width if rule == "claim" else 2 * width * (t + math.log(2) + np.log1p(-np.exp(-t) / 2))
    return float(crossing(needed / 2)[0][-1])
