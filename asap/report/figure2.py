"""Figure 2: annealing and pruning of a recorded search. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..records.parameters import runs_root
from ..records.run import Run
from . import cells, palette, results
from .claims_search import asap_searches
from .display import missing

COMMAND = "asap search --method asap --dataset cifar10 --scale cpu --seed 0 --study main"


def searches() -> pd.DataFrame:
    """The finished searches that Figures 2 to 5 show: plain ASAP on CIFAR-10, at the largest scale recorded, by seed."""
    return next(iter(asap_searches(runs_root()).values()), results.searches().iloc[:0])


def the_search(timed: bool = False) -> Run | None:
    """The search that is shown where one is shown: the first by seed; None, and a note on the page, where there is none.

    timed: prefer one whose steps were timed by a clock that other processes on the machine do not disturb.
    """
    found = searches()
    if not len(found):
        missing("a finished ASAP search on CIFAR-10", COMMAND)
        return None
    found = found.sort_values("clocked", ascending=False, kind="stable") if timed else found
    return results.record(found["run"].iloc[0])


def shade_grace(axes: Axes, epochs: pd.DataFrame) -> None:
    """Mark the epochs in which α did not learn."""
    grace = int((epochs["alpha_steps"] == 0).sum())
    if grace:
        axes.axvspan(0.5, grace + 0.5, color=palette.FAINT, alpha=0.18, lw=0)
        axes.text(grace / 2 + 0.5, 1.01, "grace", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=9)


def draw(run: Run, kind: str = "normal") -> Figure:
    """The temperature (Eq. 9), and Φ of the operations on one edge against θ, epoch by epoch."""
    epochs, architecture = run.epochs(), run.architecture()
    figure, (top, bottom) = palette.axes(heights=[1.5, 3.2])
    top.plot(epochs["epoch"], epochs["temperature"], color=palette.INK)
    top.set_ylabel("temperature T")
    top.set_ylim(0)
    top.sharex(bottom)
    shade_grace(top, epochs)
    cell = architecture[architecture["cell"] == kind]
    went = cell.groupby(["edge", "operation"], observed=True)["alive"].sum().groupby("edge").nunique()
    one = cell[cell["edge"] == went.idxmax()]  # on which operations went at the most different epochs, the first of several: it shows most
    for operation, trace in one.groupby("operation", observed=True):
        alive = trace[trace["alive"]]
        bottom.plot(alive["epoch"], alive["phi"], color=palette.colour(operation), label=str(operation).replace("_", " "))
        if len(alive) and alive["epoch"].max() < epochs["epoch"].max():
            bottom.plot(alive["epoch"].iloc[-1], alive["phi"].iloc[-1], "x", color=palette.colour(operation), ms=7, mew=2)
    line = epochs.set_index("epoch")["threshold"]
    bottom.step(line.index, line, where="mid", color=palette.INK, ls="--", lw=1, label="threshold θ")
    bottom.set_yscale("log")
    bottom.set_xlabel("epoch")
    source, target = one[["source", "target"]].iloc[0]
    bottom.set_ylabel(f"Φ on edge {cells.node_name(int(source))} → {cells.node_name(int(target))}")
    palette.legend_below(bottom)
    return figure


def snapshots(run: Run, kind: str = "normal") -> str:
    """HTML of the cell at four epochs: all operations, two thirds of them, one third, and the end."""
    frame = run.architecture()
    cell = frame[frame["cell"] == kind]
    counts = cell.groupby("epoch")["alive"].sum().to_numpy()  # at epochs 1, 2, …
    shown = [1, *(int(np.abs(counts - counts[0] * share).argmin()) + 1 for share in (2 / 3, 1 / 3)), len(counts)]
    drawn = [cells.mixture(cell[cell["epoch"] == e], f"epoch {e}: {counts[e - 1]} of {counts[0]} operations") for e in dict.fromkeys(shown)]
    return f'<div class="asap-cells">{"".join(drawn)}</div>{palette.operations_key(cell["operation"].unique())}'
