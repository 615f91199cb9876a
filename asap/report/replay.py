"""Two parts of the book that a reader can touch, as HTML with recorded data: the replay of a search, and what other constants would have
pruned; `explorer` is the third. Drawn by book/_static/parts.js without a server; where scripts do not run, the first view stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ..paper.space import ASAP_OPERATIONS, CELL_KINDS, DARTS_OPERATIONS
from ..records.run import Run
from . import cells, palette, results
from .figure2 import searches
from .methods_study import THEOREM, found


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


def by_epoch(architecture: pd.DataFrame, column: str, operations: Sequence[str]) -> pd.DataFrame:
    """A column of architecture.parquet, a row an epoch: (cell, edge, operation), missing where an operation is not there."""
    frame = architecture.astype({"cell": str, "operation": str})
    arrows = pd.MultiIndex.from_product([CELL_KINDS, sorted(frame["edge"].unique()), operations])
    return frame.pivot(index="epoch", columns=["cell", "edge", "operation"], values=column).reindex(columns=arrows)


def weights(architecture: pd.DataFrame, kind: str) -> np.ndarray:
    """Φ of a cell by epoch and arrow (an edge's operations in the order of `DARTS_OPERATIONS`), 0 where pruned or not there."""
    return by_epoch(architecture[architecture["alive"]], "phi", DARTS_OPERATIONS)[kind].fillna(0.0).to_numpy()


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


def _curves(paths: str, label: str, top: object, key: Mapping[str, str]) -> str:
    """HTML of a chart over the epochs from 0 to top, which parts.js fills, and its key. paths: SVG; key: what a class of lines is."""
    spans = "".join(f'<span><i class="{name}"></i>{text}</span>' for name, text in key.items())
    return (
        f'<svg class="curves" viewBox="0 0 480 130" role="img" aria-label="{label} by epoch">{paths}'
        '<text x="36" y="126">epoch 1</text><text x="470" y="126" text-anchor="end">last epoch</text>'
        f'<text x="2" y="16">{top}</text><text x="2" y="112">0</text></svg><div class="asap-key">{spans}</div>'
    )


def replay() -> str:
    """HTML: both cells epoch by epoch, an arc an operation, with the curves of accuracy and entropy, and a choice of runs."""
    runs = {name: results.record(run) for name, run in choices().items()}
    if not runs:
        return ""
    data = {name: course(run) for name, run in runs.items()}
    frame = next(iter(runs.values())).architecture()
    last = frame[frame["epoch"] == frame["epoch"].max()]
    drawn = "".join(cells.mixture(last[last["cell"] == kind], cells.NAMES[kind], DARTS_OPERATIONS) for kind in CELL_KINDS)
    options = "".join(f"<option>{escape(name)}</option>" for name in data)
    end = frame["epoch"].max() - 1
    lines = '<path class="accuracy" fill="none"/><path class="entropy" fill="none"/><line class="cursor" y1="8" y2="112"/>'
    key = {"accuracy": "validation accuracy", "entropy": "normalised entropy"}
    return (
        f'<div class="asap-part asap-replay"><label>search <select>{options}</select></label>'
        '<div class="controls"><button type="button" aria-label="play">▶</button>'
        f'<input type="range" min="0" max="{end}" value="{end}" aria-label="epoch"><output></output></div>'
        f'<div class="asap-cells">{drawn}</div>{palette.operations_key(DARTS_OPERATIONS)}'
        f"{_curves(lines, 'validation accuracy and entropy', 1, key)}{embed(data)}</div>"
    )


def recorded_alpha(run: Run) -> np.ndarray:
    """α after each epoch: (epochs, edges of both cells, operations); of an operation that was pruned, its last."""
    wide = by_epoch(run.architecture(), "alpha", ASAP_OPERATIONS).ffill().fillna(0.0)
    return wide.to_numpy().reshape(len(wide), -1, len(ASAP_OPERATIONS))


def whatif() -> str:
    """HTML: T₀, β and θ as sliders over the first recorded search's α, with the operations left and the edges undecided at the end."""
    if not len(searches()):
        return ""
    row = searches().iloc[0]
    alpha = recorded_alpha(results.record(row["run"]))
    left = results.epochs(run=row["run"])["left"].tolist()
    data = {"alpha": np.round(alpha, 3).tolist(), "recorded": left, "undecided": int(row["undecided"])}
    settings = (("initial", "T₀", 0.3, 3.0, 0.05, row["initial_temperature"]), ("decay", "β", 0.8, 1.0, 0.005, row["temperature_decay"]),
                ("share", "θ · N", 0.0, 1.0, 0.02, row["threshold"]))  # fmt: skip
    sliders = "".join(
        f'<label>{name} <input type="range" name="{key}" min="{low}" max="{high}" step="{step}" value="{value}"><output></output></label>'
        for key, name, low, high, step, value in settings
    )
    lines = '<path class="recorded" fill="none"/><path class="accuracy" fill="none"/>'
    key = {"accuracy": "operations left, what if", "recorded": "as recorded"}
    return (
        f'<div class="asap-part asap-whatif"><div class="sliders">{sliders}'
        '<label>N <select name="left"><option value="">fixed, 7</option><option value="left">operations left on the edge</option></select>'
        f"</label></div>{_curves(lines, 'operations left', alpha[0].size, key)}"
        f'<p class="answer" aria-live="polite"></p>{embed(data)}</div>'
    )
