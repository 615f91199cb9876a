"""The search pruning its cells, epoch by epoch, as one HTML element: drawn by book/_static/animation.js, without a server.

Where scripts do not run, the element shows the last epoch.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from .figures import CELL_NAMES, COLOURS, OTHER, node_positions

UNIT, MARGIN = 62.0, 34.0  # pixels of the drawing's own coordinates
NAMES = {0: "cₖ₋₂", 1: "cₖ₋₁"}


def _point(place: tuple[float, float]) -> tuple[float, float]:
    return MARGIN + UNIT * place[0], MARGIN + UNIT * (1.2 - place[1])


def _curve(start: tuple[float, float], end: tuple[float, float], bend: float) -> str:
    """A quadratic curve from one node's border to another's, bent to one side by a share of its length."""
    (x0, y0), (x1, y1) = start, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    gap = 19.0
    middle = ((x0 + x1) / 2 + bend * length * dy, (y0 + y1) / 2 - bend * length * dx)
    return f"M{x0 + gap * dx:.1f} {y0 + gap * dy:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {x1 - gap * dx:.1f} {y1 - gap * dy:.1f}"


def _look(phi: float) -> str:
    """An arrow's look, as animation.js sets it too: the darker and wider the larger Φ, gone where pruned."""
    return f'stroke-opacity="{0.2 + 0.8 * phi:.2f}" stroke-width="{0.8 + 2.4 * phi:.2f}"' if phi > 0 else 'stroke-opacity="0"'


def _cell(frame: pd.DataFrame, kind: str) -> tuple[str, list[list[float]]]:
    """The SVG of one cell at the last epoch, and Φ by epoch and arrow (0 where pruned)."""
    cell = frame[frame["cell"] == kind]
    arrows = cell[cell["epoch"] == cell["epoch"].min()]
    weights = np.where(cell["alive"], cell["phi"], 0.0).reshape(-1, len(arrows))
    places = node_positions([int(n) for n in sorted(cell["target"].unique())])
    width = _point(max(places.values()))[0] + MARGIN
    parts = [
        f'<svg viewBox="0 -16 {width:.0f} {_point((0, -1.2))[1] + MARGIN + 50:.0f}" role="img" aria-label="{CELL_NAMES[kind]}">',
        f'<text x="4" y="0">{CELL_NAMES[kind]}</text>',
    ]
    count = arrows.groupby("edge", observed=True).size().iloc[0]
    bends = np.linspace(-0.28, 0.28, count)
    for i, row in enumerate(arrows.itertuples(index=False)):
        curve = _curve(_point(places[int(row.source)]), _point(places[int(row.target)]), float(bends[i % count]))
        colour = to_hex(COLOURS.get(str(row.operation), OTHER))
        name = escape(f"{row.operation}, {NAMES.get(int(row.source), int(row.source) - 2)} → {int(row.target) - 2}")
        parts.append(f'<path d="{curve}" stroke="{colour}" fill="none" {_look(weights[-1, i])}><title>{name}</title></path>')
    for node, place in places.items():
        x, y = _point(place)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="17" class="{"input" if node < 2 else "node"}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 5:.1f}" class="name">{NAMES.get(node, node - 2)}</text>')
    return "".join([*parts, "</svg>"]), np.round(weights, 3).tolist()


def pruning(epochs: pd.DataFrame, architecture: pd.DataFrame) -> str:
    """HTML of both cells of a search with a slider over its epochs: an arrow an operation, the darker and wider the larger its Φ."""
    drawn = {kind: _cell(architecture, kind) for kind in CELL_NAMES}
    left = (epochs["operations_normal"] + epochs["operations_reduce"]).tolist()
    data: dict[str, Any] = {
        "phi": [weights for _, weights in drawn.values()],
        "captions": [
            f"epoch {epoch}: T = {temperature:.2f}, {n} of {max(left)} operations"
            for epoch, temperature, n in zip(epochs["epoch"], epochs["temperature"], left, strict=True)
        ],
    }
    operations = architecture["operation"].cat.remove_unused_categories().unique()
    key = "".join(
        f'<span><i style="background:{to_hex(COLOURS.get(str(o), OTHER))}"></i>{escape(str(o)).replace("_", " ")}</span>'
        for o in operations
    )
    last = len(epochs) - 1
    return (
        '<div class="asap-animation">'
        f'<div class="cells">{"".join(svg for svg, _ in drawn.values())}</div><div class="key">{key}</div>'
        '<div class="controls"><button type="button" aria-label="play">▶</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="epoch">'
        f"<output>{escape(data['captions'][last])}</output></div>"
        f'<script type="application/json">{json.dumps(data, ensure_ascii=False, separators=(",", ":"))}</script></div>'
    )
