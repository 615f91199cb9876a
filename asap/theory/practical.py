"""Algorithm 1 on one mixed operation, simulated with the search's own schedules at its own budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from ..paper.equations import beta, temperature


@dataclass(frozen=True)
class Practical:
    """The search's own schedules at its own budget: α moves by ±rate, T falls per epoch, Φ < θ goes (4.1)."""

    schedule: str = "exponential"  # of T: an epoch's, or theorem2
    gap: float = 0.02  # Δ in units of the step
    initial_temperature: float = 1.3  # T0
    decay: float = 0.95  # of T, per epoch
    grace: float = 1.0  # τ
    threshold: float = 0.4  # θ = threshold/N
    shrinking: bool = False  # N of θ is the operations left
    operations: int = 7  # N
    epochs: int = 50  # of the search
    steps: int = 260  # α steps an epoch
    rate: float = 1e-3  # of α
    delta: float = 0.1  # δ of theorem2
    repetitions: int = 2000  # of the simulation
    seed: int = 11  # of all that is drawn


def simulate_practical(p: Practical) -> dict[str, float]:
    """The probability of pruning the best, the fraction ended, and the mean epoch of the last pruning.

    All edges start undecided; a repetition that lost the best goes on, so that `ended` compares schedules alike.
    """
    rng = np.random.default_rng(p.seed)
    means = np.full(p.operations, -p.gap / 2)
    means[0] = p.gap / 2
    alpha = np.zeros((p.repetitions, p.operations))
    alive = np.ones_like(alpha, dtype=bool)
    last = np.zeros(p.repetitions)
    t = 0
    for epoch in range(1, p.epochs + 1):
        theorem = p.schedule == "theorem2"
        now = math.inf if theorem else temperature(p.schedule, epoch, p.epochs, p.initial_temperature, p.decay)
        if not theorem and now >= p.grace:
            continue
        for _ in range(p.steps):
            t += 1
            alpha += p.rate * np.where(rng.random(alpha.shape, dtype=np.float32) < (1 + means) / 2, 1.0, -1.0)
            if theorem:
                now = p.rate * 2 * float(beta(t, p.operations, p.delta))
                log_theta: Any = -math.log(p.operations) - t
            else:
                log_theta = np.log(p.threshold / (alive.sum(1, keepdims=True) if p.shrinking else p.operations))
            hit = alive & (log_softmax(np.where(alive, alpha / now, -np.inf), axis=1) < log_theta)
            if hit.any():
                alive &= ~hit
                last[hit.any(1)] = epoch
    ended = alive.sum(1) == 1
    return {
        "best_pruned": float((~alive[:, 0]).mean()),
        "ended": float(ended.mean()),
        "operations_left": float(alive.sum(1).mean()),
        "last_epoch": float(last[last > 0].mean()) if (last > 0).any() else math.nan,
    }
