"""Algorithm 1 on one mixed operation, simulated with Theorem 2's schedule and its relatives, and Theorem C's rule.

Units: ηL = 1. Operation 0 is the best unless the best changes; its gradients have mean +Δ/2, those of the others −Δ/2
(Δ is the `gap`). An operation is pruned where log Φ < log θ = log ν − t, since θ_t is 0 in float64 after t = 743.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from ..paper.equations import FRACTIONS, rho
from ..records.fields import check as check_fields
from ..records.fields import parameter, typed
from .bounds import SCHEDULES, TheoryError, bernstein_bound, radius
from .certified import Wealth, limit

NOISES = ("rademacher", "uniform", "antithetic", "common", "unequal")
WITHOUT_RADIUS = ("bernstein", "certified")  # rules that read the gradients themselves


@dataclass(frozen=True)
class Setting:
    """One simulation, which fixes its outcome."""

    operations: int = parameter(7, "N", "[2, 1000]")
    delta: float = parameter(0.1, "δ, the allowed probability of pruning the best", "(0, 1)")
    gap: float = parameter(0.5, "Δ, in units of L", "[0, 2]")
    noise: str = parameter("rademacher", "of the gradients", choices=NOISES)
    schedule: str = parameter("theorem2", "of T and θ", choices=SCHEDULES)
    repetitions: int = parameter(2000, "of the simulation", "[1, 10000000]")
    seed: int = parameter(11, "of all that is drawn", "[0, 1e18]")
    horizon: int = parameter(100_000, "α steps after which a repetition counts as unfinished", "[1, 10000000]")
    shrink: float = parameter(1.0, "what the radius is multiplied by; below 1, the negative control (or L underestimated)", "(0, ∞)")
    hold: int = parameter(1, "α steps for which a draw of the noise is held: dependence through time", "[1, 10000000]")
    switch: int = parameter(0, "the α step after which operation 1 is the best; 0: never", "[0, 10000000]")
    spread: float = parameter(1.0, "the noise relative to L; unequal gives the best all of it and the others a tenth", "(0, 1]")
    shift: float = parameter(0.0, "what all means have in common", "[-1, 1]")
    optimizer: str = parameter("sgd", "of α", choices=("sgd", "adam"))
    nu_power: float = parameter(0.0, "p of ν_t = t^p/N, the theorem's free choice, within Nν_t < e^t", "[-100, 2.73]")  # 3/log 3, at t = 3
    coupled: bool = parameter(False, "gradients through the softmax, with the true factor 1/T")

    def __post_init__(self) -> None:
        check_fields(self, TheoryError)
        for message, holds in self._relations().items():
            if not holds:
                raise TheoryError(message)

    def _relations(self) -> dict[str, bool]:
        pairs = 4 * len(FRACTIONS) * self.operations * (self.schedule == "certified")  # the wealth of each, and what it is made of
        memory = 8 * self.repetitions * self.operations * (7 + pairs) / 1e9  # GB
        reach = self.gap / 2 + abs(self.shift) + self.spread * (self.noise == "unequal")
        reads = self.schedule in WITHOUT_RADIUS
        return {
            f"repetitions × operations need {memory:.1f} GB; at most 1": memory <= 1,
            "spread is of the other noises; rademacher steps are ±1": self.spread == 1 or self.noise != "rademacher",
            "gap/2 + |shift|, and with noise unequal spread too, must not exceed 1": reach <= 1,
            f"schedule {self.schedule} has no temperature: it takes no coupled gradients": not (reads and self.coupled),
            f"schedule {self.schedule} needs steps in [-1, 1], which Adam's are not": not (reads and self.optimizer == "adam"),
            "schedule certified has no radius to shrink": self.shrink == 1 or self.schedule != "certified",
        }

    def limit(self) -> float | None:
        """The fewest steps, on average, in which a rule with this δ tells the best from another; None for a tie."""
        steps = limit(*self.evidence(), self.delta)
        return None if math.isinf(steps) else steps

    @property
    def means(self) -> np.ndarray:
        """Of the gradients, (N,)."""
        return self.shift + np.where(np.arange(self.operations) == 0, self.gap / 2, -self.gap / 2)

    def amplitude(self, means: np.ndarray) -> np.ndarray:
        """How far the noise takes a gradient from its mean, at most; both (N,)."""
        return self.spread * (np.where(np.arange(len(means)) == 0, 1.0, 0.1) if self.noise == "unequal" else 1 - np.abs(means))

    def evidence(self) -> tuple[np.ndarray, np.ndarray]:
        """The law of half the difference between the best operation's gradient and another's: atoms and weights."""
        means, signs = self.means[:2], np.array([-1.0, 1.0])
        if self.noise == "rademacher":
            return np.subtract.outer(signs, signs).ravel() / 2, np.multiply.outer(*(1 + means[:, None] * signs) / 2).ravel()
        noise = np.linspace(-1, 1, 802)[1::2] if self.noise == "uniform" else signs
        best, other = means[:, None] + self.amplitude(means)[:, None] * noise
        if self.noise in ("common", "antithetic"):  # one sign for all
            x = best - (other if self.noise == "common" else other[::-1])
        else:
            x = np.subtract.outer(best, other).ravel()
        return x / 2, np.full(x.size, 1 / x.size)

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
    stops: np.ndarray  # (finished,) the α step at which each ended

    @property
    def finished(self) -> int:
        return len(self.stops)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The Clopper–Pearson interval of the probability of pruning the best."""
        found = binomtest(self.failures, self.repetitions).proportion_ci(level)
        return float(found.low), float(found.high)

    def to_dict(self) -> dict[str, Any]:
        """As `asap theory --json` prints it; quantiles are null where nothing finished."""
        quantiles = np.quantile(self.stops, (0.05, 0.5, 0.95)).tolist() if self.finished else [None] * 3
        return {
            "failures": self.failures,
            "repetitions": self.repetitions,
            "interval": list(self.interval()),
            "stop_quantiles": dict(zip(("0.05", "0.5", "0.95"), quantiles, strict=True)),
            "finished": self.finished,
        }


