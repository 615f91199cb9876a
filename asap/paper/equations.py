"""The paper's equations for temperatures, thresholds, pruning and entropy: pure functions of numbers and arrays (3.2, 4.1, 4.4, 4.5).

Temperatures have the unit of an architecture weight α; time is counted in epochs from 1 (the paper's "per epoch",
4.1), so the first epoch of Eq. 9 runs at T0·β.
"""

from __future__ import annotations

import math

import numpy as np

EPOCH_SCHEDULES = ("exponential", "constant", "linear", "cosine", "logarithmic")  # of the temperature, epoch by epoch
DELTA = 0.1  # of Theorem 2's schedule in a search: the probability allowed of pruning the best
# Theorem C's bets: the fractions λ_k, each with the weight 1/24, and κ: in a search X = clip((r_j − r_i)/(κσ̂), ±1), σ̂ the root mean
# square of the pair's earlier differences
FRACTIONS, CLIP = np.geomspace(0.002, 0.98, 24), 6.0


def temperature(schedule: str, epoch: float, epochs: int, initial: float, decay: float) -> float:
    """The temperature T of an epoch, 1 ≤ epoch ≤ epochs.

    `exponential` is Eq. 9, T0·β^e. `constant` is T0 (DARTS: T0 = 1). `linear`, `cosine` and `logarithmic` fall from
    T0 at epoch 0 to the value that the exponential schedule ends at, so that all schedules share both ends.
    Theorem 2's is counted in α steps: see `theorem2_temperature`. Raises ValueError for an unknown schedule.
    """
    if schedule == "exponential":
        return initial * decay**epoch
    if schedule == "constant":
        return initial
    final, progress = initial * decay**epochs, epoch / epochs
    if schedule == "linear":
        return initial + (final - initial) * progress
    if schedule == "cosine":
        return final + (initial - final) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "logarithmic":  # T0 / (1 + c·ln(1 + e)), with c such that the last epoch ends at `final`
        c = (initial / final - 1) / math.log1p(epochs)
        return initial / (1 + c * math.log1p(epoch))
    raise ValueError(f"unknown temperature schedule {schedule!r}; known: {', '.join(EPOCH_SCHEDULES)}")


def beta(t: np.ndarray | float, operations: np.ndarray | int, delta: float) -> np.ndarray:
    """β_t of Eq. 35: √(2/t · log(π²Nt²/3δ))."""
    t = np.asarray(t, dtype=np.float64)
    return np.sqrt(2 / t * np.log(np.pi**2 * operations * t * t / (3 * delta)))


def rho(t: np.ndarray | float, operations: int, log_nu: np.ndarray | float) -> np.ndarray:
    """ρ_t of Eq. 8 for a given log ν_t."""
    t = np.asarray(t, dtype=np.float64)
    return t / (t - math.log(operations) - log_nu)


def theorem2_temperature(step: int, operations: int, rate: float) -> float:
    """T_t = 2β_t of Theorem 2 with δ = `DELTA` and ν = 1/N (so ρ = 1) at an α step t ≥ 1, for α that moves by at most `rate` a step.

    Theorem 2 has α move by at most 1 a step (ηL = 1); T scales with α. The threshold that belongs to it is e^{−t}/N.
    """
    return float(2 * rate * beta(step, operations, DELTA))


def pruned_share(epoch: float, start: float, end: float, power: float, final: float) -> float:
    """s_t of Eq. 13 with s_i = 0: the share of operations pruned by an epoch, 0 until `start` and `final` from `end` on."""
    if epoch <= start:
        return 0.0
    return final - final * (1 - min((epoch - start) / (end - start), 1.0)) ** power


def normalised_entropy(phi: np.ndarray, operations: int) -> np.ndarray:
    """The entropy of each mixed operation over ln N (4.5, Figure 7): 1 where uniform, exactly 0 for one operation.

    phi: probabilities (…, N), 0 for an operation that has been pruned. Returns an array (…).
    """
    p = np.asarray(phi, dtype=np.float64)
    terms = np.where(p == 0, 0.0, p * np.log(np.where(p > 0, p, 1.0)))  # what is no number stays none
    return np.maximum(-terms.sum(axis=-1), 0.0) / math.log(operations)
