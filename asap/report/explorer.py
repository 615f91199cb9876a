"""The cells behind the points of Figure 1: a part of the book that a reader can touch, see `replay`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, cell_by_name
from . import figure1, palette, results, surrogate
from .display import each
from .replay import embed


def view(title: str, frame: pd.DataFrame, unit: str, records: Mapping[str, str]) -> dict[str, Any]:
    """A chart of the explorer: what it is called, what its axes say, and its points by size. frame: cell, kind, parameters (M), value."""
    frame = frame.sort_values("parameters", ignore_index=True)
    size, value = np.log(frame["parameters"].to_numpy()), frame["value"].to_numpy()
    x = np.interp(size, [size.min(), size.max()], (50, 460)).tolist()
    y = np.interp(value, [value.min(), value.max()], (210, 20)).tolist()
    points = []
    for row, across, up in zip(each(frame), x, y, strict=True):
        record = f", record {records[row.cell]}" if row.cell in records else ""
        said = f"{row.cell} ({row.kind}): {row.value:.2f} {unit}, {row.parameters:.3f} M parameters{record}"
        border = "published" if "published" in row.kind else "own"
        points.append([row.cell, round(across, 1), round(up, 1), figure1.KINDS[row.kind].colour, border, said])
    (least, most), (low, high) = (frame[name].agg(["min", "max"]) for name in ("parameters", "value"))
    texts = [f"{least:.2f} to {most:.2f}", f"{high:.1f}", f"{low:.1f}"]
    return {"title": title, "texts": texts, "points": points}


def scored() -> pd.DataFrame:
    """The cells that runs/scores/scores.csv scores, as a view takes them; no rows where it is missing or damaged."""
    frame = surrogate.scores().dropna(subset="score")
    frame = frame.assign(cell=frame["cell"].where(frame["kind"] != "published", frame["cell"].str.lower()))
    frame = frame[~frame["cell"].str.contains("/") | frame["cell"].isin(results.searches()["run"])]
    return figure1.with_kinds(frame.assign(parameters=frame["parameters"] / 1e6, value=frame["score"]))


def explorer(evaluations: pd.DataFrame) -> str:
    """HTML: error, or score, against size, a point a cell; the one that is pointed at, chosen by a key or touched shows its cell."""
    if not len(evaluations):
        return ""
    runs = dict(evaluations.groupby("cell")["run"].first())
    trained = figure1.cells(evaluations).assign(value=lambda frame: frame["error"])
    views = [view("error of the cell trained here, %", trained, "% error", runs)]
    if len(scores := scored()):
        views.append(view("score: a surrogate trained on NAS-Bench-301's labels", scores, "score (surrogate)", {}))
    drawn = {}
    for name in dict.fromkeys(point[0] for shown in views for point in shown["points"]):
        genotype = results.record(runs.get(name, name)).genotype() if "/" in name else cell_by_name(name)
        drawn[name] = [[[e.operation, e.source, e.target] for e in genotype.cell(kind)] for kind in CELL_KINDS]
    first = views[0]
    marks = (f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}" class="{border}"/>' for _, x, y, colour, border, _ in first["points"])
    options = "".join(f'<option value="{i}">{escape(shown["title"])}</option>' for i, shown in enumerate(views))
    kinds = palette.key({kind: look.colour for kind, look in figure1.KINDS.items()})
    return (
        f'<div class="asap-part asap-explorer"><label>against size <select>{options}</select></label>'
        '<svg class="points" viewBox="0 0 480 250" tabindex="0" role="img" '
        f'aria-label="a point a cell; the arrow keys go from cell to cell, by size"><g>{"".join(marks)}</g>'
        f'<text x="255" y="246" text-anchor="middle">parameters, M (logarithmic): <tspan>{first["texts"][0]}</tspan></text>'
        f'<text x="2" y="24"><tspan>{first["texts"][1]}</tspan></text><text x="2" y="214"><tspan>{first["texts"][2]}</tspan></text></svg>'
        f'{kinds}<p class="answer" aria-live="polite">Point at a cell, touch it, or use the arrow keys.</p>'
        f'<div class="asap-cells labelled"></div>{palette.operations_key(ASAP_OPERATIONS)}'
        f"{embed({'views': views, 'cells': drawn, 'colours': palette.OPERATIONS})}</div>"
    )