def simulate(setting: Setting, progress: Callable[[int], None] | None = None) -> Outcome:
    """Run Algorithm 1 on one mixed operation `repetitions` times.

    progress: called now and then with the number of repetitions still running.
    """
    s = setting
    rng = np.random.default_rng(s.seed)
    means, best = s.means, 1 if s.switch else 0
    alpha, noise = np.zeros((2, s.repetitions, s.operations))
    alive = np.ones_like(alpha, dtype=bool)
    past = {name: np.zeros_like(alpha) for name in ("first", "second", "total", "variance")}
    wealth = Wealth(s.repetitions, s.operations) if s.schedule == "certified" else None
    failures, stops, widths = 0, [], np.zeros(s.horizon)
    if s.schedule not in WITHOUT_RADIUS:
        named = "theorem2" if s.schedule == "literal" else s.schedule
        widths = s.shrink * radius(named, np.arange(1, s.horizon + 1), s.operations, s.delta)
    for t in range(1, s.horizon + 1):
        width = float(widths[t - 1])
        if progress and t % 4096 == 1:
            progress(len(alpha))
        if s.switch and t == s.switch + 1:
            means = means[[1, 0, *range(2, s.operations)]]
        if (t - 1) % s.hold == 0:
            noise = _draw(rng, s, means, alpha.shape)
        gradient = _coupled(alpha, alive, noise, width) if s.coupled else noise
        if s.optimizer == "adam":
            gradient = _adam(past, gradient, t)
        alpha += gradient
        if wealth:
            wealth.bet((gradient[:, :, None] - gradient[:, None, :]) / 2, alive)
            hit = wealth.losers(alive, s.delta)
        elif s.schedule == "bernstein":
            past["variance"] += (gradient - past["total"] / max(t - 1, 1)) ** 2
            past["total"] += gradient
            hit = _trailing(s, alpha, alive, past["variance"])
        else:
            hit = _below(s, alpha, alive, t, width)
        if not hit.any():
            continue
        alive &= ~hit
        ended, lost = alive.sum(1) <= 1, hit[:, best]  # a repetition that lost the best has failed, whatever it would end in
        failures += int(lost.sum())
        stops += [t] * int(ended.sum())
        keep = ~(ended | lost)
        if not keep.any():
            break
        if not keep.all():
            alpha, alive, noise = alpha[keep], alive[keep], noise[keep]
            past = {name: value[keep] for name, value in past.items()}
            if wealth:
                wealth.log = wealth.log[keep]
    return Outcome(s.repetitions, failures, np.array(stops))


def _draw(rng: np.random.Generator, s: Setting, means: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if s.noise == "rademacher":
        return np.where(rng.random(shape, dtype=np.float32) < (1 + means) / 2, 1.0, -1.0)
    amplitude = s.amplitude(means)
    if s.noise == "uniform":
        return means + amplitude * rng.uniform(-1, 1, shape)
    signs = np.where(rng.random(shape if s.noise == "unequal" else (shape[0], 1)) < 0.5, 1.0, -1.0)
    turned = np.where(np.arange(shape[1]) > 0, -1.0, 1.0) if s.noise == "antithetic" else 1.0
    return means + amplitude * signs * turned


def _coupled(alpha: np.ndarray, alive: np.ndarray, rewards: np.ndarray, width: float) -> np.ndarray:
    """Eq. 4 with its factor 1/T: Φ_k (r_k − Σ_j Φ_j r_j) / T, at T = 2·width."""
    phi = softmax(np.where(alive, alpha / (2 * width), -np.inf), axis=1)
    return phi * (rewards - (phi * rewards).sum(1, keepdims=True)) / (2 * width)


def _adam(past: dict[str, np.ndarray], gradient: np.ndarray, t: int) -> np.ndarray:
    """Adam's step for betas (0.5, 0.999) and a rate of 1."""
    past["first"] += 0.5 * (gradient - past["first"])
    past["second"] += 0.001 * (gradient**2 - past["second"])
    return past["first"] / (1 - 0.5**t) / (np.sqrt(past["second"] / (1 - 0.999**t)) + 1e-8)


def _trailing(s: Setting, alpha: np.ndarray, alive: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Which operations trail the leader by more than their bound and its own, by empirical Bernstein, (R, N)."""
    left = np.where(alive, alpha, -np.inf)
    bound = s.shrink * bernstein_bound(variance, s.delta / (2 * s.operations))
    leader = np.take_along_axis(bound, left.argmax(1)[:, None], 1)
    return alive & (left.max(1, keepdims=True) - alpha > bound + leader)


def _below(s: Setting, alpha: np.ndarray, alive: np.ndarray, t: int, width: float) -> np.ndarray:
    """Which operations have Φ < θ at t, (R, N)."""
    hit, log_nu = np.zeros_like(alive), s.log_nu(t)
    temperature = 2 * width * float(rho(t, s.operations, log_nu))
    behind = np.where(alive, alpha, -np.inf).max(1, keepdims=True) - alpha
    # a gap above T·log(1/(Nθ)) = 2·t·b_t is necessary (Claim 1) for T > 0, so mostly nothing more need be computed
    rows = np.flatnonzero((alive & (behind > 2 * t * width)).any(1) | (temperature <= 0))
    if len(rows):
        log_phi = log_softmax(np.where(alive[rows], alpha[rows] / temperature, -np.inf), axis=1)
        hit[rows] = alive[rows] & (log_phi < log_nu - t)
    return hit
