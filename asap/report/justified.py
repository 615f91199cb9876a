"""The page "Which prunings were justified?": what Theorem C certifies in recorded searches, from their own records."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

from ..paper.equations import CLIP, DELTA, FRACTIONS
from ..records.parameters import runs_root
from ..records.run import Run
from ..records.study import load
from ..theory.bounds import predicted_stop
from ..theory.certified import kl_binary, limit, predicted_steps
from . import results, tables
from .display import figure as show
from .display import missing, provenance, records, say
from .figure2 import the_search
from .palette import style
from .theory import COMPARED, NAMES

QUANTILES = norm.ppf((np.arange(400) + 0.5) / 400)
EQUAL = np.full(400, 1 / 400)
#: The recorded searches that are replayed, by their arms of the study `methods`.
REPLAYED = ("ASAP", "ASAP, annealing without pruning", "DARTS")


def edges(run: Run) -> pd.DataFrame:
    """For each mixed operation of a recorded search its α gradients before the first pruning of its cell, and the steps that rules need.

    Columns: cell, edge, bound (L, the largest magnitude seen), gap (between the two best mean descents), standard_error (of that gap),
    deviation, autocorrelation; all but bound and autocorrelation in units of L. steps: α steps that these come from; budget: of the
    search. limit, and each of `COMPARED`: the steps to tell the best from the second, δ = .1, infinite where the gap is 0.
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
            difference = gap + deviation * np.sqrt(2) * QUANTILES  # of the two best, as if independent
            scaled = np.clip(difference / (CLIP * np.sqrt((difference**2).mean())), -1, 1)
            row = {"cell": cell, "edge": edge, "bound": bound, "gap": gap, "standard_error": deviation * np.sqrt(2 / count),
                   "deviation": deviation, "autocorrelation": float(part["gradient_autocorrelation"].mean()), "steps": count,
                   "budget": int(epochs["alpha_steps"].sum()), "limit": limit(np.clip(difference / 2, -1, 1), EQUAL, DELTA)}  # fmt: skip
            row["certified"] = predicted_steps(scaled, EQUAL, n, DELTA)
            row |= {s: predicted_stop(s, gap, n, DELTA, deviation) for s in COMPARED if s != "certified"}
            rows.append(row)
    return pd.DataFrame(rows)


def real_search() -> None:
    """What the α gradients of the recorded search predict for each rule, edge by edge."""
    run = the_search()
    if not run:
        return
    frame = edges(run)
    budget, rules = int(frame["budget"].iloc[0]), ("limit", *COMPARED)
    names = {"limit": "limit of any rule", **NAMES}
    style()
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    share = np.arange(1, len(frame) + 1) / len(frame)
    for rule, look in zip(rules, ("--", "-", "-.", ":", (0, (5, 1, 1, 1, 1, 1))), strict=True):
        axes.semilogx(np.sort(frame[rule]), share, drawstyle="steps-post", label=names[rule], ls=look)
    axes.axvline(budget, color="0.3", lw=1)
    axes.annotate(f"the search: {budget:,} steps", (budget, 1.0), xytext=(4, 2), textcoords="offset points", fontsize=9, color="0.3")
    axes.set_xlabel("predicted α steps until the best is told from the second")
    axes.set_ylabel("share of the mixed operations")
    axes.legend(fontsize=9, frameon=False)
    steps = " and ".join(f"{part['steps'].iloc[0]:,} ({cell})" for cell, part in frame.groupby("cell", observed=True))
    show(
        figure,
        f"**From a real search.** For each of its {len(frame)} mixed operations, the α step at which each rule would tell the best operation from the second, "
        f"from the α steps before the first pruning of its cell: {steps}. {provenance(run)}",
    )
    rows = [[names[r], f"{int((frame[r] <= budget).sum())} of {len(frame)}", f"{frame[r].median():,.0f}"] for r in rules]
    say(tables.markdown(["rule", f"edges decided within {budget:,} steps", "median steps"], rows))
    noisy = int((frame["gap"] < 2 * frame["standard_error"]).sum())
    say(
        f"{noisy} of the {len(frame)} gaps between the two best are less than two standard errors, so these medians are mostly noise. A gap is between the largest "
        "and the second largest of seven noisy means: it is overestimated there, and the steps are underestimated."
    )
    spread = frame[["bound", "gap", "standard_error", "deviation", "autocorrelation"]].quantile([0.25, 0.5, 0.75])
    labels = {"bound": "L, the largest α gradient in size", "gap": "gap / L", "standard_error": "standard error of the gap / L",
              "deviation": "deviation / L", "autocorrelation": "autocorrelation at lag 1"}  # fmt: skip
    headers = ["over the mixed operations", "lower quartile", "median", "upper quartile"]
    say(tables.markdown(headers, [[text, *(f"{v:.3g}" for v in spread[key])] for key, text in labels.items()]))
    each = [
        [str(r.cell), str(r.edge), f"{r.bound:.3g}", f"{r.gap:.3g}", f"{r.standard_error:.2g}", f"{r.deviation:.3g}", f"{r.autocorrelation:.2f}",
         *(f"{getattr(r, rule):.2g}" for rule in rules)]
        for r in frame.itertuples()
    ]  # fmt: skip
    headers = ["cell", "edge", "L", "gap / L", "standard error", "deviation / L", "autocorrelation", *(f"steps: {names[r]}" for r in rules)]
    say(f":::{{dropdown}} Each of the {len(frame)} mixed operations\n{tables.markdown(headers, each)}\n:::")


