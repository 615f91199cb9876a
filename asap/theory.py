"""Theorem 2, numerically: Algorithm 1 on one mixed operation, by simulation and by exact dynamic programming.

Units: ηL = 1, so a gradient step moves α by at most 1 and time is counted in α steps from 1. Operation 0 is the best
unless the best changes; its gradients have mean +Δ/2, those of the others −Δ/2 (Δ is the `gap`).

The theorem's schedule (Eqs. 5–8, 35): β_t = √(2/t · log(π²Nt²/3δ)), T_t = 2ρ_tβ_t, θ_t = ν_t e^{−t},
ρ_t = t/(t + log(1/(Nν_t))). With ν = 1/N, ρ is 1. An operation is pruned where log Φ < log θ, computed as
α/T − logsumexp(α/T) < log ν − t, since θ_t is 0 in float64 after t = 743.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, zeta
from scipy.stats import beta as beta_distribution

from .annealing import temperature
from .config import typed
from .errors import UserError

SCHEDULES = ("theorem2", "literal", "stitched", "mixture", "pairwise", "bernstein")
NOISES = ("rademacher", "uniform", "antithetic", "common")


class TheoryError(UserError):
    """A setting outside what the theorem or the simulator speaks of."""


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


# the schedule and its tighter relatives


def beta(t: np.ndarray | float, operations: int, delta: float) -> np.ndarray:
    """β_t of Eq. 35: √(2/t · log(π²Nt²/3δ))."""
    t = np.asarray(t, dtype=np.float64)
    return np.sqrt(2 / t * np.log(np.pi**2 * operations * t * t / (3 * delta)))


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


# simulation


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
    log_nu = 0.0 if s.schedule == "literal" else -math.log(s.operations)
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
