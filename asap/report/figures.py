"""The paper's figures, from the data frames of a recorded run. Knows records and the search space, never torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from ..paper.space import ASAP_OPERATIONS, Genotype
from ..records.run import Run
from .tables import cut, with_cut

#: One colour an operation, the same on every page.
COLOURS = dict(zip((*ASAP_OPERATIONS, "none"), sns.color_palette("colorblind", 8), strict=True))
OTHER = (0.35, 0.35, 0.35)
CELL_NAMES = {"normal": "normal cell", "reduce": "reduction cell"}


def style() -> None:
    """The look of every figure of the book."""
    sns.set_theme(context="notebook", style="ticks", rc={"axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"})


def _grace(axes: Axes, epochs: pd.DataFrame) -> None:
    """Mark the epochs in which α did not learn."""
    grace = int((epochs["alpha_steps"] == 0).sum())
    if grace:
        axes.axvspan(0.5, grace + 0.5, color="0.93", lw=0)
        axes.text(grace / 2 + 0.5, 1.01, "grace", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=9, color="0.4")


def node_positions(nodes: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Input nodes on the left, intermediate nodes on a rising zigzag."""
    heights = [0.95, -0.95, 0.6, -0.6]
    places = {0: (0.0, 1.1), 1: (0.0, -1.1)}
    for i, node in enumerate(nodes):
        places[node] = (1.7 + 1.7 * i, heights[i % 4])
    return places


def _node_name(node: int) -> str:
    return {0: r"$c_{k-2}$", 1: r"$c_{k-1}$"}.get(node, str(node - 2))


def _draw_nodes(axes: Axes, places: dict[int, tuple[float, float]], output: tuple[float, float]) -> None:
    for node, (x, y) in places.items():
        colour = "#dfead9" if node < 2 else "#dbe5f1"
        axes.text(x, y, _node_name(node), ha="center", va="center", zorder=5, fontsize=11,
                  bbox={"boxstyle": "round,pad=0.45", "fc": colour, "ec": "0.3"})  # fmt: skip
    axes.text(
        *output,
        r"$c_k$",
        ha="center",
        va="center",
        zorder=5,
        fontsize=11,
        bbox={"boxstyle": "round,pad=0.45", "fc": "#f7e7c6", "ec": "0.3"},
    )
    axes.set_xlim(-0.7, output[0] + 0.7)
    axes.set_ylim(-1.75, 1.75)
    axes.axis("off")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float, **look: Any) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=11, shrinkA=15, shrinkB=15, **look)
    )


