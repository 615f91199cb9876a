"""The page "Which prunings were justified?": what Theorem C certifies in recorded searches, from their own records."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ..paper import space
from ..paper.equations import DELTA
from ..records.parameters import runs_root
from ..records.study import load
from ..theory.certified import kl_binary
from . import results, tables
from .cells import node_name
from .certificates import certificates, covariance, edges, replay
from .display import each as rows_of
from .display import figure as show
from .display import missing, provenance, records, say
from .figure2 import the_search
from .palette import style
from .theory import COMPARED, NAMES

#: The recorded searches that are replayed, by their arms of the study `methods`.
REPLAYED = ("ASAP", "ASAP, annealing without pruning", "DARTS")


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
        f"Step curves: the share of the {len(frame)} mixed operations that each rule would have decided by an α step, on a logarithmic axis; a line marks the end of the search at {budget:,} steps.",
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
    edge_names = [f"{node_name(source)} → {node_name(target)}" for source, target in space.edges()]
    each = [
        [str(r.cell), edge_names[int(r.edge)], f"{r.bound:.3g}", f"{r.gap:.3g}", f"{r.standard_error:.2g}", f"{r.deviation:.3g}", f"{r.autocorrelation:.2f}",
         *(_steps(getattr(r, rule)) for rule in rules)]
        for r in rows_of(frame)
    ]  # fmt: skip
    headers = ["cell", "edge", "L", "gap / L", "standard error", "deviation / L", "autocorrelation", *(f"steps: {names[r]}" for r in rules)]
    say(f":::{{dropdown}} Each of the {len(frame)} mixed operations\n{tables.markdown(headers, each)}\n:::")


def _steps(value: float) -> str:
    """A number of steps to two digits; `never` where there is none."""
    return f"{float(f'{value:.2g}'):,.0f}" if np.isfinite(value) else "never"


def summary(frame: pd.DataFrame) -> list[str]:
    """Of certificates and prunings by operation: pruned, of them certified by then, of them not, certified in all, edges decided."""
    pruned, certified = np.isfinite(frame["pruned"]), np.isfinite(frame["certified"])
    just = pruned & (frame["certified"] <= frame["pruned"])
    left = (~certified).groupby([frame["cell"], frame["edge"]], observed=True).sum()
    return [f"{pruned.sum()} of {len(frame)}", str(just.sum()), str((pruned & ~just).sum()), str(certified.sum()),
            f"{int((left <= 1).sum())} of {len(left)}"]  # fmt: skip


def finding() -> str:
    """How many prunings by threshold were of certified losers, in the searches that carry certificates, in a sentence; nothing of none."""
    runs = [run for run in load("certified").runs(runs_root(), "search") if run.parameters["prune_rule"] == "watched"]
    frames = [certificates(run) for run in runs]
    if not frames:
        return ""
    every = pd.concat(frames)
    pruned, just = np.isfinite(every["pruned"]), every["certified"] <= every["pruned"]
    earlier = (every["pruned"] - every["certified"])[pruned & just].median()
    return (
        f"Theorem C's rule watched {len(runs)} ASAP search{'es' * (len(runs) > 1)} on CIFAR-10 at the `cpu` scale. Of the {pruned.sum()} operations "
        f"that the threshold pruned, {(pruned & just).sum()} were certified losers by then, {earlier:.0f} epochs earlier in the median; "
        f"{(pruned & ~just).sum()} were not."
    )


HEADERS = [
    "pruned",
    "pruned and certified before",
    "pruned and not certified before",
    "certified in all",
    "edges with one operation not certified",
]


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
        f"Estimated from each epoch's means and deviations as if rewards were independent, for all operations of an edge at once (δ = {DELTA:g} an edge). For one edge of δ = {DELTA:g}, the limit "
        f"of any rule is kl(δ, 1 − δ) = {kl_binary(DELTA, 1 - DELTA):.2f} over the information of a step."
    )
    records({run.name: label for label, run in shown})


def searches() -> None:
    """The searches that carry their certificates: by threshold and by certificate, on the same seeds, and how their cells score."""
    study, rows, shown = load("certified"), [], []
    for label in dict.fromkeys(planned.label for planned in study.planned if planned.kind == "search"):
        runs = study.runs(runs_root(), "search", label)
        scores = results.arm(results.evaluations(), "certified", label).groupby("seed")["error"].mean()
        for run in runs:
            seed = run.parameters["seed"]
            score = f"{scores[seed]:.2f}" if seed in scores else "–"
            rows.append([label, str(seed), *summary(certificates(run)), f"{covariance(run):.2f}", score])
            shown.append((label, run))
    if left := study.left(runs_root()):
        missing(f"{len(left)} runs of the study `certified`", "asap study certified --jobs 1")
    if rows:
        say(tables.markdown(["search", "seed", *HEADERS, "second moments over those of independent rewards", "error of its cell, %"], rows))
        records({run.name: label for label, run in shown})
