"""Figure 6: validation accuracy along the search, with the drop of the hard cut. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..records.run import Run
from ..records.study import load
from . import palette, results, verdicts
from . import rows as rows_of
from .display import DASH, each, rows_frame, spread

STUDY, TRAINED_ON = "methods", "ends"
THEOREM = "ASAP, Theorem 2's schedule"
AT_EPOCH_END = "ASAP, pruning at an epoch's end"
#: The arms that the paper's Figures 6 and 7 show; the study's others are drawn beside them.
PRINTED = ("ENAS", "DARTS", "ASAP", "Accumulated gradient, p = 1", "Accumulated gradient, p = 3")


def labels() -> list[str]:
    """The arms of both studies."""
    return [label for study in (STUDY, TRAINED_ON) for label in load(study).labels]


def found(kind: str) -> dict[str, pd.DataFrame]:
    """The finished runs, searches or evaluations, of the arms of both studies, by arm, in order; those of the design count as theirs."""
    return verdicts.arms(None, *([label] for label in labels()), kind=kind)


def elsewhere(arms: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The searches of these studies on another copy of the images than those `found`, which are drawn apart."""
    frame = verdicts.labelled(results.searches().query("scale == 'cpu'"))
    frame = frame[frame["label"].isin(labels()) & ~frame["copy"].isin({runs["copy"].iloc[0] for runs in arms.values()})]
    frame = verdicts.one_copy(frame, "label").sort_values("seed")
    return {label: runs for label in labels() if len(runs := frame[frame["label"] == label])}


def left_out(kind: str, arms: Mapping[str, pd.DataFrame]) -> str:
    """Which of the study's runs of a kind are not recorded, in a sentence; nothing where all are. arms: those `found`."""
    planned = Counter(p.label for p in load(STUDY).planned if p.kind == kind)
    short: dict[str, list[str]] = {}
    for label, of in planned.items():
        if (n := len(arms.get(label, ()))) < of:
            short.setdefault(f"{n} of {of}", []).append(label)
    if not short:
        return ""
    lines = [f"{count} of {'; '.join(labels)}" for count, labels in sorted(short.items())]
    return f"{kind.capitalize()} runs finished of those planned: {'. '.join(lines)}. `asap study {STUDY}` shows what is left."


def frames(found: Mapping[str, Sequence[Run]]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Searches that no committed study holds, by label, as `draw` takes them: a row a search, and their epochs."""
    courses = {run.name: rows_of.course(run) for runs in found.values() for run in runs}
    arms = {label: pd.DataFrame([{"run": r.name, **rows_of.search(r, courses[r.name])} for r in runs]) for label, runs in found.items()}
    return arms, pd.concat(courses.values(), ignore_index=True)


def panels(arms: dict[str, pd.DataFrame]) -> list[dict[str, pd.DataFrame]]:
    """The arms that the paper's figures show, and the others; a panel without a run is left out."""
    both = {k: arms[k] for k in PRINTED if k in arms}, {k: v for k, v in arms.items() if k not in PRINTED}
    return [panel for panel in both if panel]


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

    arms: the searches of each; epochs: theirs; behind: others' courses (`changes.others`), of which those of whole supernets are drawn in
    grey, the median of each method's.
    """
    epochs = results.epochs() if epochs is None else epochs
    shown = panels(arms)
    figure, axes = palette.axes(len(shown), 3.4)
    full_scale = () if behind is None else behind[behind["source"] == "NASLib"].groupby("method", sort=False)
    for dashes, (method, course) in zip(("-", "--", ":"), full_scale, strict=False):
        label = f"{method}, full scale ({course['searches'].iloc[0]}, NASLib)"
        axes[0].plot(course["time"], course["accuracy"], color=palette.GREY, ls=dashes, lw=2.2, label=label)
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
        if ax is axes[-1]:
            ax.set_xlabel("time, scaled to [0, 1]")
        palette.legend_below(ax)
    return figure


def rows(arms: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each method's searches end in, with the accuracy's largest falls."""
    headers = ["method", "n", "mixture, at the end, %", "largest fall in an epoch that prunes, points",
               "largest fall in another epoch, points",
               "one operation an edge, %", "derived cell, %", "drop at the cut, points"]  # fmt: skip
    return rows_frame(headers, [_row(label, runs) for label, runs in arms.items()])


def at_epoch_end() -> dict[str, pd.DataFrame]:
    """The searches by ASAP that prune at an epoch's end, as the table of the methods shows them; none where there is none."""
    alike = results.arm(results.searches(), "sensitivity", "Pruning once an epoch")
    return {AT_EPOCH_END: alike} if len(alike) else {}


def _row(label: str, runs: pd.DataFrame) -> list[str]:
    epochs = results.epochs()
    epochs = epochs[epochs["run"].isin(runs["run"]) & epochs["fall"].notna()]
    largest = epochs.groupby("pruned")["fall"].max()
    return [
        label, str(len(runs)), spread(runs["accuracy"], 1), *(f"{largest[p]:.1f}" if p in largest else DASH for p in (True, False)),
        spread(runs["one_operation"], 1), spread(runs["derived"], 1), spread(runs["accuracy"] - runs["derived"], 1),
    ]  # fmt: skip


def older_cuts(searches: pd.DataFrame) -> str:
    """How many searches measured their cut with BatchNorm's statistics of images as they are, so that it is left out, in a sentence."""
    older = searches[searches["cut_images"] == "as they are"]
    if not len(older):
        return ""
    return (
        f"In {len(older)} of the {len(searches)} searches BatchNorm was averaged over the training half without augmentation before the "
        "cut was measured. Without a crop's black border in its statistics "
        "the supernet is less accurate, so those measurements are left out."
    )
