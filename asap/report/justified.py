"""The page "Which prunings were justified?": what Theorem C certifies in recorded searches, from their own records. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..paper import space
from ..records.run import Run
from . import palette, results, surrogate
from .cells import node_name
from .certificates import DELTA, certificates, covariance, replay
from .display import each, rows_frame
from .inference import number, pair
from .theory import COMPARED, NAMES

#: The searches without a certificate of their own that are replayed, by their arms of the study `methods`.
REPLAYED = ("ASAP", "ASAP, annealing without pruning", "DARTS")
THRESHOLD, CERTIFICATE = "ASAP, by its threshold", "ASAP, by certificate"
RULES = {"limit": "limit of any rule", **{rule: NAMES[rule] for rule in COMPARED}}
MEASURES = {
    "bound": "L, the largest α gradient in size", "gap": "gap / L", "standard_error": "standard error of the gap / L",
    "deviation": "deviation / L", "autocorrelation": "autocorrelation at lag 1",
}  # fmt: skip
COUNTS = (
    "pruned", "pruned and certified before", "pruned and not certified before", "certified in all",
    "edges with at most one operation not certified",
)  # fmt: skip


def searches(study: str, *arms: str) -> list[tuple[str, Run]]:
    """The finished searches of a study's arms, or of all its arms, each with its arm."""
    return [(getattr(row, f"arm_{study}"), results.record(row.run)) for row in each(results.arm(results.searches(), study, *arms))]


def counts(frame: pd.DataFrame) -> list[str]:
    """The `COUNTS` of the certificates and prunings of a search (a frame of `certificates`)."""
    pruned, certified = np.isfinite(frame["pruned"]), np.isfinite(frame["certified"])
    before = pruned & (frame["certified"] <= frame["pruned"])
    left = (~certified).groupby([frame["cell"], frame["edge"]], observed=True).sum()
    return [f"{pruned.sum()} of {len(frame)}", str(before.sum()), str((pruned & ~before).sum()), str(certified.sum()),
            f"{int((left <= 1).sum())} of {len(left)}"]  # fmt: skip


def estimate_rows() -> pd.DataFrame:
    """What Theorem C would have certified in searches that were recorded without it, from their epochs' statistics."""
    return rows_frame(["search", "seed", "α steps", *COUNTS], [
        [arm, str(run.parameters["seed"]), f"{int(run.epochs()['alpha_steps'].sum()):,}", *counts(replay(run))]
        for arm, run in searches("methods", *REPLAYED)
    ])  # fmt: skip


def certificate_rows() -> pd.DataFrame:
    """The searches that carry their certificates: by threshold and by certificate, on the same seeds, and how their cells err."""
    errors = results.evaluations().groupby(["arm_certified", "seed"])["error"].mean()
    scores = surrogate.scores().set_index("cell")["score"]
    headers = ["search", "seed", *COUNTS, "second moments over those of independent rewards", "score of its cell", "error of its cell, %"]
    return rows_frame(headers, [
        [arm, str(seed := run.parameters["seed"]), *counts(certificates(run)), f"{covariance(run):.2f}",
         number(scores.get(run.name, float("nan"))), number(errors.get((arm, seed), float("nan")))]
        for arm, run in searches("certified")
    ])  # fmt: skip


def reversed_certificates() -> str:
    """On how many edges the searches that were watched end with a certified operation in front, in a sentence; nothing without one."""
    edges, front, kept = 0, 0, 0
    for run in (run for _, run in searches("certified", THRESHOLD)):
        frame, genotype = run.architecture(), run.genotype()
        last = frame[(frame["epoch"] == frame["epoch"].max()) & frame["alive"]]
        leaders = last.loc[last.groupby(["cell", "edge"], observed=True)["phi"].idxmax()]
        certified = leaders[np.isfinite(leaders["certified_step"])]
        edges, front = edges + len(leaders), front + len(certified)
        kept += sum((row.source, row.target) in {(e.source, e.target) for e in genotype.cell(row.cell)} for row in each(certified))
    said = f"On {front} of {edges} edges an operation that had been certified a loser has the largest Φ at the end; {kept} of these are"
    said += f" in the derived cell. At δ = {DELTA:g} an edge, false certificates on up to {DELTA * edges:.0f} edges can be expected."
    return said if front else ""


