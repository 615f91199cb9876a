"""What Theorem C certifies in recorded searches: from their own certificates, or estimated from their epochs' statistics. No torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

from ..paper.equations import CLIP, DELTA, FRACTIONS
from ..records.run import Run
from ..theory.bounds import predicted_stop
from ..theory.certified import limit, predicted_steps
from .display import each
from .theory import COMPARED

QUANTILES = norm.ppf((np.arange(400) + 0.5) / 400)
EQUAL = np.full(400, 1 / 400)


def edges(run: Run) -> pd.DataFrame:
    """For each mixed operation of a recorded search its α gradients before the first pruning of its cell, and the steps that rules need.

    Columns: cell, edge, bound (L, the largest magnitude seen), gap (between the two best mean descents), standard_error (of that gap),
    deviation, autocorrelation; all but bound and autocorrelation in units of L. steps: α steps that these come from; budget: of the
    search. limit, and each of `COMPARED`: the steps to tell the best from the second with δ = 0.1, infinite where the gap is 0. Rewards
    are taken as independent, as in `replay`.
    """
    frame, epochs = run.architecture(), run.epochs()
    learning = set(epochs.loc[epochs["alpha_steps"] > 0, "epoch"])
    rows = []
    for cell, kind in frame.groupby("cell", observed=True):
        whole = kind.groupby("epoch")["alive"].all()
        before = kind[kind["epoch"].isin(set(whole[whole].index) & learning)]
        for edge, part in before.groupby("edge"):
            bound = float(part["gradient_largest"].max())
            by_operation = part.groupby("operation", observed=True)
            descent = (-by_operation["gradient_mean"].mean()).sort_values(ascending=False)
            deviation = float(np.sqrt((by_operation["gradient_deviation"].apply(lambda d: (d**2).mean())).mean())) / bound
            gap = float(descent.iloc[0] - descent.iloc[1]) / bound
            count, n = int(epochs["alpha_steps"].max()) * part["epoch"].nunique(), len(descent)
            spread = deviation * np.sqrt(2 * n / (n - 1))
            difference = gap + spread * QUANTILES  # of the two best
            scaled = np.clip(difference / (CLIP * np.sqrt((difference**2).mean())), -1, 1)
            row = {"cell": cell, "edge": edge, "bound": bound, "gap": gap, "standard_error": spread / np.sqrt(count),
                   "deviation": deviation, "autocorrelation": float(part["gradient_autocorrelation"].mean()), "steps": count,
                   "budget": int(epochs["alpha_steps"].sum()), "limit": limit(np.clip(difference / 2, -1, 1), EQUAL, DELTA)}  # fmt: skip
            row["certified"] = predicted_steps(scaled, EQUAL, n, DELTA)
            row |= {s: predicted_stop(s, gap, n, DELTA, deviation) for s in COMPARED if s != "certified"}
            rows.append(row)
    return pd.DataFrame(rows)


def replay(run: Run) -> pd.DataFrame:
    """Theorem C replayed on a search's epoch statistics, δ/N an operation: cell, edge, operation, certified, pruned (epochs; inf: never).

    log(1 + λX) is taken to second order, log W = λΣX − λ²ΣX²/2, rewards as independent, and Φ as at the end of the epoch: an
    estimate, where a search with `prune_rule` watched or certified has the certificate itself. Eq. 4 subtracts from a reward the mean
    of all n, so for independent rewards the variance of a difference is n/(n − 1) times the sum of the two that are recorded.
    """
    frame, epochs = run.architecture(), run.epochs()
    rows = []
    for cell, part in frame.groupby("cell", observed=True):
        names = part["operation"].drop_duplicates().tolist()
        shape = (len(epochs), -1, len(names))
        mean, deviation, phi, alive = (part[c].to_numpy().reshape(shape) for c in ("gradient_mean", "gradient_deviation", "phi", "alive"))
        count: int = 0
        apart = ~np.eye(len(names), dtype=bool)
        wealth = np.where(apart[:, :, None], np.zeros((*phi.shape[1:], len(names), len(FRACTIONS))), -np.inf)
        squares, certified = np.zeros(wealth.shape[:-1]), np.full(phi.shape[1:], np.inf)
        for e, row in enumerate(each(epochs)):
            if not row.alpha_steps:
                continue
            reward, noise = -row.temperature * mean[e] / phi[e], row.temperature * deviation[e] / phi[e]
            there = np.isfinite(reward[:, :, None] - reward[:, None, :]) & apart
            difference = np.where(there, reward[:, :, None] - reward[:, None, :], 0.0)
            left = alive[e].sum(1)[:, None, None]
            variance = (noise[:, :, None] ** 2 + noise[:, None, :] ** 2) * left / np.maximum(left - 1, 1)
            second = np.where(there, difference**2 + variance, 0.0)
            scale = CLIP * np.sqrt(squares / count if count else second)
            x = np.divide(difference, scale, out=np.zeros_like(scale), where=scale > 0)
            square = np.divide(second, scale**2, out=np.zeros_like(scale), where=scale > 0)
            wealth += row.alpha_steps * (FRACTIONS * x[..., None] - FRACTIONS**2 * square[..., None] / 2)
            squares, count = squares + row.alpha_steps * second, count + row.alpha_steps
            against = logsumexp(wealth, axis=(1, 3)) - np.log((len(names) - 1) * len(FRACTIONS))
            certified[(against >= np.log(len(names) / DELTA)) & np.isinf(certified)] = row.epoch
        pruned = np.where(alive[-1], np.inf, alive.sum(0) + 1)
        edge, operation = np.indices(pruned.shape).reshape(2, -1)
        named = np.array(names)[operation]
        rows.append(
            pd.DataFrame({"cell": cell, "edge": edge, "operation": named, "certified": certified.ravel(), "pruned": pruned.ravel()})
        )
    return pd.concat(rows, ignore_index=True)


def certificates(run: Run) -> pd.DataFrame:
    """The certificates that a search with `prune_rule` watched or certified recorded, as `replay` has them."""
    frame, epochs = run.architecture(), run.epochs()
    last = frame[frame["epoch"] == frame["epoch"].max()].set_index(["cell", "edge", "operation"])
    steps = np.cumsum(epochs["alpha_steps"].to_numpy())
    lived = frame.groupby(["cell", "edge", "operation"], observed=True)["alive"].sum().reindex(last.index)
    pruned = np.where(last["alive"], np.inf, lived + 1)
    step = last["certified_step"].to_numpy()
    certified = np.where(np.isfinite(step), np.searchsorted(steps, step) + 1, np.inf)
    return last.assign(pruned=pruned, certified=certified)[["pruned", "certified"]].reset_index()


def covariance(run: Run) -> float:
    """The mean, over epochs and pairs of operations, of the recorded second moment of r_j − r_i over that of independent rewards."""
    frame, epochs = run.architecture(), run.epochs().set_index("epoch")
    scale = frame["epoch"].map(epochs["temperature"]) / frame["phi"]
    frame = frame.assign(mean=-scale * frame["gradient_mean"], variance=(scale * frame["gradient_deviation"]) ** 2)
    place = {name: i for i, name in enumerate(frame["operation"].drop_duplicates())}
    ratios = []
    for _, part in frame[frame["gradient_mean"].notna()].groupby(["epoch", "cell", "edge"], observed=True):
        mean, variance, n = part["mean"].to_numpy(), part["variance"].to_numpy(), len(part)
        recorded = part.reindex(columns=[f"second_moment_{place[name]}" for name in part["operation"]]).to_numpy()
        independent = np.subtract.outer(mean, mean) ** 2 + np.add.outer(variance, variance) * n / max(n - 1, 1)
        ratios.append((recorded / independent)[np.triu_indices(n, 1)])
    return float(np.nanmean(np.concatenate(ratios)))
