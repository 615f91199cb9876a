"""Figure 6: validation accuracy along the search, with the drop of the hard cut. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import palette, results, verdicts
from .display import DASH, counted, each, rows_frame, spread
from .inference import number
from .methods_study import TRAINED_ON, panels


def draw_seeds(axes: Axes, every: pd.DataFrame, runs: Sequence[str], column: str, factor: float, label: str) -> None:
    """A column of the epochs of some runs against scaled time: a thin line a seed, a thick one their mean."""
    grid = np.linspace(0, 1, 201)
    look, lines = palette.look(label), []
    for run in runs:
        epochs = every[every["run"] == run]
        if len(runs) > 1:
            axes.plot(epochs["time"], factor * epochs[column], color=look.colour, lw=0.6, alpha=0.55)
        lines.append(np.interp(grid, epochs["time"], factor * epochs[column], left=np.nan))
    axes.plot(
        grid, np.mean(lines, axis=0), color=look.colour, ls=look.dashes, marker=look.marker, ms=4.5, mfc=palette.PAPER,
        markevery=(20, 40), label=f"{label} ({len(runs)})",
    )  # fmt: skip


def draw(arms: dict[str, pd.DataFrame], epochs: pd.DataFrame | None = None, behind: pd.DataFrame | None = None) -> Figure:
    """Accuracy against scaled time, an axes a panel; at the end the derived cell's, where every search that ends undecided has it.

    arms: the searches of each; epochs: theirs; behind: others' courses (runs/scores/others.csv), in grey, the median of each method's.
    """
    epochs = results.epochs() if epochs is None else epochs
    shown = panels(arms)
    figure, axes = palette.axes(len(shown), 3.4)
    for source, courses in () if behind is None else behind.groupby("source"):
        for dashes, (method, course) in zip(("-", "--", ":"), courses.groupby("method", sort=False), strict=False):
            label = f"{method}, full scale ({course['searches'].iloc[0]}, {source})"
            axes[0].plot(
                course["time"], course["accuracy"], color=palette.GREY, ls=dashes, lw=2.2 if source == "NASLib" else 1, label=label
            )
    for ax, panel in zip(axes, shown, strict=True):
        every = pd.concat(panel.values())
        cut = every.loc[every["undecided"] > 0, "derived"].notna().all()
        for label, runs in panel.items():
            colour = palette.look(label).colour
            draw_seeds(ax, epochs, list(runs["run"]), "validation_accuracy", 100, label)
            for row in each(runs):
                if cut and not np.isnan(row.derived):
                    ax.plot([1, 1.03], [row.accuracy, row.derived], color=colour, lw=1, ls=":")
                    ax.plot(1.03, row.derived, "s", color=colour, mfc=palette.PAPER, ms=6)
        ax.set_ylabel("validation accuracy, %")
        ax.set_ylim(0)
        ax.set_xlabel("time, scaled to [0, 1]")
        palette.legend_below(ax)
    return figure


def rows(arms: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each method's searches end in, with the accuracy's largest falls."""
    headers = ["method", "n", "mixture, at the end, %", "largest fall in an epoch that prunes, points",
               "largest fall in an epoch without pruning, points",
               "one operation an edge, %", "derived cell, %", "drop to the derived cell, points"]  # fmt: skip
    every, lines = results.epochs().dropna(subset="fall"), []
    for label, runs in arms.items():
        largest = every[every["run"].isin(runs["run"])].groupby("pruned")["fall"].max()
        cuts = (runs["one_operation"], runs["derived"], runs["accuracy"] - runs["derived"])
        lines.append([
            label, str(len(runs)), spread(runs["accuracy"], 1), *(f"{largest[p]:.1f}" if p in largest else DASH for p in (True, False)),
            *((spread if values.notna().all() else counted)(values, 1) for values in cuts),  # how many, where some did not measure it
        ])  # fmt: skip
    return rows_frame(headers, lines)


def recovery() -> str:
    """How the accuracy of searches by Eq. 13 that are trained on recovers from their last pruning, in Markdown; nothing without one."""
    runs, every = results.arm(results.searches(), TRAINED_ON), results.epochs().set_index("run")
    said = []
    for row in each(runs):
        epochs = 100 * every.loc[row.run, "validation_accuracy"].to_numpy()
        last = int(np.flatnonzero(every.loc[row.run, "pruned"])[-1])
        said.append(
            f"{epochs[last - 1]:.1f} % before its last pruning, {epochs[last]:.1f} % just after it, and {epochs[-1]:.1f} % after "
            f"{len(epochs) - 1 - last} epochs more of training w; its derived cell has {number(row.derived, 1)} %"
        )
    found = "; ".join(said)
    return f"**Pruning by Eq. 13, then training on** (n = {len(runs)}). The validation accuracy was {found}." if said else ""


def at_epoch_end(shown: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The searches by ASAP that prune at an epoch's end, on the copy of the images of those shown; none where there is none."""
    frame = verdicts.labelled(results.searches().query("scale == 'cpu'")).query("label == @verdicts.LIKE_FOR_LIKE")
    alike = frame[frame["copy"].isin({copy for runs in shown.values() for copy in runs["copy"]})]
    return {verdicts.AT_EPOCH_END: alike} if len(alike) else {}


def older_cuts(*shown: Mapping[str, pd.DataFrame]) -> str:
    """How many searches measured their cut with BatchNorm's statistics of images as they are, so that it is left out, in a sentence."""
    searches = pd.concat([runs for arms in shown for runs in arms.values()])
    older = searches[searches["cut_images"] == "as they are"]
    if not len(older):
        return ""
    return (
        f"In {len(older)} of the {len(searches)} searches BatchNorm was averaged over the training half without augmentation before the "
        "cut was measured. Without a crop's black border in its statistics "
        "the supernet is less accurate, so those measurements are left out."
    )