def draw_cell(axes: Axes, genotype: Genotype, kind: str, title: str) -> None:
    """A derived cell as a graph: one labelled arrow an edge, thin grey ones for the concatenation."""
    cell = genotype.cell(kind)
    nodes = range(2, 1 + max(edge.target for edge in cell))
    places = node_positions(nodes)
    output = (max(x for x, _ in places.values()) + 1.5, 0.0)
    for node in genotype.concat(kind):
        _arrow(axes, places[node], output, 0.0, color="0.75", lw=1.0, ls=":", zorder=1)
    between: dict[tuple[int, int], int] = {}
    for edge in cell:
        repeat = between[edge.source, edge.target] = between.get((edge.source, edge.target), -1) + 1
        (x0, y0), (x1, y1) = places[edge.source], places[edge.target]
        bend = 0.12 * (1 if y0 >= 0 else -1) * (-1 if x1 - x0 > 2 else 1) + 0.3 * repeat
        colour = COLOURS.get(edge.operation, OTHER)
        _arrow(axes, (x0, y0), (x1, y1), bend, color=colour, lw=1.8, zorder=2)
        # a point of the arc, at a share of its length that keeps the labels of a node's arrows apart
        share = 0.42 if edge.source < 2 else 0.5
        length = np.hypot(x1 - x0, y1 - y0)
        normal = np.array([y1 - y0, x0 - x1]) / length
        x, y = np.array([x0, y0]) + share * np.array([x1 - x0, y1 - y0]) + normal * bend * length * 2 * share * (1 - share)
        axes.text(x, y, edge.operation.replace("_", " "), ha="center", va="center", fontsize=8.5, color="0.1", zorder=4,
                  bbox={"boxstyle": "square,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.9})  # fmt: skip
    _draw_nodes(axes, places, output)
    axes.set_title(title, fontsize=11)


def cells(kind: str, named: Sequence[tuple[str, Genotype]]) -> Figure:
    """Figures 4 and 5: cells of one kind, one below the other, each with its title."""
    style()
    figure, axes = plt.subplots(len(named), 1, figsize=(9, 3.6 * len(named)), squeeze=False, layout="constrained")
    for ax, (title, genotype) in zip(axes[:, 0], named, strict=True):
        draw_cell(ax, genotype, kind, title)
    plt.close(figure)  # else a notebook shows it a second time
    return figure


def both_cells(name: str, genotype: Genotype) -> Figure:
    """The normal and the reduction cell of a genotype, one below the other."""
    style()
    figure, axes = plt.subplots(2, 1, figsize=(9, 7.2), layout="constrained")
    for ax, (kind, title) in zip(axes, CELL_NAMES.items(), strict=True):
        draw_cell(ax, genotype, kind, f"{name}: {title}")
    plt.close(figure)
    return figure


def _draw_mixture(axes: Axes, frame: pd.DataFrame, title: str) -> None:
    """A cell of mixed operations at one epoch: an arrow for each operation alive, the darker the larger its Φ."""
    nodes = sorted(frame["target"].unique())
    places = node_positions([int(n) for n in nodes])
    output = (max(x for x, _ in places.values()) + 1.5, 0.0)
    for node in nodes:
        _arrow(axes, places[node], output, 0.0, color="0.8", lw=0.8, ls=":", zorder=1)
    alive = frame[frame["alive"]]
    for _, edge in alive.groupby("edge"):
        source, target = int(edge["source"].iloc[0]), int(edge["target"].iloc[0])
        bends = np.linspace(-0.3, 0.3, len(edge)) if len(edge) > 1 else [0.0]
        for bend, (operation, phi) in zip(bends, edge[["operation", "phi"]].itertuples(index=False), strict=True):
            _arrow(axes, places[source], places[target], bend, color=COLOURS[operation], lw=1.2, alpha=0.25 + 0.75 * float(phi), zorder=2)
    _draw_nodes(axes, places, output)
    axes.set_title(title, fontsize=10)


def annealing_and_pruning(epochs: pd.DataFrame, architecture: pd.DataFrame, kind: str = "normal") -> Figure:
    """Figure 2: the temperature, Φ on one edge and the cell at four epochs of a recorded search."""
    style()
    figure = plt.figure(figsize=(9.6, 6.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=[1.1, 1, 1])
    top = figure.add_subplot(grid[0, 0])
    bottom = figure.add_subplot(grid[1, 0], sharex=top)
    snapshots = [figure.add_subplot(grid[i, j]) for i in (0, 1) for j in (1, 2)]
    top.plot(epochs["epoch"], epochs["temperature"], color="0.2", lw=2)
    top.set_ylabel("temperature T")
    top.set_ylim(0)
    _grace(top, epochs)
    cell = architecture[architecture["cell"] == kind]
    # the edge on which operations went at the most different epochs shows most
    went = cell.groupby(["edge", "operation"], observed=True)["alive"].sum().groupby("edge").nunique()
    edge = went.index[int(went.to_numpy().argmax())]
    one = cell[cell["edge"] == edge]
    for operation, trace in one.groupby("operation", observed=True):
        trace = trace[trace["alive"]]
        bottom.plot(trace["epoch"], trace["phi"], color=COLOURS[operation], lw=2, label=str(operation).replace("_", " "))
        if len(trace) and trace["epoch"].max() < epochs["epoch"].max():
            bottom.plot(trace["epoch"].iloc[-1], trace["phi"].iloc[-1], "x", color=COLOURS[operation], ms=7, mew=2)
    bottom.axhline(epochs["threshold"].iloc[-1], color="0.3", ls="--", lw=1, label=r"threshold $\theta$")
    bottom.set_yscale("log")
    bottom.set_xlabel("epoch")
    source, target = one[["source", "target"]].iloc[0]
    bottom.set_ylabel(rf"$\Phi$ on edge {_node_name(source)} → {_node_name(target)}")
    figure.legend(*bottom.get_legend_handles_labels(), fontsize=9, frameon=False, loc="outside lower center", ncols=4)
    total = len(cell[cell["epoch"] == 1])
    counts = cell.groupby("epoch")["alive"].sum().to_numpy()  # at epochs 1, 2, …
    shown = [1, *(int(np.abs(counts - total * share).argmin()) + 1 for share in (2 / 3, 1 / 3)), len(counts)]
    for ax, epoch in zip(snapshots, shown, strict=True):
        _draw_mixture(ax, cell[cell["epoch"] == epoch], f"epoch {epoch}: {counts[epoch - 1]} of {total} operations")
    plt.close(figure)  # else a notebook shows it a second time
    return figure


def duration_and_density(epochs: pd.DataFrame) -> Figure:
    """Figure 3: the duration of each epoch relative to the longest, and the fraction of connections left."""
    style()
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    training = epochs["seconds_weights"] + epochs["seconds_alpha"]
    left = epochs["operations_normal"] + epochs["operations_reduce"]
    axes.plot(epochs["epoch"], training / training.max(), "o-", ms=4, label="epoch duration, relative to the longest")
    axes.plot(epochs["epoch"], left / left.max(), "s-", ms=4, label="fraction of connections left")
    _grace(axes, epochs)
    axes.set_ylim(0, 1.06)
    axes.set_xlabel("epoch")
    axes.legend(frameon=False)
    plt.close(figure)  # else a notebook shows it a second time
    return figure


#: The least that bounded logits (±0.44) let the normalised entropy of ENAS' seven operations be.
ENAS_FLOOR = 0.952


def _colours(labels: Sequence[str]) -> dict[str, Any]:
    pairs = sns.color_palette("tab20", 20)
    return dict(zip(labels, cycle(pairs[::2] + pairs[1::2]), strict=False))


def _draw_seeds(axes: Axes, runs: Sequence[Run], column: str, scale: float, colour: Any, label: str) -> None:
    """A column of epochs.csv against scaled time: a thin line a seed, a thick one their mean."""
    grid = np.linspace(0, 1, 201)
    lines = []
    for run in runs:
        epochs = run.epochs()
        time = epochs["epoch"] / epochs["epoch"].iloc[-1]
        if len(runs) > 1:
            axes.plot(time, scale * epochs[column], color=colour, lw=0.7, alpha=0.6)
        lines.append(np.interp(grid, time, scale * epochs[column], left=np.nan))
    mean = np.mean(lines, axis=0)
    axes.plot(grid, mean, color=colour, lw=2, label=f"{label} ({len(runs)})")


def accuracy_along_search(panels: Sequence[dict[str, list[Run]]], labels: Sequence[str]) -> Figure:
    """Figure 6: validation accuracy against scaled time, an axes a panel; at the end the derived cell's."""
    style()
    colours = _colours(labels)
    figure, axes = plt.subplots(len(panels), 1, figsize=(9, 5 * len(panels)), sharex=True, squeeze=False, layout="constrained")
    for ax, panel in zip(axes[:, 0], panels, strict=True):
        for label, runs in panel.items():
            _draw_seeds(ax, runs, "validation_accuracy", 100, colours[label], label)
            for run in runs:
                epochs = run.epochs()
                time, accuracy = epochs["epoch"] / epochs["epoch"].iloc[-1], 100 * epochs["validation_accuracy"]
                pruned = (epochs["operations_normal"] + epochs["operations_reduce"]).diff() < 0
                ax.plot(time[pruned], accuracy[pruned], ".", color=colours[label], ms=4)
            for run in with_cut(runs):
                child = cut(run, "genotype")
                ax.plot([1, 1.03], [100 * run.outcome["validation_accuracy"], child], color=colours[label], lw=1, ls=":")
                ax.plot(1.03, child, "s", color=colours[label], mfc="white", ms=6)
        ax.set_ylabel("validation accuracy, %")
        ax.set_ylim(0)
        ax.legend(fontsize=9, frameon=False, loc="lower center", ncols=2)
    axes[-1, 0].set_xlabel("time, scaled to [0, 1]")
    plt.close(figure)  # else a notebook shows it a second time
    return figure


def entropy_along_search(panels: Sequence[dict[str, list[Run]]], labels: Sequence[str]) -> Figure:
    """Figure 7: normalised entropy against scaled time; a row a panel, a column a cell kind."""
    style()
    colours = _colours(labels)
    figure, axes = plt.subplots(
        len(panels), 2, figsize=(11, 4.2 * len(panels)), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for row, panel in zip(axes, panels, strict=True):
        for ax, (kind, name) in zip(row, CELL_NAMES.items(), strict=True):
            for label, runs in panel.items():
                _draw_seeds(ax, runs, f"entropy_{kind}", 1, colours[label], label)
            ax.set_title(name, fontsize=11)
            ax.set_ylim(-0.02, 1.05)
        row[0].set_ylabel("normalised entropy")
        row[1].legend(fontsize=9, frameon=False, loc="lower left")
    for ax in axes[-1]:
        ax.set_xlabel("time, scaled to [0, 1]")
    plt.close(figure)  # else a notebook shows it a second time
    return figure


def error_against_cost(printed: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> Figure:
    """Figure 1: error against search days, size and colour by parameters. printed: Table 1's rows; ours: name, cost, parameters, errors."""
    style()
    panels = [[(r["architecture"].split(" (printed")[0], r["cost"], r["parameters"], r["error"]) for r in printed]]
    if ours:
        panels.append([(p["name"], p["cost"], p["parameters"], float(np.mean(p["errors"]))) for p in ours])
    heights = [max(5.2, 0.36 * len(points)) for points in panels]  # room for the labels
    figure, axes = plt.subplots(len(panels), 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained")
    for ax, points, title in zip(axes[:, 0], panels, ("The paper's numbers", "Ours"), strict=False):
        points = sorted(points, key=lambda point: point[3])
        names, cost, millions, error = (list(column) for column in zip(*points, strict=True))
        largest = max(millions)
        dots = ax.scatter(
            cost, error, s=[350 * m / largest for m in millions], c=millions, cmap="viridis", alpha=0.8, edgecolor="0.3", lw=0.6
        )
        ax.set_xscale("log")
        ax.margins(x=0.15, y=0.12)
        gap = 0.045 * (ax.get_ylim()[1] - ax.get_ylim()[0])  # a line of text
        reach = 0.22 * np.log(ax.get_xlim()[1] / ax.get_xlim()[0])  # a label's length
        placed: list[tuple[float, float]] = []
        for name, x, y in zip(names, cost, error, strict=True):
            height = y
            while any(abs(np.log(x / other)) < reach and abs(height - level) < gap for other, level in placed):
                height += gap / 2
            placed.append((x, height))
            mine = name.startswith(("ASAP", "ours"))
            ax.annotate(
                name, (x, y), xytext=(x * np.exp(0.09 * reach), height), fontsize=8, fontweight="bold" if mine else None, va="center",
                arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.5", "relpos": (0, 0.5)} if height > y else None,
            )  # fmt: skip
        ax.set_ylim(top=max(ax.get_ylim()[1], max(height for _, height in placed) + gap))
        ax.set_xlabel("search, GPU-days" if ax is axes[0, 0] else "search, days (of a GPU as printed, of this machine where ours)")
        ax.set_ylabel("CIFAR-10 test error, %")
        ax.set_title(title, fontsize=11)
        figure.colorbar(dots, ax=ax, label="parameters, M")
    plt.close(figure)
    return figure


def error_against_size(cells: pd.DataFrame, line: Callable[[np.ndarray], np.ndarray]) -> Figure:
    """Error against parameters, a point a cell, with a fitted line. cells: parameters (millions), error, kind; line: of parameters."""
    style()
    figure, axes = plt.subplots(figsize=(9, 4.8), layout="constrained")
    kinds = list(cells["kind"].cat.categories)
    sns.scatterplot(cells, x="parameters", y="error", hue="kind", style="kind", hue_order=kinds, palette=_colours(kinds), s=70, ax=axes)
    across = np.geomspace(cells["parameters"].min(), cells["parameters"].max(), 50)
    axes.plot(across, line(across), color="0.6", lw=1, zorder=0)
    axes.set_xlabel("parameters of the network trained, M")
    axes.set_ylabel("CIFAR-10 test error, %")
    axes.legend(title="cells", loc="upper left", bbox_to_anchor=(1, 1))
    plt.close(figure)
    return figure


def step_time(by_operation: dict[str, float], left: dict[str, float], floor: float) -> Figure:
    """Seconds of a search step by operation kind, and against the operations left on an edge with the line from `floor`."""
    style()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    kinds = [name for name in by_operation if name != "none"]
    added = [by_operation[name] - by_operation["none"] for name in kinds]
    axes[0].barh([name.replace("_", " ") for name in kinds], added, color=[COLOURS[name] for name in kinds])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("seconds that it adds on all edges")
    counts = sorted(int(n) for n in left if int(n) > 0)
    axes[1].plot(counts, [left[str(n)] for n in counts], "o-", color="0.2", label="measured")
    full = max(counts)
    axes[1].plot([0, full], [floor, left[str(full)]], "--", color="0.6", lw=1, label="line from the floor")
    axes[1].set_ylim(0)
    axes[1].set_xlabel("operations left on an edge")
    axes[1].set_ylabel("seconds a step")
    axes[1].legend(frameon=False)
    plt.close(figure)
    return figure
