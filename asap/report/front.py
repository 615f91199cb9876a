"""The front page: what was reproduced, at what scale, with what answer. Needs no torch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import DATASETS, Common, EvaluationParameters, SearchParameters, make
from ..records.study import load
from . import palette, results
from .claims import Judged
from .display import DASH, Markdown, each, escape, rows_frame, spread
from .verdicts import one_copy

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
    "ASAP": ASAP, "ASAP, pruning at an epoch's end": ASAP, "DARTS": "DARTS", "DARTS, second order": "DARTS", "DARTS, without none": "DARTS",
    **{f"{name}, p = {p}": EQ13 for name in ("Accumulated gradient", "Magnitude") for p in (1, 3)},
    "ENAS": "ENAS", "Random search": "Random search",
}  # fmt: skip


def key_rows(found: Judged) -> pd.DataFrame:
    """The six claims that matter, each with its verdict, what was found, and from how many runs."""
    lines = []
    for beginning in KEY:
        claim, verdict = next(pair for pair in found if pair[0].statement.startswith(beginning))
        n = verdict.scale.partition("n = ")[2] or DASH
        lines.append([Markdown(f"[{claim.statement}]({claim.page}.md)"), Markdown(f"**{verdict.verdict}**"), n, verdict.ours])
    return rows_frame(["the paper's claim", "here", "n", "what was found"], lines)


def scale_rows() -> pd.DataFrame:
    """Six rows: the paper's experiments beside those recorded here."""
    searches, evaluations = recorded()
    data = "; ".join(f"{kind}: {_data(frame)}" for kind, frame in (("searches", searches), ("evaluations", evaluations)))
    devices = sorted({*searches["processor"], *evaluations["processor"]} - {""})
    kinds: tuple[tuple[type[Common], dict[str, Any]], ...] = ((SearchParameters, {}), (EvaluationParameters, {"cell": "ASAP"}))
    made = {s: [make(kind, {"scale": s, "dataset": "cifar10", **more}).identity() for kind, more in kinds] for s in ("paper", "cpu")}

    def both(name: str) -> list[str]:
        return [f"{search[name]:,} (search), {evaluation[name]:,} (evaluation)" for search, evaluation in made.values()]

    half = f"{made['cpu'][0]['images'] // 2:,}"
    return rows_frame(["", "the paper", "here"], [
        ["cells", *both("layers")],
        ["channels", *both("channels")],
        ["training images", *(f"{n} + {n} (search), 50,000 (evaluation)" for n in ("25,000", half))],
        ["epochs", *both("epochs")],
        ["data", "CIFAR-10 (search), and six further sets (evaluation)", data],
        ["device", "a GTX 1080 Ti GPU", f"one CPU core ({', '.join(devices)})"],
    ])  # fmt: skip


def _data(runs: pd.DataFrame) -> str:
    """The data sets of some runs, by the copy of their images, each with how many: `22 on a JPEG copy of CIFAR-10, 1 on CIFAR-10`."""
    names = {"cifar10": "CIFAR-10", "cifar10-jpeg75": "a JPEG copy of CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
    return ", ".join(f"{n} on {names.get(str(variant), variant)}" for variant, n in runs["variant"].value_counts().items()) or "none"


def recorded() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The searches and evaluations at the cpu scale, on the paper's data sets."""
    searches, evaluations = (f[(f["scale"] == "cpu") & f["dataset"].isin(DATASETS)] for f in (results.searches(), results.evaluations()))
    return searches, evaluations


def paper_search() -> str:
    """What is recorded of the search at the paper's scale, in a sentence; it counts only when it has ended."""
    for row in each(results.searches().query("run == @PAPER_RUN")):
        edges = f"{row.undecided} of {row.edges} edges undecided"
        return f"One search at the paper's own scale has ended after {row.epochs_run:.0f} epochs with {edges}."
    for row in each(results.unfinished().query("run == @PAPER_RUN")):
        epoch = row.epochs_run + 1
        return f"One search at the paper's own scale is {escape(row.status)}, in epoch {epoch} of 50; nothing of it is counted yet."
    return "A search at the paper's own scale has no finished record yet."


def design_sentence() -> str:
    """How much of the comparison fixed before its runs is recorded."""
    of = Counter(p.kind for p in load("design").planned)
    searches, evaluations = (len(results.arm(frame, "design")) for frame in (results.searches(), results.evaluations()))
    return f"{searches} of {of['search']} searches, {evaluations} of {of['evaluation']} evaluations"


def ends() -> pd.DataFrame:
    """The searches on CIFAR-10 at the cpu scale, of one copy of the images, with the `group` of the front page's figure; ASAP's by any
    reading of the paper."""
    frame, _ = recorded()
    label = frame["arm_methods"].where(frame["arm_methods"] != "", frame["arm_design"])
    readings = (frame["arm_sensitivity"] != "") & (label == "")
    return one_copy(frame.assign(group=label.map(GROUPS).mask(readings, ASAP)).dropna(subset="group"), "group")


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
        said = "a cell is drawn for each step" if group in ("ENAS", "Random search") else undecided
        axes.text(1.0, y - 0.32, said, transform=axes.get_yaxis_transform(), ha="right", fontsize=9)
    axes.set_yticks(range(len(groups)), [f"{g}\n(n = {(frame['group'] == g).sum()})" for g in groups])
    axes.set_ylim(len(groups) - 0.5, -0.6)
    axes.set_xlim(0, 85)
    axes.set_xlabel("validation accuracy with the supernet's weights, %")
    palette.legend_below(axes)
    return figure


def numbers() -> dict[str, Any]:
    """What the abstract says of the searches, as the records stand."""
    frame = ends()
    asap = frame[frame["group"] == ASAP]
    with_cut = asap.dropna(subset="one_operation")
    return {
        **dict(zip(("searches", "evaluations"), map(len, recorded()), strict=True)),
        "ended": int((asap["undecided"] == 0).sum()),
        "asap": len(asap),
        "readings": ", by several readings of the paper," if (asap["arm_sensitivity"] != "").any() else "",
        "undecided": f"{asap['undecided'].min()} to {asap['undecided'].max()}" if len(asap) else DASH,
        "edges": 28,
        "cut": spread(with_cut["accuracy"] - with_cut["one_operation"], 0),
        "derived": spread(with_cut["accuracy"] - with_cut["derived"], 0),
        "cut_n": len(with_cut),
    }
