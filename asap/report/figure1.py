"""Figure 1: the error of cells against the cost of their search, and what their size alone tells of it. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import palette, results, tables
from .display import counted, each, rows_frame, spread
from .inference import rank_correlation
from .table1 import by_cell, probability

KINDS = {
    "ASAP, published": palette.Look(palette.BLUE, marker="*"),
    "ASAP, searched here": palette.Look(palette.BLUE, marker="o"),
    "other searches here": palette.Look(palette.ORANGE, marker="s"),
    "other published": palette.Look(palette.GREEN, marker="^"),
    "random": palette.Look(palette.GREY, marker="X"),
}
RANDOM_COST = 0.001  # days at which random cells are drawn: a logarithmic axis has no 0
#: The points of the paper's figure that have a label; the others tell their name when they are pointed at.
LABELLED = ("AmoebaNet-A", "NASNet-A", "ENAS", "DARTS (2nd order)", "ASAP-Small")
LABELLED_HERE = ("ASAP", "DARTS", "ENAS", "Random search", "random cells")


def printed() -> list[dict[str, Any]]:
    """The paper's Table 1 as points: name, cost in GPU-days, millions of parameters, error."""
    return [
        {"name": row["architecture"].split(" (printed")[0], "cost": row["cost"], "parameters": row["parameters"], "error": row["error"]}
        for row in tables.paper()["table1"]["rows"]
    ]


def points(evaluations: pd.DataFrame) -> list[dict[str, Any]]:
    """Ours: a point a published cell (its cost as the paper prints it), a method's searched cells, or all random cells.

    Each has its name, search cost in days, millions of parameters, and errors (by seed; of random cells, by cell).
    """
    paper = tables.paper()["table1"]["rows"]
    cost = {row["cell"].lower(): row["cost"] for row in paper if row["cell"]}
    names = {row["cell"].lower(): row["architecture"] for row in paper[::-1] if row["cell"]}
    days = dict(zip(results.searches()["run"], results.searches()["seconds"] / 86400, strict=True))
    groups: dict[str, list[tuple[float, Any]]] = {}
    for row in each(evaluations):
        if row.kind == "random":
            groups.setdefault("random cells", []).append((RANDOM_COST, row))
        elif row.cell in days and row.arm_methods:
            groups.setdefault(f"ours: {row.arm_methods}", []).append((days[row.cell], row))
        elif row.cell in cost:
            groups.setdefault(names[row.cell], []).append((cost[row.cell], row))
    found = []
    for name, group in groups.items():
        errors = pd.Series([row.error for _, row in group], [row.cell for _, row in group])
        found.append({"name": name, "cost": float(np.mean([days for days, _ in group])),
                      "parameters": float(np.mean([row.parameters for _, row in group])) / 1e6,
                      "errors": list(errors.groupby(level=0).mean() if name == "random cells" else errors)})  # fmt: skip
    return sorted(found, key=lambda p: float(p["cost"]))


