"""Figure 1, the error of cells against the cost of their search, and what their size alone tells of it. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..records.parameters import runs_root
from ..records.run import Run
from ..records.study import load
from . import figures, tables
from .inference import rank_correlation
from .pages import copy_note, missing, problems, records, say, show
from .verdicts import arm

KINDS = ("ASAP, published", "ASAP, searched here", "other searches here", "other published", "random")
RANDOM_COST = 0.001  # days at which random cells are drawn: a logarithmic axis has no 0


def figure1(scale: str = "cpu") -> None:
    """Figure 1: error against search days, size and colour by parameters; the paper's numbers, and ours beside them."""
    problems()
    root = runs_root()
    printed = tables.paper()["table1"]["rows"]
    runs = tables.by_recipe(root, "evaluation", dataset="cifar10", scale=scale)
    points = _points(runs, printed)
    show(
        figures.error_against_cost(printed, points),
        "**Figure 1.** Above, the paper's numbers (Table 1). Below, ours: the published cells by the search cost that the paper prints, and the mean of the cells "
        f"of each of this project's search methods by the time that its searches took, all trained by the recipe of scale {scale}; at {RANDOM_COST} days the mean "
        "of the random cells, which cost no search. "
        f"Size and colour: millions of parameters of the network trained.{copy_note(runs)}",
    )
    if not runs:
        missing(f"an evaluation at {scale} scale", f"asap evaluate --cell ASAP --dataset cifar10 --scale {scale} --study cells")
        return
    say(tables.markdown(["cell", "search, days", "parameters, M", "error, % (n)"], [
        [p["name"], f"{p['cost']:.4g}", f"{p['parameters']:.3f}", tables.spread(p["errors"]) + f" ({len(p['errors'])})"] for p in points
    ]))  # fmt: skip
    records(("", run) for run in runs)


def _points(runs: list[Run], printed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One point a published cell, a method's searched cells, or all random cells: its name, search cost in days, millions of
    parameters, errors (by seed; of random cells, by cell)."""
    cost = {row["cell"].lower(): row["cost"] for row in printed if row["cell"]}
    names = {row["cell"].lower(): row["architecture"] for row in printed[::-1] if row["cell"]}
    study = load("methods")
    searched = {run.name: (label, run) for label in study.labels for run in study.runs(runs_root(), "search", label)}
    groups: dict[str, list[tuple[float, Run]]] = {}
    for run in runs:
        cell = tables.cell_name(run)
        if cell in searched:
            label, search = searched[cell]
            groups.setdefault(f"ours: {label}", []).append((search.outcome["seconds"] / 86400, run))
        elif tables.is_random(cell):
            groups.setdefault("random cells", []).append((RANDOM_COST, run))
        elif cell in cost:
            groups.setdefault(names[cell], []).append((cost[cell], run))
    points = []
    for name, group in groups.items():
        errors = tables.errors([run for _, run in group])
        points.append({"name": name, "cost": float(np.mean([days for days, _ in group])),
                       "parameters": float(np.mean([run.outcome["parameters"] for _, run in group])) / 1e6,
                       "errors": list(errors.mean(axis=1) if name == "random cells" else errors.stack().dropna())})  # fmt: skip
    return sorted(points, key=lambda p: float(p["cost"]))


def error_by_size(scale: str = "cpu") -> None:
    """Whether a cell's error follows from its size: all cells trained on CIFAR-10 by one recipe."""
    runs = tables.by_recipe(runs_root(), "evaluation", dataset="cifar10", scale=scale)
    cells = _cells(runs)
    if len(cells) < 4:
        say(f"How the error follows the size needs four cells; {len(cells)} are recorded at scale {scale}.")
        return
    rho, chance = rank_correlation(cells["parameters"], cells["error"])
    doublings = np.log2(cells["parameters"])
    slope, at_one = np.polyfit(doublings, cells["error"], 1)
    cells["left"] = cells["error"] - (at_one + slope * doublings)
    show(
        figures.error_against_size(cells, lambda millions: at_one + slope * np.log2(millions)),
        f"**Error against size**, {len(cells)} cells by one recipe (scale {scale}), each the mean of its seeds; the line is the least-squares fit to the logarithm of "
        f"the parameters.{copy_note(runs)}",
    )
    say(
        f"Spearman's ρ of parameters and error is {rho:.2f} (a correlation this far from 0 has probability {chance:.2g} by chance). Twice the parameters go "
        f"with {slope:+.2f} points of error. The line leaves a deviation of {cells['left'].std(ddof=2):.2f} points, where the cells deviate by {cells['error'].std():.2f}. "
        "What it leaves to each kind of cell, below 0 where the cells are better than their size:"
    )
    rows = []
    for kind, group in cells.groupby("kind", observed=True):
        millions, errors = tables.spread(list(group["parameters"]), 3), tables.spread(list(group["error"]))
        rows.append([str(kind), str(len(group)), millions, errors, f"{group['left'].mean():+.2f}"])
    say(tables.markdown(["cells", "n", "parameters, M", "error, %", "error minus the line's"], rows))


def _cells(runs: list[Run]) -> pd.DataFrame:
    """`tables.by_cell` with the cell's name and kind as columns, ordered by them."""
    asap = {run.name for run in arm(runs_root(), "ASAP")}

    def kind(cell: str) -> str:
        if cell == "asap":
            return "ASAP, published"
        if tables.is_random(cell):
            return "random"
        if "/" in cell:
            return "ASAP, searched here" if cell in asap else "other searches here"
        return "other published"

    frame = tables.by_cell(runs).rename_axis("cell").reset_index()
    frame["kind"] = pd.Categorical(frame["cell"].map(kind), KINDS)
    frame["kind"] = frame["kind"].cat.remove_unused_categories()
    return frame.sort_values(["kind", "cell"], ignore_index=True)