def replay(run: Run) -> pd.DataFrame:
    """Theorem C replayed on a search's epoch statistics, δ/N an operation: cell, edge, operation, certified and pruned (epochs, inf: never).

    log(1 + λX) is taken to second order, log W = λΣX − λ²ΣX²/2, operations as independent, and Φ as at the end of the epoch: an
    estimate, where a search with `prune_rule` watched or certified has the certificate itself.
    """
    frame, epochs = run.architecture(), run.epochs()
    rows = []
    for cell, part in frame.groupby("cell", observed=True):
        names = part["operation"].iloc[: part.groupby("edge").size().iloc[0] // len(epochs)].tolist()
        shape = (len(epochs), -1, len(names))
        mean, deviation, phi, alive = (part[c].to_numpy().reshape(shape) for c in ("gradient_mean", "gradient_deviation", "phi", "alive"))
        count: int = 0
        row: Any
        apart = ~np.eye(len(names), dtype=bool)
        wealth = np.where(apart[:, :, None], np.zeros((*phi.shape[1:], len(names), len(FRACTIONS))), -np.inf)
        squares, certified = np.zeros(wealth.shape[:-1]), np.full(phi.shape[1:], np.inf)
        for e, row in enumerate(epochs.itertuples()):
            if not row.alpha_steps:
                continue
            reward, noise = -row.temperature * mean[e] / phi[e], row.temperature * deviation[e] / phi[e]
            there = np.isfinite(reward[:, :, None] - reward[:, None, :]) & apart
            difference = np.where(there, reward[:, :, None] - reward[:, None, :], 0.0)
            second = np.where(there, difference**2 + noise[:, :, None] ** 2 + noise[:, None, :] ** 2, 0.0)
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


def summary(frame: pd.DataFrame) -> list[str]:
    """Of certificates and prunings by operation: pruned, of them certified by then, of them not, certified in all, edges decided."""
    pruned, certified = np.isfinite(frame["pruned"]), np.isfinite(frame["certified"])
    just = pruned & (frame["certified"] <= frame["pruned"])
    left = (~certified).groupby([frame["cell"], frame["edge"]], observed=True).sum()
    return [f"{pruned.sum()} of {len(frame)}", str(just.sum()), str((pruned & ~just).sum()), str(certified.sum()),
            f"{int((left <= 1).sum())} of {len(left)}"]  # fmt: skip


HEADERS = ["pruned", "certified losers by then", "not certified", "certified in all", "edges with one operation not certified"]


def estimates() -> None:
    """What Theorem C would have certified in searches that were recorded without it, from their epochs' statistics."""
    study, rows, shown = load("methods"), [], []
    for label in REPLAYED:
        for run in study.runs(runs_root(), "search", label):
            rows.append([label, str(run.parameters["seed"]), f"{int(run.epochs()['alpha_steps'].sum()):,}", *summary(replay(run))])
            shown.append((label, run))
    if not rows:
        missing("finished searches of the study `methods`", "asap study methods --commands")
        return
    say(tables.markdown(["search", "seed", "α steps", *HEADERS], rows))
    say(
        f"Estimated from each epoch's means and deviations, for all operations of an edge at once (δ = {DELTA:g} an edge). For one edge of δ = {DELTA:g}, the limit "
        f"of any rule is kl(δ, 1 − δ) = {kl_binary(DELTA, 1 - DELTA):.2f} over the information of a step."
    )
    records({run.name: label for label, run in shown})


def certificates(run: Run) -> pd.DataFrame:
    """The certificates that a search with `prune_rule` watched or certified recorded: cell, edge, operation, certified, pruned; in epochs."""
    frame, epochs = run.architecture(), run.epochs()
    last = frame[frame["epoch"] == frame["epoch"].max()].set_index(["cell", "edge", "operation"])
    steps = np.cumsum(epochs["alpha_steps"].to_numpy())
    pruned = np.where(
        last["alive"], np.inf, frame.groupby(["cell", "edge", "operation"], observed=True)["alive"].sum().reindex(last.index) + 1
    )
    step = last["certified_step"].to_numpy()
    certified = np.where(np.isfinite(step), np.searchsorted(steps, step) + 1, np.inf)
    return last.assign(pruned=pruned, certified=certified)[["pruned", "certified"]].reset_index()


def covariance(run: Run) -> float:
    """The mean, over epochs and pairs of operations, of the recorded second moment of r_j − r_i over that of independent ones."""
    frame = run.architecture()
    epochs = run.epochs().set_index("epoch")
    scale = frame["epoch"].map(epochs["temperature"]) / frame["phi"]
    frame = frame.assign(mean=-scale * frame["gradient_mean"], variance=(scale * frame["gradient_deviation"]) ** 2)
    ratios = []
    for _, part in frame[frame["gradient_mean"].notna()].groupby(["epoch", "cell", "edge"], observed=True):
        mean, variance = part["mean"].to_numpy(), part["variance"].to_numpy()
        order = frame["operation"].iloc[: frame.groupby(["epoch", "cell", "edge"], observed=True).size().iloc[0]].tolist()
        place = [order.index(name) for name in part["operation"]]
        for b in range(1, len(place)):
            recorded = part[f"second_moment_{place[b]}"].to_numpy()[:b]
            ratios += list(recorded / ((mean[:b] - mean[b]) ** 2 + variance[:b] + variance[b]))
    return float(np.nanmean(ratios))


def searches() -> None:
    """The searches that carry their certificates: by threshold and by certificate, on the same seeds, and how their cells score."""
    study, rows, shown, left = load("certified"), [], [], []
    for label in dict.fromkeys(planned.label for planned in study.planned if planned.kind == "search"):
        runs = study.runs(runs_root(), "search", label)
        scores = results.arm(results.evaluations(), "certified", label).groupby("seed")["error"].mean()
        for run in runs:
            seed = run.parameters["seed"]
            score = f"{scores[seed]:.2f}" if seed in scores else "–"
            rows.append([label, str(seed), *summary(certificates(run)), f"{covariance(run):.2f}", score])
            shown.append((label, run))
    left = [planned.command() for planned in study.planned if planned.record(runs_root()) is None]
    if left:
        missing(f"{len(left)} runs of the study `certified`", "\n".join(left))
    if rows:
        say(tables.markdown(["search", "seed", *HEADERS, "second moments over independent ones", "error of its cell, %"], rows))
        records({run.name: label for label, run in shown})
