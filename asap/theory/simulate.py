"""Algorithm 1 on one mixed operation, simulated: with Theorem 2's schedule and its relatives, and with the search's own.

Units: ηL = 1. Operation 0 is the best unless the best changes; its gradients have mean +Δ/2, those of the others −Δ/2
(Δ is the `gap`). An operation is pruned where log Φ < log θ, computed as α/T − logsumexp(α/T) < log ν − t, since
θ_t is 0 in float64 after t = 743.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import beta as beta_distribution

from ..paper.equations import beta, temperature
from ..records.parameters import typed
from .bounds import SCHEDULES, TheoryError, bernstein_bound, check_nu, radius, rho

NOISES = ("rademacher", "uniform", "antithetic", "common")


@dataclass(frozen=True)
class Setting:
    """One simulation. Every field enters the random stream through the seed alone, so a setting fixes its outcome."""

    operations: int = 7  # N
    delta: float = 0.1  # δ, the allowed probability of pruning the best
    gap: float = 0.5  # Δ, in units of L
    noise: str = "rademacher"
    schedule: str = "theorem2"
    repetitions: int = 2000
    seed: int = 11
    horizon: int = 100_000  # α steps after which a repetition counts as unfinished
    shrink: float = 1.0  # what the radius is multiplied by; below 1, the negative control (or L underestimated)
    hold: int = 1  # α steps for which a draw of the noise is held: dependence through time
    switch: int = 0  # the α step after which operation 1 is the best; 0: never
    spread: float = 1.0  # the noise's magnitude relative to L (uniform, antithetic, common)
    optimizer: str = "sgd"  # or adam
    nu_power: float = 0.0  # p of ν_t = t^p/N, the theorem's free choice; must keep Nν_t < e^t
    coupled: bool = False  # gradients through the softmax, with the true factor 1/T

    def __post_init__(self) -> None:
        good = {
            "operations must be at least 2": self.operations >= 2,
            "delta must lie in (0, 1)": 0 < self.delta < 1,
            "gap must lie in [0, 2]": 0 <= self.gap <= 2,
            f"noise must be one of {', '.join(NOISES)}": self.noise in NOISES,
            f"schedule must be one of {', '.join(SCHEDULES)}": self.schedule in SCHEDULES,
            "repetitions, horizon and hold must be at least 1": min(self.repetitions, self.horizon, self.hold) >= 1,
            "shrink must be positive": self.shrink > 0,
            "switch and seed must not be negative": min(self.switch, self.seed) >= 0,
            "spread must lie in (0, 1]": 0 < self.spread <= 1,
            "optimizer must be sgd or adam": self.optimizer in ("sgd", "adam"),
        }
        for message, holds in good.items():
            if not holds:
                raise TheoryError(message)
        if self.schedule != "literal":
            check_nu(self.operations, self.log_nu, min(self.horizon, 1000))

    def log_nu(self, t: int) -> float:
        """log ν_t; the literal version takes ν ≡ 1, which the theorem as printed allows."""
        return 0.0 if self.schedule == "literal" else self.nu_power * math.log(t) - math.log(self.operations)


def make_setting(given: Mapping[str, Any]) -> Setting:
    """A setting from values by name (strings too). Raises `UserError`, one line, for bad input."""
    return Setting(**typed(Setting, given))


@dataclass(frozen=True)
class Outcome:
    """What a simulation found: of `repetitions`, `failures` pruned the best operation and `finished` came to a single one."""

    repetitions: int
    failures: int
    finished: int
    stops: np.ndarray  # (finished,) the α step at which each ended

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The Clopper–Pearson interval of the probability of pruning the best."""
        return clopper_pearson(self.failures, self.repetitions, level)

    def to_dict(self) -> dict[str, Any]:
        """As `asap theory --json` prints it; quantiles are null where nothing finished."""
        quantiles = {q: (float(np.quantile(self.stops, q)) if self.finished else None) for q in (0.05, 0.5, 0.95)}
        return {
            "failures": self.failures,
            "repetitions": self.repetitions,
            "interval": list(self.interval()),
            "stop_quantiles": {str(q): value for q, value in quantiles.items()},
            "finished": self.finished,
        }


def clopper_pearson(failures: int, repetitions: int, level: float = 0.95) -> tuple[float, float]:
    """The exact two-sided confidence interval of a binomial proportion."""
    tail = (1 - level) / 2
    low = 0.0 if failures == 0 else float(beta_distribution.ppf(tail, failures, repetitions - failures + 1))
    high = 1.0 if failures == repetitions else float(beta_distribution.ppf(1 - tail, failures + 1, repetitions - failures))
    return low, high