def score_difference() -> str:
    """Whether the cells by certificate and by threshold differ in score, on the same seeds, in a sentence; nothing without a pair."""
    scores = surrogate.scores().set_index("cell")["score"]
    frame = results.searches().assign(score=lambda frame: frame["run"].map(scores).astype(float)).set_index("seed")
    certificate, threshold = (frame.loc[frame["arm_certified"] == arm, "score"] for arm in (CERTIFICATE, THRESHOLD))
    test = pair(certificate, threshold)
    said = f"The score of ASAP's cell by certificate minus that by its threshold, paired by seed (n = {test.n})"
    shown = f"; so many pairs show {test.detectable():.1f} points with a probability of 80 %" if test.testable else ""
    return f"{said}: {test.text()}{shown}." if test.n else ""


def watched() -> pd.DataFrame:
    """The operations that the threshold pruned in searches that recorded certificates: run, certified, pruned (epochs; inf: never)."""
    every = [certificates(run).assign(run=run.name) for _, run in searches("certified") if run.parameters["prune_rule"] == "watched"]
    frame = pd.concat(every) if every else pd.DataFrame(columns=["run", "certified", "pruned"], dtype=float)
    return frame[np.isfinite(frame["pruned"])]


def watched_sentence() -> str:
    """How many of the operations that the threshold pruned were certified before, in a sentence; nothing where none was pruned."""
    pruned = watched()
    before = pruned[pruned["certified"] <= pruned["pruned"]]
    earlier = f", {(before['pruned'] - before['certified']).median():.0f} epochs earlier in the median" if len(before) else ""
    said = f"The threshold pruned {len(pruned)} operations in the ASAP searches that Theorem C's rule watched (n = "
    said += f"{pruned['run'].nunique()}; CIFAR-10, scale `cpu`). {len(before)} of them were certified losers by then{earlier}."
    return said if len(pruned) else ""


def draw(frame: pd.DataFrame) -> Figure:
    """The share of mixed operations that each rule would have decided, by α steps. frame: of `certificates.edges`."""
    figure, (axes,) = palette.axes(1, 3.6)
    share = np.arange(1, len(frame) + 1) / len(frame)
    for (rule, name), dashes in zip(RULES.items(), ("--", "-", "-.", ":", (0, (5, 1, 1, 1, 1, 1))), strict=True):
        axes.semilogx(np.sort(frame[rule]), share, drawstyle="steps-post", label=name, ls=dashes)
    budget = frame["budget"].iloc[0]
    axes.axvline(budget, color=palette.INK, lw=1)
    axes.annotate(f"the search: {budget:,} steps", (budget, 1.0), xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel="predicted α steps until the best is told from the second", ylabel="share of the mixed operations")
    palette.legend_below(axes)
    return figure


def rule_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """On how many mixed operations each rule would have decided within the search. frame: of `certificates.edges`."""
    budget = frame["budget"].iloc[0]
    return rows_frame(["rule", f"edges decided within {budget:,} steps", "median steps"], [
        [name, f"{(frame[rule] <= budget).sum()} of {len(frame)}", f"{frame[rule].median():,.0f}"] for rule, name in RULES.items()
    ])  # fmt: skip


def measure_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The quartiles of the gradients' measures over the mixed operations. frame: of `certificates.edges`."""
    quartiles = frame[list(MEASURES)].quantile([0.25, 0.5, 0.75])
    headers = ["over the mixed operations", "lower quartile", "median", "upper quartile"]
    return rows_frame(headers, [[text, *(f"{v:.3g}" for v in quartiles[key])] for key, text in MEASURES.items()])


def edge_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Each mixed operation: the measures of its gradients, and the steps of each rule. frame: of `certificates.edges`."""
    names = [f"{node_name(source)} → {node_name(target)}" for source, target in space.edges()]
    headers = ["cell", "edge", "L", "gap / L", "standard error", "deviation / L", "autocorrelation"]
    return rows_frame([*headers, *(f"steps: {name}" for name in RULES.values())], [
        [str(r.cell), names[int(r.edge)], f"{r.bound:.3g}", f"{r.gap:.3g}", f"{r.standard_error:.2g}", f"{r.deviation:.3g}",
         f"{r.autocorrelation:.2f}", *(f"{float(f'{v:.2g}'):,.0f}" if np.isfinite(v := getattr(r, rule)) else "never" for rule in RULES)]
        for r in each(frame)
    ])  # fmt: skip
