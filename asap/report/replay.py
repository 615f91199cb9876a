"""Three parts of the book that a reader can touch, as HTML with recorded data: the replay of a search, what other constants would have
pruned, and the cells behind the points. Drawn by book/_static/parts.js without a server; where scripts do not run, the first view stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS, cell_by_name
from ..records.parameters import runs_root
from ..records.run import Run
from . import cells, figure1, palette, results
from .display import each
from .figure2 import searches
from .figure6 import THEOREM, found


def embed(data: Mapping[str, Any]) -> str:
    """JSON within a page; no text in it can end the script element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def choices() -> dict[str, str]:
    """The searches that can be replayed, by what they are called: ASAP, DARTS, pruning by Eq. 13, and ASAP by Theorem 2's schedule."""
    every = found("search")
    named = {"ASAP": "ASAP", "DARTS": "DARTS", "Magnitude pruning by Eq. 13, p = 3": "Magnitude, p = 3", THEOREM: THEOREM}
    shown = {name: every[label]["run"].iloc[0] for name, label in named.items() if label in every}
    return shown if len(shown) or not len(searches()) else {"ASAP": searches()["run"].iloc[0]}


def weights(architecture: pd.DataFrame, kind: str) -> np.ndarray:
    """Φ by epoch and arrow (an edge's operations in the order of `DARTS_OPERATIONS`), 0 where pruned or not there."""
    cell = architecture[architecture["cell"] == kind]
    phi = cell["phi"].where(cell["alive"], 0.0).fillna(0.0)
    table = phi.groupby([cell["epoch"], cell["edge"], cell["operation"].astype(str)]).first().unstack("operation")
    ordered = table.reindex(columns=list(DARTS_OPERATIONS)).fillna(0.0)
    return ordered.to_numpy().reshape(cell["epoch"].nunique(), -1)


def course(run: Run) -> dict[str, Any]:
    """What the replay shows of a search."""
    epochs, architecture = results.epochs(run=run.name), run.architecture()
    lines = zip(epochs["epoch"], epochs["temperature"], epochs["left"], epochs["validation_accuracy"], strict=True)
    return {
        "phi": [np.round(weights(architecture, kind), 2).tolist() for kind in CELL_KINDS],
        "accuracy": np.round(epochs["validation_accuracy"], 3).tolist(),
        "entropy": np.round(epochs["entropy"].clip(0, 1), 3).tolist(),
        "captions": [f"epoch {e}: T = {t:.2f}, {n} of {epochs['left'].max()} operations, accuracy {100 * a:.1f} %" for e, t, n, a in lines],
    }


def replay() -> str:
    """HTML: both cells epoch by epoch, an arc an operation, with the curves of accuracy and entropy, and a choice of runs."""
    data = {name: course(results.record(run)) for name, run in choices().items()}
    if not data:
        return ""
    first = results.record(next(iter(choices().values())))
    frame = first.architecture()
    last = frame[frame["epoch"] == frame["epoch"].max()]
    drawn = "".join(cells.mixture(last[last["cell"] == kind], cells.NAMES[kind], DARTS_OPERATIONS) for kind in CELL_KINDS)
    options = "".join(f"<option>{escape(name)}</option>" for name in data)
    end = len(next(iter(data.values()))["captions"]) - 1
    return (
        f'<div class="asap-part asap-replay"><label>search <select>{options}</select></label><div class="asap-cells">{drawn}</div>'
        f"{palette.operations_key(DARTS_OPERATIONS)}"
        '<svg class="curves" viewBox="0 0 480 130" role="img" aria-label="validation accuracy and entropy by epoch">'
        '<path class="accuracy" fill="none"/><path class="entropy" fill="none"/><line class="cursor" y1="8" y2="112"/>'
        '<text x="36" y="126">epoch 1</text><text x="470" y="126" text-anchor="end">last epoch</text>'
        '<text x="2" y="16">1</text><text x="2" y="112">0</text></svg>'
        f"{_key(accuracy='validation accuracy', entropy='normalised entropy')}"
        '<div class="controls"><button type="button" aria-label="play">▶</button>'
        f'<input type="range" min="0" max="{end}" value="{end}" aria-label="epoch"><output></output></div>{embed(data)}</div>'
    )


