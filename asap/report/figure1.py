"""Figure 1: the error of cells against the cost of their search, and what their size alone tells of it. Needs no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import palette, results, tables
from .display import counted, each, rows_frame, spread
from .inference import rank_correlation
from .table1 import arm, by_cell, probability

KINDS = {
    "ASAP, published": palette.Look(palette.BLUE, marker="*"),
    "ASAP, searched here": palette.Look(palette.BLUE, marker="o"),
    "other searches here, and ASAP's variants": palette.Look(palette.ORANGE, marker="s"),
    "other published": palette.Look(palette.GREEN, marker="^"),
    "random": palette.Look(palette.GREY, marker="X"),
}
RANDOM_COST = 0.001  # days at which random cells are drawn: a logarithmic axis has no 0
#: The points that have a label, and how far from them it stands; the others tell their name when they are pointed at.
LABELLED = {"AmoebaNet-A": (-8, -14), "NASNet-A": (-8, 8), "ENAS": (-8, -14), "DARTS (2nd order)": (8, -13), "ASAP-Small": (8, 7)}
LABELLED_HERE = {"ASAP": (-8, 7), "DARTS": (-56, 10), "ENAS": (8, 7), "Random search": (-8, -14), "random cells": (8, 7)}


def printed() -> pd.DataFrame:
    """The paper's Table 1 as points: name, cost in GPU-days, millions of parameters, error."""
    frame = pd.DataFrame(tables.paper()["table1"]["rows"])
    return frame.assign(name=frame["architecture"].str.split(" (printed", regex=False).str[0])[["name", "cost", "parameters", "error"]]


