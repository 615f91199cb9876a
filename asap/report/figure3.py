"""Figure 3: the duration of each epoch relative to the longest, and the fraction of connections left. Needs no torch."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..records.run import Run
from . import palette, results
from .display import rows_frame
from .figure2 import shade_grace

CLOCKS = {"process": "CPU time", "events": "GPU time", "wall": "wall-clock time, other processes on the machine included"}


def clock(run: Run) -> str:
    """What the steps of a search were timed by, in words."""
    return CLOCKS[run.info["machine"].get("clock", "wall")]


def draw(epochs: pd.DataFrame) -> Figure:
    """epochs: of one search, as `results.epochs` has them."""
    figure, (axes,) = palette.axes(height=3.2)
    seconds = epochs["steps_seconds"]
    axes.plot(epochs["epoch"], seconds / seconds.max(), "o-", ms=4, color=palette.BLUE, label="epoch duration, relative to the longest")
    axes.plot(epochs["epoch"], epochs["density"], "s--", ms=4, color=palette.ORANGE, label="fraction of connections left")
    shade_grace(axes, epochs)
    axes.set_ylim(0, 1.06)
    axes.set_xlabel("epoch")
    palette.legend_below(axes)
    return figure


def rows(run: Run) -> pd.DataFrame:
    """The paper's words on Figure 3 beside the search's numbers."""
    epochs = results.epochs(run=run.name)
    seconds, left = epochs["steps_seconds"], epochs["left"]
    learning = seconds[epochs["alpha_steps"] > 0]
    return rows_frame(
        ["", "paper", "ours"],
        [
            ["grace epochs", "5", str(int((epochs["alpha_steps"] == 0).sum()))],
            ["epochs", "at most 50", str(len(epochs))],
            ["first epoch with α, s", "–", f"{learning.iloc[0]:.1f}"],
            ["last epoch, s", "–", f"{learning.iloc[-1]:.1f}"],
            ["last over longest", "“a significant decrease”", f"{seconds.iloc[-1] / seconds.max():.2f}"],
            ["connections left", "one an edge", f"{left.iloc[-1]} of {left.max()}"],
        ],
    )