def rows(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The points of ours."""
    return rows_frame(
        ["cell", "search, days", "parameters, M", "error, % (n)"],
        [[p["name"], f"{p['cost']:.4g}", f"{p['parameters']:.3f}", counted(p["errors"])] for p in points(evaluations)],
    )


def _scatter(axes: Axes, found: list[dict[str, Any]], labelled: tuple[str, ...], title: str, gid: str) -> None:
    largest = max(p["parameters"] for p in found)
    for i, p in enumerate(found):
        mine = p["name"].startswith("ASAP")
        axes.scatter(p["cost"], p["error"], s=220 * p["parameters"] / largest, c=[p["parameters"]], cmap="viridis", edgecolor=palette.INK,
                     vmin=min(q["parameters"] for q in found), vmax=largest, lw=1.6 if mine else 0.5, gid=f"{gid}{i}")  # fmt: skip
        if p["name"] in labelled:
            place = (8, -13) if labelled.index(p["name"]) % 2 else (8, 7)  # alternate, so that neighbours' labels lie apart
            axes.annotate(p["name"], (p["cost"], p["error"]), xytext=place, textcoords="offset points", fontsize=9,
                          fontweight="bold" if mine else "normal")  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.15)
    axes.set_ylabel("CIFAR-10 test error, %")
    axes.set_title(title)
    bar = axes.figure.colorbar(axes.collections[0], ax=axes)
    bar.set_label("parameters, M")


def draw(evaluations: pd.DataFrame) -> tuple[Figure, dict[str, str]]:
    """Error against cost, size and colour by parameters, and what each point tells: above as printed, below the cells searched here."""
    ours = [{**p, "name": p["name"].removeprefix("ours: "), "error": float(np.mean(p["errors"]))} for p in points(evaluations)
            if p["name"].startswith(("ours: ", "random"))]  # fmt: skip
    panels = [(printed(), LABELLED, "The paper's numbers", "GPU-days as printed", "p")]
    if ours:
        panels.append((ours, LABELLED_HERE, "Cells searched here, scale cpu", "days of one CPU core, measured", "o"))
    figure, axes = palette.axes(len(panels), 3.8)
    tips: dict[str, str] = {}
    for ax, (found, labelled, title, unit, gid) in zip(axes, panels, strict=True):
        _scatter(ax, found, labelled, title, gid)
        ax.set_xlabel(f"search, {unit}")
        tips |= {
            f"{gid}{i}": f"{p['name']}: {p['cost']:.3g} days, {p['parameters']:.3g} M, {p['error']:.2f} %" for i, p in enumerate(found)
        }
    return figure, tips


def cells(evaluations: pd.DataFrame) -> pd.DataFrame:
    """`table1.by_cell` with the cell's name and its kind among `KINDS` as columns, ordered by them."""
    return with_kinds(by_cell(evaluations).reset_index())


def with_kinds(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells with their kinds (random, published, searched) told apart as `KINDS`, ordered by kind and name."""
    searches = results.searches()
    asap = set(searches.loc[(searches["arm_methods"] == "ASAP") | (searches["arm_design"] == "ASAP"), "run"])
    kind = frame["kind"].map({"random": "random", "published": "other published"}).fillna("other searches here")
    kind = kind.mask(frame["cell"].isin(asap), "ASAP, searched here").mask(frame["cell"] == "asap", "ASAP, published")
    return frame.assign(kind=pd.Categorical(kind, list(KINDS))).sort_values(["kind", "cell"], ignore_index=True)


def fit(frame: pd.DataFrame) -> tuple[float, float]:
    """The least-squares line of error against the logarithm of the parameters: points a doubling, and its value at 1 M."""
    slope, at_one = np.polyfit(np.log2(frame["parameters"]), frame["error"], 1)
    return float(slope), float(at_one)


def draw_size(frame: pd.DataFrame) -> Figure:
    """Error against parameters, a point a cell, with the fitted line. frame: of `cells`."""
    figure, (axes,) = palette.axes(height=4.2)
    slope, at_one = fit(frame)
    for kind, group in frame.groupby("kind", observed=True):
        look = KINDS[str(kind)]
        axes.plot(group["parameters"], group["error"], look.marker, color=look.colour, ms=11 if look.marker == "*" else 6, label=str(kind))
    across = np.geomspace(frame["parameters"].min(), frame["parameters"].max(), 50)
    axes.plot(across, at_one + slope * np.log2(across), color=palette.FAINT, lw=1, zorder=0)
    axes.set_xlabel("parameters of the network trained, M")
    axes.set_ylabel("CIFAR-10 test error, %")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


def size_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What the fitted line leaves to each kind of cell."""
    slope, at_one = fit(frame)
    left = frame["error"] - (at_one + slope * np.log2(frame["parameters"]))
    return rows_frame(["cells", "n", "parameters, M", "error, %", "error minus the line's"], [
        [str(kind), str(len(group)), spread(group["parameters"], 3), spread(group["error"]), f"{left[group.index].mean():+.2f}"]
        for kind, group in frame.groupby("kind", observed=True)
    ])  # fmt: skip


def size_sentence(frame: pd.DataFrame) -> str:
    """How far the error follows the size."""
    slope, at_one = fit(frame)
    rho, chance = rank_correlation(frame["parameters"], frame["error"])
    left = frame["error"] - (at_one + slope * np.log2(frame["parameters"]))
    return (
        f"Spearman's ρ of parameters and error is {rho:.2f} (a random order is as far from 0 with probability {probability(chance)}). "
        f"Twice the parameters go with {slope:+.2f} points of error. The cells deviate by {frame['error'].std():.2f} points, and by "
        f"{left.std(ddof=2):.2f} points from the line."
    )