def points(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Ours: a point a published cell (its cost as the paper prints it), a method's searched cells, or all random cells, by cost.

    Columns: name, cost in days, parameters in millions, error in per cent, and errors (by seed; of random cells, by cell).
    """
    paper = pd.DataFrame(tables.paper()["table1"]["rows"]).dropna(subset="cell").drop_duplicates("cell").set_index("cell")
    paper.index = paper.index.str.lower()
    days = results.searches().set_index("run")["seconds"] / 86400
    evaluations = results.once(evaluations.assign(label=arm(evaluations)))
    random, cell = evaluations["kind"] == "random", evaluations["cell"]
    searched = ("ours: " + evaluations["label"]).where(cell.isin(days.index) & (evaluations["label"] != ""))
    name = searched.fillna(cell.map(paper["architecture"])).mask(random, "random cells")
    cost = cell.map(days).fillna(cell.map(paper["cost"])).mask(random, RANDOM_COST)
    groups = evaluations.assign(name=name, cost=cost, parameters=evaluations["parameters"] / 1e6).dropna(subset="name").groupby("name")
    found = groups[["cost", "parameters"]].mean()
    found["errors"] = [list(g.groupby("cell")["error"].mean() if n == "random cells" else g["error"]) for n, g in groups]
    found["error"] = found["errors"].map(np.mean)
    return found.reset_index().sort_values("cost", kind="stable", ignore_index=True)


def rows(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The points of ours."""
    return rows_frame(["cell", "search, days", "parameters, M", "error, % (n)"], [
        [p.name, "0" if p.name == "random cells" else f"{p.cost:.4g}", f"{p.parameters:.3f}", counted(p.errors)]
        for p in each(points(evaluations))
    ])  # fmt: skip


def _scatter(axes: Axes, found: pd.DataFrame, labelled: dict[str, tuple[int, int]], gid: str) -> dict[str, str]:
    """Draw points, size and colour by their parameters; what each tells, by its `gid`."""
    least, largest = found["parameters"].min(), found["parameters"].max()
    tips = {}
    for p in each(found):
        mine = p.name.startswith("ASAP")
        axes.scatter(p.cost, p.error, s=220 * p.parameters / largest, c=[p.parameters], cmap="viridis", edgecolor=palette.INK,
                     vmin=least, vmax=largest, lw=1.6 if mine else 0.5, gid=f"{gid}{p.Index}")  # fmt: skip
        if p.name in labelled:
            place, line = labelled[p.name], {"arrowstyle": "-", "lw": 0.5, "color": palette.INK}
            axes.annotate(p.name, (p.cost, p.error), xytext=place, textcoords="offset points", ha="right" if place[0] < 0 else "left",
                          fontweight="bold" if mine else "normal", arrowprops=line)  # fmt: skip
        cost = f"search {p.cost:.3g} d" if p.cost != RANDOM_COST else "no search"
        tips[f"{gid}{p.Index}"] = f"{p.name}: {cost}, {p.parameters:.3g} M, {p.error:.2f} %"
    axes.set(xscale="log", ylabel="CIFAR-10 test error, %")
    axes.margins(x=0.2, y=0.15)
    axes.figure.colorbar(axes.collections[0], ax=axes).set_label("parameters, M")
    return tips


def draw(evaluations: pd.DataFrame) -> tuple[Figure, dict[str, str]]:
    """Error against cost, size and colour by parameters, and what each point tells: above as printed, below the cells searched here."""
    ours = points(evaluations)
    ours = ours[ours["name"].str.startswith(("ours: ", "random"))].reset_index(drop=True)
    ours["name"] = ours["name"].str.removeprefix("ours: ")
    figure, axes = palette.axes(2 if len(ours) else 1, 3.8)
    tips = _scatter(axes[0], printed(), LABELLED, "p")
    axes[0].set(title="The paper's numbers", xlabel="search, GPU-days as printed")
    if len(ours):
        tips |= _scatter(axes[1], ours, LABELLED_HERE, "o")
        axes[1].set(title="Cells searched here, scale cpu", xlabel="search, days of wall clock on one CPU core")
    return figure, tips


def cells(evaluations: pd.DataFrame) -> pd.DataFrame:
    """`table1.by_cell` with the cell's name and its kind among `KINDS` as columns, ordered by them."""
    return with_kinds(by_cell(evaluations).reset_index())


def with_kinds(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells with their kinds (random, published, searched) told apart as `KINDS`, ordered by kind and name."""
    searches = results.searches()
    asap = set(searches.loc[arm(searches) == "ASAP", "run"])
    kind = frame["kind"].map({"random": "random", "published": "other published"}).fillna("other searches here, and ASAP's variants")
    kind = kind.mask(frame["cell"].isin(asap), "ASAP, searched here").mask(frame["cell"] == "asap", "ASAP, published")
    return frame.assign(kind=pd.Categorical(kind, list(KINDS))).sort_values(["kind", "cell"], ignore_index=True)


def fit(frame: pd.DataFrame, within: bool = False) -> tuple[float, pd.Series]:
    """The least-squares line of error against the logarithm of the parameters: points a doubling, and its value at each cell; `within`,
    of the deviations from the means of a cell's kind."""
    both = pd.DataFrame({"doublings": np.log2(frame["parameters"]), "error": frame["error"]})
    both -= both.groupby(frame["kind"], observed=True).transform("mean") if within else 0
    slope, at_one = np.polyfit(both["doublings"], both["error"], 1)
    return float(slope), at_one + slope * both["doublings"]


def draw_size(frame: pd.DataFrame) -> Figure:
    """Error against parameters, a point a cell, with the fitted line. frame: of `cells`."""
    figure, (axes,) = palette.axes(height=3.6)
    for kind, group in frame.groupby("kind", observed=True):
        look = KINDS[str(kind)]
        axes.plot(group["parameters"], group["error"], look.marker, color=look.colour, ms=11 if look.marker == "*" else 6, label=str(kind))
    line = frame.assign(line=fit(frame)[1]).sort_values("parameters")
    axes.plot(line["parameters"], line["line"], color=palette.FAINT, lw=1, zorder=0)
    axes.set(xlabel="parameters of the network trained, M", ylabel="CIFAR-10 test error, %")
    palette.legend_below(axes)
    return figure


def size_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What the fitted line leaves to each kind of cell."""
    left = frame["error"] - fit(frame)[1]
    return rows_frame(["cells", "n", "parameters, M", "error, %", "error minus the line's"], [
        [str(kind), str(len(group)), spread(group["parameters"], 3), spread(group["error"]), f"{left[group.index].mean():+.2f}"]
        for kind, group in frame.groupby("kind", observed=True)
    ])  # fmt: skip


def size_sentence(frame: pd.DataFrame) -> str:
    """How far the error follows the size."""
    slope, line = fit(frame)
    rho, chance = rank_correlation(frame["parameters"], frame["error"])
    return (
        f"Spearman's ρ of parameters and error is {rho:.2f} (a random order is as far from 0 with probability {probability(chance)}). "
        f"Twice the parameters go with {slope:+.2f} points of error, within a kind of cells with {fit(frame, within=True)[0]:+.2f}. "
        f"The cells deviate by {frame['error'].std():.2f} points, and by "
        f"{(frame['error'] - line).std(ddof=2):.2f} points from the line."
    )
