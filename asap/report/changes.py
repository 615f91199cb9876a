"""How often the chosen cell changes from one epoch of a search to the next, here and in others' searches at full scale. Needs no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..paper.space import CELL_KINDS, Genotype, edges, genotype_by_rule
from ..score.others import changed_edges
from . import palette, results, verdicts
from .display import DASH, rows_frame

#: The methods that have a chosen cell in every epoch, and all of their arms that are drawn.
ARMS = ("ASAP", "DARTS", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3", "Magnitude, p = 1", "Magnitude, p = 3")


def chosen_cells(architecture: pd.DataFrame) -> list[Genotype]:
    """The cell that a search would have ended in after each of its epochs.

    architecture: of a search (`Run.architecture`). On each edge the operation with the largest Φ but `none`; per node the two edges whose
    Φ of it was largest before the edge's last pruning (the rule of every recorded search), which is told to the epoch.
    """
    operations, cells = architecture["operation"].drop_duplicates().tolist(), []
    shape = (len(CELL_KINDS), len(edges()), len(operations))
    held = np.empty(shape)  # Φ when an edge was last undecided
    for _, epoch in architecture.groupby("epoch"):
        phi, alive = (epoch[name].to_numpy().reshape(shape) for name in ("phi", "alive"))
        decided = alive.sum(-1) == 1
        held[~decided] = phi[~decided]
        survivor = np.take_along_axis(held, phi.argmax(-1)[..., None], -1)[..., 0]
        of, before = (dict(zip(CELL_KINDS, values, strict=True)) for values in (phi, np.where(decided, survivor, np.nan)))
        cells.append(genotype_by_rule("phi_before_last_pruning", operations, of, of, before))
    return cells


def courses(root: Path | None = None) -> pd.DataFrame:
    """A row a search and epoch, from the second on: label, run, epoch, time, changed_edges. Searches at the cpu scale, of one copy."""
    parts = []
    for label, rows in verdicts.arms(root, *([label] for label in ARMS)).items():
        for run in rows["run"]:
            moved = changed_edges(chosen_cells(results.record(run, root).architecture()))
            epoch = np.arange(2, len(moved) + 2)
            parts.append(pd.DataFrame({"label": label, "run": run, "epoch": epoch, "time": epoch / epoch[-1], "changed_edges": moved}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["label", "run", "epoch", "time", "changed_edges"])


def rows(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """By method: searches, the share of epochs in which the chosen cell changed, and edges changed an epoch, in each half of the search."""

    def halves(time: pd.Series, values: pd.Series, factor: float = 1, digits: int = 2, unit: str = "") -> list[str]:
        means = (values[time <= 0.5].mean(), values[time > 0.5].mean())
        return [DASH if np.isnan(mean) else f"{factor * mean:.{digits}f}{unit}" for mean in means]

    lines = []
    for label, frame in ours.groupby("label", sort=False):
        moved = frame["changed_edges"]
        share = halves(frame["time"], (moved > 0).astype(float), 100, 0, " %")
        lines.append([str(label), "here", str(frame["run"].nunique()), *share, *halves(frame["time"], moved)])
    for (source, name), frame in theirs.dropna(subset="changed").groupby(["source", "method"], sort=False):
        share = halves(frame["time"], frame["changed"], 100, 0, " %")
        lines.append([str(name), str(source), str(frame["searches"].iloc[0]), *share, *halves(frame["time"], frame["changed_edges"])])
    headers = [f"{what}, {half} half" for what in ("epochs with another cell", "edges changed an epoch, of 16") for half in ("1st", "2nd")]
    return rows_frame(["method", "searches by", "n", *headers], lines)


def draw(ours: pd.DataFrame, theirs: pd.DataFrame) -> Figure:
    """Edges of the chosen cell that changed in an epoch, against scaled time: means of a method over five epochs; others' in grey."""
    figure, (ax,) = palette.axes(1, 3.6)
    known = theirs.dropna(subset="changed_edges")
    for dashes, ((source, method), frame) in zip(("-", "--", ":"), known.groupby(["source", "method"], sort=False), strict=False):
        label = f"{method} ({frame['searches'].iloc[0]}, {source})"
        ax.plot(frame["time"], frame["changed_edges"], color=palette.GREY, ls=dashes, lw=2.2, label=label)
    grid = np.linspace(0.04, 1, 49)
    for name, frame in ours.groupby("label", sort=False):
        look, runs = palette.look(str(name)), [run for _, run in frame.groupby("run")]
        smooth = [np.interp(grid, r["time"], r["changed_edges"].rolling(5, min_periods=1, center=True).mean()) for r in runs]
        ax.plot(grid, np.mean(smooth, axis=0), color=look.colour, ls=look.dashes, lw=1.2, label=f"{name} ({len(smooth)})")
    ax.set(xlabel="time, scaled to [0, 1]", ylabel="edges changed in an epoch, of 16")
    ax.set_ylim(0)
    palette.legend_below(ax)
    return figure
