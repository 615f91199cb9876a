"""Cells drawn as SVG: nodes on a line, an arc for each operation, so that no arc runs through a node that it does not leave or enter.

An arc's height grows with the nodes that it spans; arcs that leave c_{k-2}, 2 and 4 run above the line, the others below. The same
geometry stands in book/_static/parts.js.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from ..paper.space import Genotype
from ..records.run import Run
from . import palette

NAMES = {"normal": "normal cell", "reduce": "reduction cell"}
STEP, MARGIN, RADIUS = 84.0, 30.0, 15.0  # pixels of the drawing's own coordinates: between nodes, at the sides, of a node
#: What book/_static/book.css says of cells, for a file of their own.
FILE_STYLE = (
    "text{font:13px sans-serif}.name,.label{font-size:12px;text-anchor:middle}.label{paint-order:stroke;stroke:#fff;stroke-width:4px}"
    "circle{fill:#dbe5f1;stroke:#555}.input{fill:#dfead9}.concat{stroke:#3d6ea5;stroke-width:2.6}"
)


@dataclass(frozen=True)
class Arc:
    """An operation between two nodes. weight: Φ, 1 of a derived cell. dashed: of an undecided edge. place: its rank among the `of` arcs
    between the same nodes."""

    operation: str
    source: int
    target: int
    weight: float = 1.0
    dashed: bool = False
    place: int = 0
    of: int = 1


def node_name(node: int) -> str:
    return {0: "cₖ₋₂", 1: "cₖ₋₁"}.get(node, str(node - 1))


def apex(arc: Arc) -> tuple[float, float]:
    """The middle of an arc: its x, and its y, negative above the line of nodes."""
    height = 20.0 + 14.0 * (arc.target - arc.source)
    if arc.of > 1:
        height *= 0.62 + 0.78 * arc.place / (arc.of - 1)
    return MARGIN + STEP * (arc.source + arc.target) / 2, height if arc.source % 2 else -height


def path(arc: Arc) -> str:
    """An arc's path, from one node's border to the other's: a parabola through its apex."""
    x, y = apex(arc)
    share = RADIUS / (STEP * (arc.target - arc.source))  # of the span, where the node's border is

    def at(t: float) -> str:
        return f"{MARGIN + STEP * (arc.source + t * (arc.target - arc.source)):.1f} {4 * t * (1 - t) * y:.1f}"

    control = y * (2 - 4 * share * (1 - share))  # of the part between the borders
    return f"M{at(share)}Q{x:.1f} {control:.1f} {at(1 - share)}"


def look(weight: float) -> str:
    """An arc's look: the stronger and wider the larger Φ, gone where pruned. parts.js sets the same."""
    return f'stroke-opacity="{0.25 + 0.75 * weight:.2f}" stroke-width="{0.8 + 1.8 * weight:.2f}"' if weight > 0 else 'stroke-opacity="0"'


def svg(arcs: Sequence[Arc], title: str, concat: Iterable[int], labels: bool = True) -> str:
    """The SVG of a cell. concat: the nodes that its output concatenates, with a bold border. labels: name each arc's operation."""
    last = max(arc.target for arc in arcs)
    tops = [apex(arc)[1] for arc in arcs]
    top, bottom = min(-RADIUS, *tops) - 20, max(RADIUS, *tops) + 20
    width = 2 * MARGIN + STEP * last
    parts = [
        f'<svg viewBox="0 {top - 18:.0f} {width:.0f} {bottom - top + 18:.0f}" class="asap-cell" role="img" aria-label="{escape(title)}">',
        f'<text x="2" y="{top - 4:.0f}">{escape(title)}</text>',
    ]
    for arc in arcs:
        dashes = ' stroke-dasharray="6 4"' if arc.dashed else ""
        tip = f"{arc.operation.replace('_', ' ')}, {node_name(arc.source)} → {node_name(arc.target)}"
        drawn = f'd="{path(arc)}" stroke="{palette.colour(arc.operation)}" fill="none" {look(arc.weight)}{dashes}'
        parts.append(f"<path {drawn}><title>{escape(tip)}</title></path>")
    for arc in arcs if labels else ():
        x, y = apex(arc)
        parts.append(
            f'<text x="{x:.1f}" y="{y + (13 if y > 0 else -5):.1f}" class="label">{escape(arc.operation.replace("_", " "))}</text>'
        )
    for node in range(last + 1):
        kind = "input" if node < 2 else "node concat" if node in set(concat) else "node"
        x = MARGIN + STEP * node
        parts.append(f'<circle cx="{x:.0f}" cy="0" r="{RADIUS:.0f}" class="{kind}"/>')
        parts.append(f'<text x="{x:.0f}" y="4.5" class="name">{node_name(node)}</text>')
    return "".join([*parts, "</svg>"])


def derived(genotype: Genotype, kind: str, title: str, undecided: Iterable[tuple[int, int]] = ()) -> str:
    """The SVG of a derived cell; the arcs of undecided edges (source, target) are dashed."""
    cell, dashed = genotype.cell(kind), set(undecided)
    between, seen = Counter((e.source, e.target) for e in cell), Counter[tuple[int, int]]()
    arcs = []
    for edge in cell:
        ends = (edge.source, edge.target)
        arcs.append(Arc(edge.operation, *ends, dashed=ends in dashed, place=seen[ends], of=between[ends]))
        seen[ends] += 1
    return svg(arcs, title, genotype.concat(kind))


def standalone(name: str, genotype: Genotype) -> str:
    """An SVG file of both cells of a genotype, one below the other, as wide as the name needs."""
    parts, width, top = [f'<text x="2" y="14">{escape(name)}</text>'], 8.0 * len(name), 24.0
    for kind, kind_name in NAMES.items():
        drawn = derived(genotype, kind, kind_name)
        _, _, wide, high = map(float, re.findall(r'viewBox="([^"]*)"', drawn)[0].split())
        parts.append(drawn.replace("<svg ", f'<svg y="{top:.0f}" width="{wide:.0f}" height="{high:.0f}" ', 1))
        width, top = max(width, wide), top + high + 12
    size = f'viewBox="0 0 {width:.0f} {top:.0f}" width="{width:.0f}" height="{top:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{FILE_STYLE}</style>{"".join(parts)}</svg>\n'


def mixture(cell: pd.DataFrame, title: str, operations: Sequence[str] = ()) -> str:
    """The SVG of a cell of mixed operations at one epoch. cell: rows of architecture.parquet of one cell and epoch.

    operations: draw exactly these, in this order, on each edge, also where they are pruned or not there; else those alive.
    """
    arcs = []
    for _, edge in cell.groupby("edge", sort=False):
        source, target = int(edge["source"].iloc[0]), int(edge["target"].iloc[0])
        phi = dict(zip(edge["operation"], np.where(edge["alive"], edge["phi"], 0.0), strict=True))
        drawn = list(operations) or [name for name, weight in phi.items() if weight > 0]
        arcs += [Arc(str(o), source, target, float(phi.get(o, 0.0)), place=i, of=len(drawn)) for i, o in enumerate(drawn)]
    return svg(arcs, title, range(2, int(cell["target"].max()) + 1), labels=False)


def undecided(run: Run) -> dict[str, list[tuple[int, int]]]:
    """By cell kind, the edges (source, target) on which a search ended with more than one operation."""
    frame = run.architecture()
    last = frame[(frame["epoch"] == frame["epoch"].max()) & frame["alive"]]
    counts = last.groupby(["cell", "source", "target"], observed=True).size()
    return {kind: [(s, t) for cell, s, t in counts[counts > 1].index if cell == kind] for kind in NAMES}