def prune(alpha: np.ndarray, initial: float, decay: float, share: float, left: bool) -> tuple[list[int], int, int]:
    """What constants would have pruned on recorded α: the operations left after each epoch, the edges undecided at the end, and the first
    epoch that prunes (0: none).

    alpha: (epochs, edges, operations); an operation that the search pruned keeps its last α. T = initial · decay^epoch. Where T < 1, the
    operations of an edge with Φ < share / N go, but never the last; N is the number of operations, or (left) of those left on the edge.
    """
    alive = np.ones(alpha.shape[1:], bool)
    course, first = [], 0
    for epoch, now in enumerate(alpha, 1):
        temperature = initial * decay**epoch
        for edge in range(len(alive)) if temperature < 1 else ():
            while True:
                powers = np.exp(np.where(alive[edge], (now[edge] - now[edge][alive[edge]].max()) / temperature, -np.inf))
                phi = powers / powers.sum()
                gone = alive[edge] & (phi < share / (alive[edge].sum() if left else alpha.shape[2]))
                gone[phi.argmax()] = False
                if not gone.any():
                    break
                alive[edge] &= ~gone
        course.append(int(alive.sum()))
        if not first and course[-1] < alive.size:
            first = epoch
    return course, int((alive.sum(axis=1) > 1).sum()), first


def recorded_alpha(run: Run) -> np.ndarray:
    """α after each epoch: (epochs, edges of both cells, operations); of an operation that was pruned, its last."""
    frame = run.architecture()
    wide = frame.pivot_table(index="epoch", columns=["cell", "edge", "operation"], values="alpha", observed=True, dropna=False)
    order = [(kind, edge, o) for kind in CELL_KINDS for edge in sorted(frame["edge"].unique()) for o in ASAP_OPERATIONS]
    return wide[order].ffill().fillna(0.0).to_numpy().reshape(len(wide), -1, len(ASAP_OPERATIONS))


def _key(**lines: str) -> str:
    spans = (f'<span><i class="{name}"></i>{text}</span>' for name, text in lines.items())
    return f'<div class="asap-key">{"".join(spans)}</div>'


def whatif() -> str:
    """HTML: T₀, β and θ as sliders over the first recorded search's α, with the operations left and the edges undecided at the end."""
    if not len(searches()):
        return ""
    row = searches().iloc[0]
    alpha = recorded_alpha(results.record(row["run"]))
    data = {
        "alpha": np.round(alpha, 3).tolist(),
        "recorded": results.epochs(run=row["run"])["left"].tolist(),
        "undecided": int(row["undecided"]),
    }
    sliders = "".join(
        f'<label>{name} <input type="range" name="{key}" min="{low}" max="{high}" step="{step}" value="{value}"><output></output></label>'
        for key, name, low, high, step, value in (
            ("initial", "T₀", 0.3, 3.0, 0.05, row["initial_temperature"]), ("decay", "β", 0.8, 1.0, 0.005, row["temperature_decay"]),
            ("share", "θ · N", 0.0, 1.0, 0.02, row["threshold"]),
        )
    )  # fmt: skip
    return (
        f'<div class="asap-part asap-whatif"><div class="sliders">{sliders}'
        '<label>N <select name="left"><option value="">fixed, 7</option><option value="left">operations left on the edge</option></select>'
        "</label></div>"
        '<svg class="curves" viewBox="0 0 480 130" role="img" aria-label="operations left by epoch">'
        '<path class="recorded" fill="none"/><path class="accuracy" fill="none"/>'
        '<text x="36" y="126">epoch 1</text><text x="470" y="126" text-anchor="end">last epoch</text>'
        f'<text x="2" y="16">{alpha.shape[1] * alpha.shape[2]}</text><text x="2" y="112">0</text></svg>'
        f"{_key(accuracy='operations left, what if', recorded='as recorded')}"
        f'<p class="answer" aria-live="polite"></p>{embed(data)}</div>'
    )


