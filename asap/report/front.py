"""The front page: what was reproduced, at what scale, with what answer. Needs no torch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import DATASETS
from ..records.study import load
from . import palette, results, surrogate
from .claims import Judged
from .display import DASH, Markdown, each, rows_frame
from .verdicts import Verdict, labelled, one_copy

#: The claims that the front page shows, by how their statements begin.
KEY = (
    "The search converges to a single network",
    "Pruning during the search has no relaxation bias",
    "Gradual pruning decreases the search time",
    "The cells that ASAP finds are better than other cells",
    "The cells that ASAP finds are better than those of other searches",
    "The cell reaches 1.68 % error",
)
PAPER_RUN = "main/asap-cifar10-paper-seed0"
ASAP, EQ13 = "ASAP", "Pruning by Eq. 13"
#: The methods of the front page's figure, and the arms of the studies `methods` and `design` that they gather.
GROUPS = {
    "ASAP": ASAP, "DARTS": "DARTS", "DARTS, second order": "DARTS", "DARTS, without none": "DARTS",
    **{f"{name}, p = {p}": EQ13 for name in ("Accumulated gradient", "Magnitude") for p in (1, 3)},
    "ENAS": "ENAS", "Random search": "Random search",
}  # fmt: skip


def key_rows(found: Judged) -> pd.DataFrame:
    """The six claims that matter, each with its verdict, what was found, and from how many runs."""
    lines = []
    for beginning in KEY:
        claim, verdict = next(pair for pair in found if pair[0].statement.startswith(beginning))
        n = verdict.scale.partition("n = ")[2] or DASH
        lines.append([Markdown(f"[{claim.statement}]({claim.page}.md)"), Markdown(f"**{verdict.verdict}**"), n, verdict.told])
    return rows_frame(["the paper's claim", "here", "n", "what was found"], lines)


def verdict(found: Judged, key: str) -> Verdict:
    """The verdict on the claim whose statement begins so."""
    return next(verdict for claim, verdict in found if claim.statement.startswith(key))


def recorded() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The searches and evaluations at the cpu scale, on the paper's data sets."""
    searches, evaluations = (f[(f["scale"] == "cpu") & f["dataset"].isin(DATASETS)] for f in (results.searches(), results.evaluations()))
    return searches, evaluations


def other_copy(frame: pd.DataFrame, verdict: Verdict) -> str:
    """Where a verdict stands on another copy of the images than the figure, that it does, in a sentence; frame: of `ends`."""
    pilot = frame["variant"].str.contains("-jpeg").any()
    other = "later searches, on the lossless copy of the images" if pilot else "the pilot"
    return "" if pilot == (", pilot" in verdict.scale) else f" The verdicts above stand on {other}."


def paper_search() -> str:
    """What is recorded of the search at the paper's scale, in a sentence; it counts only when it has ended."""
    for row in each(results.searches().query("run == @PAPER_RUN")):
        lost = row.accuracy - row.one_operation
        cut = f"; the cut to one operation an edge costs {lost:.1f} points" if lost == lost else ""
        edges = f"{row.undecided} of {row.edges} edges undecided{cut}"
        return f"One search at the paper's own scale has ended after {row.epochs_run:.0f} epochs with {edges}."
    for row in each(results.unfinished().query("run == @PAPER_RUN")):
        epochs = f"{row.epochs_run} of {row.epochs} epochs"
        said = f"failed after {epochs}" if row.status == "failed" else f"has not ended: {epochs} are recorded"
        counted = "nothing of it is counted. A search of the paper's size may end otherwise than small ones."
        return f"One search at the paper's own scale {said}; {counted}"
    return "A search at the paper's own scale has no finished record yet; it may end otherwise than small ones."


def design_sentence() -> str:
    """How much of the comparison fixed before its runs is recorded."""
    of = Counter(p.kind for p in load("design").planned)
    searches, evaluations = (len(results.arm(frame, "design")) for frame in (results.searches(), results.evaluations()))
    second = len(results.arm(results.searches(), "design2"))
    more = f"; searches of its second look: {second}" * bool(second)
    return f"{searches} of {of['search']} searches, {evaluations} of {of['evaluation']} evaluations{more}"


def scored() -> dict[str, pd.DataFrame]:
    """The `surrogate.scores` of those in the figure, by group."""
    frame = surrogate.scores().merge(ends()[["run", "group"]], left_on="cell", right_on="run").dropna(subset="score")
    return {str(group): rows for group, rows in frame.groupby("group")}


def ends() -> pd.DataFrame:
    """The searches at the cpu scale on one copy of CIFAR-10, with the `group` of the figure; ASAP's by any reading of the paper."""
    frame = labelled(recorded()[0])
    group = frame["label"].map(GROUPS).mask(frame["arm_sensitivity"] != "", ASAP)
    return one_copy(frame.assign(group=group).dropna(subset="group"), "group")


def draw() -> Figure:
    """The answer: what a method's searches hold at the end, and what is left of it after the cuts. A row a method, a mark a search."""
    frame = ends()
    groups = [g for g in dict.fromkeys(GROUPS.values()) if g in set(frame["group"])]
    figure, (axes,) = palette.axes(height=0.5 + 0.75 * len(groups))
    names = {"accuracy": "mixture, at the end of the search", "one_operation": "one operation an edge", "derived": "derived cell, 8 edges"}
    for y, group in enumerate(groups):
        runs, colour = frame[frame["group"] == group], palette.look({EQ13: "Magnitude, p = 1"}.get(group, group)).colour
        cut = runs.dropna(subset="derived")
        axes.hlines([y] * len(cut), cut["derived"], cut["accuracy"], color=colour, lw=0.6, alpha=0.5)
        for height, marker, (name, label) in zip((-0.14, 0, 0.14), "oDs", names.items(), strict=True):
            axes.plot(runs[name], np.full(len(runs), y + height), marker, color=colour, ms=5.5, ls="none",
                      mfc=colour if name == "accuracy" else palette.PAPER, label=label if y == 0 else None)  # fmt: skip
        least, most = runs["undecided"].min(), runs["undecided"].max()
        undecided = f"{least if least == most else f'{least} to {most}'} of {runs['edges'].iloc[0]} edges undecided"
        undecided += f"; cuts measured in {len(cut)} of {len(runs)}" * (len(cut) < len(runs))
        said = "a cell is drawn for each step" if group in ("ENAS", "Random search") else undecided
        axes.text(1.0, y - 0.32, said, transform=axes.get_yaxis_transform(), ha="right", fontsize=9)
    axes.set_yticks(range(len(groups)), [f"{g}\n(n = {(frame['group'] == g).sum()})" for g in groups])
    axes.set_ylim(len(groups) - 0.5, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("validation accuracy with the supernet's weights, %")
    palette.legend_below(axes)
    return figure