def simulate(setting: Setting, progress: Callable[[int], None] | None = None) -> Outcome:
    """Run Algorithm 1 on one mixed operation `repetitions` times.

    progress: called now and then with the number of repetitions still running.
    """
    s = setting
    rng = np.random.default_rng(s.seed)
    means = np.full(s.operations, -s.gap / 2)
    means[0] = s.gap / 2
    best = 1 if s.switch else 0
    alpha = np.zeros((s.repetitions, s.operations))
    alive = np.ones_like(alpha, dtype=bool)
    extra = {name: np.zeros_like(alpha) for name in ("first", "second", "total", "variance")}
    failures, stops = 0, []
    noise = np.zeros_like(alpha)
    chunk = 4096
    for t in range(1, s.horizon + 1):
        if t % chunk == 1:
            steps = np.arange(t, min(t + chunk, s.horizon + 1), dtype=np.float64)
            widths = np.zeros_like(steps) if s.schedule == "bernstein" else s.shrink * radius(s.schedule, steps, s.operations, s.delta)
            if progress:
                progress(len(alpha))
        if s.switch and t == s.switch + 1:
            means = means[[1, 0, *range(2, s.operations)]]
        if (t - 1) % s.hold == 0:
            noise = _draw(rng, s, means, alpha.shape)
        width = float(widths[(t - 1) % chunk])
        gradient = _coupled(alpha, alive, noise, width) if s.coupled else noise
        if s.optimizer == "adam":
            gradient = _adam(extra, gradient, t)
        if s.schedule == "bernstein":
            extra["variance"] += (gradient - extra["total"] / max(t - 1, 1)) ** 2
            extra["total"] += gradient
        alpha += gradient
        hit = _below(s, alpha, alive, extra["variance"], t, width)
        if hit is None:
            continue
        alive &= ~hit
        ended = alive.sum(1) <= 1
        lost = hit[:, best]
        done = ended | lost
        if done.any():  # a repetition that lost the best has failed, whatever it would end in
            failures += int(lost.sum())
            stops += [t] * int(ended.sum())
            keep = ~done
            alpha, alive, noise = alpha[keep], alive[keep], noise[keep]
            extra = {name: value[keep] for name, value in extra.items()}
            if not len(alpha):
                break
    return Outcome(s.repetitions, failures, len(stops), np.array(stops))


def _draw(rng: np.random.Generator, s: Setting, means: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if s.noise == "rademacher":
        return np.where(rng.random(shape, dtype=np.float32) < (1 + means) / 2, 1.0, -1.0)
    room = s.spread * (1 - np.abs(means))
    if s.noise == "uniform":
        return means + room * rng.uniform(-1, 1, shape)
    sign = np.where(rng.random((shape[0], 1)) < 0.5, 1.0, -1.0)
    direction = np.where(np.arange(shape[1]) == 0, 1.0, -1.0) if s.noise == "antithetic" else np.ones(shape[1])
    return means + room * sign * direction


def _coupled(alpha: np.ndarray, alive: np.ndarray, rewards: np.ndarray, width: float) -> np.ndarray:
    """Eq. 4 with its factor 1/T: Φ_k (r_k − Σ_j Φ_j r_j) / T, at T = 2·width."""
    scaled = np.where(alive, alpha / (2 * width), -np.inf)
    phi = np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True))
    return phi * (rewards - (phi * rewards).sum(1, keepdims=True)) / (2 * width)


def _adam(extra: dict[str, np.ndarray], gradient: np.ndarray, t: int) -> np.ndarray:
    """Adam's step for betas (0.5, 0.999) and a rate of 1."""
    extra["first"] += 0.5 * (gradient - extra["first"])
    extra["second"] += 0.001 * (gradient**2 - extra["second"])
    return extra["first"] / (1 - 0.5**t) / (np.sqrt(extra["second"] / (1 - 0.999**t)) + 1e-8)


def _below(s: Setting, alpha: np.ndarray, alive: np.ndarray, variance: np.ndarray, t: int, width: float) -> np.ndarray | None:
    """Which operations are pruned at t, (R, N), or None for none."""
    top = np.where(alive, alpha, -np.inf).max(1, keepdims=True)
    if s.schedule == "bernstein":
        bound = s.shrink * bernstein_bound(variance, s.delta / (2 * s.operations))
        leader = np.take_along_axis(bound, np.where(alive, alpha, -np.inf).argmax(1)[:, None], 1)
        hit = alive & (top - alpha > bound + leader)
        return hit if hit.any() else None
    log_nu = s.log_nu(t)
    temperature = 2 * width * float(rho(t, s.operations, log_nu))
    if temperature > 0:
        # a gap above T·log(1/(Nθ)) = 2·t·b_t is necessary (Claim 1), so mostly nothing more need be computed
        maybe = alive & (top - alpha > 2 * t * width)
        rows = np.flatnonzero(maybe.any(1))
        if not len(rows):
            return None
    else:
        rows = np.arange(len(alpha))
    scaled = np.where(alive[rows], alpha[rows] / temperature, -np.inf)
    log_phi = scaled - logsumexp(scaled, axis=1, keepdims=True)
    hit = np.zeros_like(alive)
    hit[rows] = alive[rows] & (log_phi < log_nu - t)
    return hit if hit.any() else None


@dataclass(frozen=True)
class Practical:
    """The search's own schedules at its own budget: α moves by ±rate, T falls per epoch, Φ < θ goes (4.1)."""

    schedule: str = "exponential"  # of annealing.py, or `theorem2`
    gap: float = 0.02  # Δ in units of the step
    initial_temperature: float = 1.3
    decay: float = 0.95
    grace: float = 1.0
    threshold: float = 0.4
    shrinking: bool = False  # N of θ = 0.4/N is the operations left
    operations: int = 7
    epochs: int = 50
    steps: int = 260  # α steps an epoch
    rate: float = 1e-3
    delta: float = 0.1  # of theorem2
    repetitions: int = 2000
    seed: int = 11


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
            scaled = np.where(alive, alpha / now, -np.inf)
            top = scaled.max(1, keepdims=True)
            log_phi = scaled - top - np.log(np.exp(scaled - top).sum(1, keepdims=True))
            hit = alive & (log_phi < log_theta)
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