def view(title: str, frame: pd.DataFrame, unit: str, records: Mapping[str, str]) -> dict[str, Any]:
    """A chart of the explorer: what it is called, what its axes say, and its points by size. frame: cell, kind, parameters (M), value."""
    frame = frame.sort_values("parameters", ignore_index=True)
    size, value = np.log(frame["parameters"]), frame["value"]
    x = 50 + 410 * (size - size.min()) / ((size.max() - size.min()) or 1)
    y = 210 - 190 * (value - value.min()) / ((value.max() - value.min()) or 1)
    points = []
    for row, across, up in zip(each(frame), x, y, strict=True):
        record = f", record {records[row.cell]}" if row.cell in records else ""
        said = f"{row.cell} ({row.kind}): {row.value:.2f} {unit}, {row.parameters:.3f} M parameters{record}"
        border = "published" if "published" in row.kind else "own"
        points.append([row.cell, round(across, 1), round(up, 1), figure1.KINDS[row.kind].colour, border, said])
    texts = [f"{frame['parameters'].min():.2f} to {frame['parameters'].max():.2f}", f"{value.max():.1f}", f"{value.min():.1f}"]
    return {"title": title, "texts": texts, "points": points}


def scored() -> pd.DataFrame:
    """The cells that runs/scores/scores.csv scores, as a view takes them; no rows where it is missing or damaged."""
    try:
        frame = pd.read_csv(runs_root() / "scores" / "scores.csv").dropna(subset="score")
        frame = frame.assign(cell=frame["cell"].where(frame["kind"] != "published", frame["cell"].str.lower()))
        frame = frame[~frame["cell"].str.contains("/") | frame["cell"].isin(results.searches()["run"])]
        return figure1.with_kinds(frame.assign(parameters=frame["parameters"] / 1e6, value=frame["score"]))
    except (OSError, ValueError, KeyError):
        return pd.DataFrame()


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
    for name in {point[0] for shown in views for point in shown["points"]}:
        genotype = results.record(name).genotype() if "/" in name else cell_by_name(name)
        drawn[name] = [[[e.operation, e.source, e.target] for e in genotype.cell(kind)] for kind in CELL_KINDS]
    first = views[0]
    marks = (f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}" class="{border}"/>' for _, x, y, colour, border, _ in first["points"])
    options = "".join(f'<option value="{i}">{escape(shown["title"])}</option>' for i, shown in enumerate(views))
    key = "".join(f'<span><i style="background:{look.colour}"></i>{kind}</span>' for kind, look in figure1.KINDS.items())
    return (
        f'<div class="asap-part asap-explorer"><label>against size <select>{options}</select></label>'
        '<svg class="points" viewBox="0 0 480 250" tabindex="0" role="img" '
        f'aria-label="a point a cell; the arrow keys go from cell to cell, by size"><g>{"".join(marks)}</g>'
        f'<text x="255" y="246" text-anchor="middle">parameters, M (logarithmic): <tspan>{first["texts"][0]}</tspan></text>'
        f'<text x="2" y="24"><tspan>{first["texts"][1]}</tspan></text><text x="2" y="214"><tspan>{first["texts"][2]}</tspan></text></svg>'
        f'<div class="asap-key">{key}</div><p class="answer" aria-live="polite">Point at a cell, touch it, or use the arrow keys.</p>'
        f'<div class="asap-cells labelled"></div>{palette.operations_key(ASAP_OPERATIONS)}'
        f"{embed({'views': views, 'cells': drawn, 'colours': palette.OPERATIONS})}</div>"
    )
