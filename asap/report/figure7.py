"""Figure 7: the normalised entropy of normal and reduction cells along the search. Needs no torch."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from . import palette, results, verdicts
from .cells import NAMES
from .claims_search import asap_searches, spelt_range
from .display import each, rows_frame
from .figure6 import draw_seeds
from .methods_study import THEOREM, copies, panels

#: The least that bounded logits (±0.44, three of the seven at the top) let the normalised entropy of ENAS' operations be.
ENAS_FLOOR = 0.9518


def searches() -> list[dict[str, pd.DataFrame]]:
    """The searches of the studies by arm, of each copy of the images; after them those of ASAP at the paper's scale."""
    found = {next(iter(arms.values()))["copy"].iloc[0]: arms for arms in copies()}
    if (paper := asap_searches(runs_root()).get("paper")) is not None:
        found.setdefault(paper["copy"].iloc[0], {})["ASAP, paper scale"] = paper
    return list(found.values())


def draw(arms: dict[str, pd.DataFrame], epochs: pd.DataFrame | None = None) -> Figure:
    """Entropy against scaled time, an axes a panel and cell kind. arms: the searches of each; epochs: theirs."""
    epochs = results.epochs() if epochs is None else epochs
    shown = [(panel, kind) for panel in panels(arms) for kind in NAMES]
    figure, axes = palette.axes(len(shown), 3.0)
    for ax, (panel, kind) in zip(axes, shown, strict=True):
        for label, runs in panel.items():
            draw_seeds(ax, epochs, list(runs["run"]), f"entropy_{kind}", 1, label)
        ax.set_title(NAMES[kind])
        ax.set_ylim(-0.02, 1.05)
        ax.set_ylabel("normalised entropy")
        if kind == "reduce":
            ax.set_xlabel("time, scaled to [0, 1]")
            palette.legend_below(ax)
    return figure


def rows(arms: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Each search's entropy at the end, and whether it ended with one operation an edge. arms: the searches of each."""
    return rows_frame(
        ["method", "seed", "normal cell, at the end", "reduction cell", "one operation an edge"],
        [
            [label, str(row.seed), f"{row.entropy_normal:.3f}", f"{row.entropy_reduce:.3f}",
             "yes" if row.decided else f"no: {row.undecided} edges undecided"]
            for label, runs in arms.items() for row in each(runs)
        ],
    )  # fmt: skip


def theorem_sentence(arms: dict[str, pd.DataFrame]) -> str:
    """What the searches by Theorem 2's schedule end in; nothing without one."""
    if THEOREM not in arms:
        return ""
    runs = arms[THEOREM]
    entropy, undecided = float(runs[["entropy_normal", "entropy_reduce"]].to_numpy().max()), spelt_range(runs["undecided"])
    said = f"By Theorem 2's schedule (n = {len(runs)}) the entropy ends at {'' if entropy < 0.0005 else 'most '}{entropy:.3f} in both cells"
    said += f", with {undecided} of {runs['edges'].iloc[0]} edges undecided."
    decisive = entropy < 0.0005 and runs["undecided"].min() > 0
    return said + " Φ is 1 on one operation of each edge, but the threshold is too small to remove the others." * bool(decisive)


def schedule_rows() -> pd.DataFrame:
    """What Theorem 2's schedule does to a search, beside ASAP's own (3.2), from the first epoch in which α learns to the last."""
    lines = []
    for label, runs in verdicts.arms(None, ["ASAP"], [THEOREM]).items():
        for row in each(runs):
            epochs = results.epochs(run=row.run)
            learning = epochs[epochs["alpha_steps"] > 0]
            first, last = learning.iloc[0], learning.iloc[-1]
            kept, of = leaders_kept(results.record(row.run).architecture(), int(first["epoch"]))
            temperatures, entropies = (f"{first[c]:{f}} to {last[c]:{f}}" for c, f in (("temperature", ".2g"), ("entropy", ".3f")))
            pruned = f"{int(first['left'] - last['left'])} of {int(first['left'])}"
            lines.append([label, str(row.seed), temperatures, entropies, pruned, f"{kept} of {of}", f"{row.accuracy:.1f}"])
    headers = ["search", "seed", "T", "normalised entropy", "operations pruned", "edges that keep their leader", "validation accuracy, %"]
    return rows_frame(headers, lines)


def leaders_kept(architecture: pd.DataFrame, first: int) -> tuple[int, int]:
    """On how many mixed operations, of how many, the operation of the largest Φ after an epoch has it at the end."""
    ends = architecture[architecture["epoch"].isin((first, architecture["epoch"].max()))].sort_values("phi")
    leader = ends.groupby(["cell", "edge", "epoch"], observed=True)["operation"].last().unstack()
    return int((leader[leader.columns[0]] == leader[leader.columns[-1]]).sum()), len(leader)
